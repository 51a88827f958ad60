"""In which numbers and in which memory order a device trains fastest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hwnas.errors import ConfigError

_SMALLEST_SAFE_CHANNELS = 16


@dataclass(frozen=True)
class Precision:
    """How a training computes.

    Attributes:
        name: `no`, `bf16` or `fp16`; anything but `no` means autocast.
        memory_format: order of images in memory.
    """

    name: str
    memory_format: torch.memory_format

    @property
    def autocast_dtype(self) -> torch.dtype:
        """Type that autocast computes convolutions in."""
        return torch.float16 if self.name == "fp16" else torch.bfloat16

    @property
    def is_mixed(self) -> bool:
        """Whether autocast is on."""
        return self.name != "no"


def choose_precision(wanted: str, device: torch.device, module: nn.Module) -> Precision:
    """Return what `wanted` means on a device; `auto` is what the device computes fast and right.

    Args:
        wanted: `auto`, `no`, `bf16` or `fp16`.
        device: where training runs.
        module: what is trained; the order in memory that is fast depends on its convolutions.

    Raises:
        ConfigError: if `fp16` is wanted on a CPU.
    """
    if device.type == "cpu" and wanted == "fp16":
        raise ConfigError("mixed_precision 'fp16' needs a GPU; this is a CPU. Use 'auto', 'bf16' or 'no'.")
    name = _automatic(device) if wanted == "auto" else wanted
    # On CPUs channels-last order is faster by a tenth or two, but about ten times slower for depthwise
    # convolutions in fp32; bf16 is as slow in planes.
    if device.type == "cpu":
        is_fast = name == "bf16" or not _has_grouped_convolutions(module)
        channels_last = is_fast and not _has_narrow_strided_convolutions(module)
    else:
        channels_last = device.type == "cuda"
    return Precision(name, torch.channels_last if channels_last else torch.contiguous_format)


def _has_grouped_convolutions(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in module.modules())


def _has_narrow_strided_convolutions(module: nn.Module) -> bool:
    """Return whether oneDNN would write beyond its buffers in channels-last order.

    The backward pass of a 1 x 1 convolution with a stride and fewer than 16 input channels does (torch 2.13,
    AVX-512): it crashes the process, or silently changes other memory.
    """
    return any(
        isinstance(part, nn.Conv2d)
        and set(part.kernel_size) == {1}
        and set(part.stride) != {1}
        and part.in_channels < _SMALLEST_SAFE_CHANNELS
        for part in module.modules()
    )


def _automatic(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # On CPUs bf16 trains faster, but with torch 2.13 some small networks give NaN at the first step
    # or crash the process in oneDNN, so it is only used where it is asked for.
    return "no"
