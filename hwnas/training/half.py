"""Runs networks in half arithmetic, to evaluate FP16 by what it really computes.

onnxruntime's processor kernels compute FP16 graphs in single precision, so they prove nothing. Here every
value between two operators is a half. Products of convolutions, matrix products and means are summed in
single precision and then rounded, as the matrix units of GPUs do; everything else is PyTorch's own half
arithmetic. On a GPU all of it is the GPU's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode

from hwnas.io_spec import IoSpec
from hwnas.tasks.base import Arrays
from hwnas.tasks.trees import named

_SUMMED_IN_SINGLE = frozenset(
    {
        "aten::convolution",
        "aten::addmm",
        "aten::mm",
        "aten::bmm",
        "aten::mean",
        "aten::sum",
        "aten::native_batch_norm",
        "aten::_native_batch_norm_legit_no_training",
        "aten::_adaptive_avg_pool2d",
        "aten::avg_pool2d",
    }
)

_UNINITIALISED = frozenset({"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty"})
"""What these return was not computed; something else writes it."""


class HalfNetwork:
    """A network in half arithmetic: inputs by name to outputs by name.

    Attributes:
        largest_activation: magnitude of the largest value between two operators so far, before it was
            rounded; above `LARGEST_HALF` it became infinite. Infinite, too, if one was not a number.
    """

    def __init__(self, module: nn.Module, io_spec: IoSpec, device: str | None = None) -> None:
        """Copy a network; batch normalisation is folded into convolutions, as in exported files.

        Args:
            module: to copy.
            io_spec: names of its inputs and outputs.
            device: to run on; a GPU if there is one, by default.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._module = _folded(copy.deepcopy(module).cpu().eval()).half().to(self._device)
        self._io_spec = io_spec
        self.largest_activation = 0.0

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs for one sample, rounded to halves."""
        mode = _HalfArithmetic(in_single=self._device.type == "cpu")
        with torch.no_grad(), mode:
            found = self._module(
                *(
                    _half(torch.from_numpy(inputs[spec.name]).to(self._device))
                    for spec in self._io_spec.inputs
                )
            )
        self.largest_activation = max(self.largest_activation, mode.largest)
        names = [tensor.name for tensor in self._io_spec.outputs]
        return {name: tensor.float().cpu().numpy() for name, tensor in named(found, names).items()}


class _HalfArithmetic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every operator, and has those that sum do it in single precision."""

    def __init__(self, *, in_single: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0.0
        self._in_single = in_single

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = str(getattr(func, "_schema", "")).split("(")[0].split(".")[0]
        if self._in_single and name in _SUMMED_IN_SINGLE:
            exact = func(
                *map(_single, args), **{key: _single(value) for key, value in (kwargs or {}).items()}
            )
            self._watch(exact)
            return _half(exact)
        result = func(*args, **(kwargs or {}))
        if name not in _UNINITIALISED:
            self._watch(result)
        return result

    def _watch(self, result: Any) -> None:
        if isinstance(result, Tensor):
            if result.is_floating_point() and result.numel():
                # Inside a dispatch mode of its own, PyTorch does not come back here.
                largest = float(result.detach().abs().max())
                # What is not a number came of a value that no half holds; `max` would drop it.
                self.largest = max(self.largest, largest) if math.isfinite(largest) else math.inf
        elif isinstance(result, tuple | list):
            for part in result:
                self._watch(part)


def _single(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.float16 else value
    return type(value)(map(_single, value)) if isinstance(value, tuple | list) else value


def _half(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.half() if value.dtype == torch.float32 else value
    return type(value)(map(_half, value)) if isinstance(value, tuple | list) else value


def _folded(module: nn.Module) -> nn.Module:
    """Fold batch normalisation behind convolutions of sequences into these, in place."""
    for child in module.children():
        _folded(child)
    if isinstance(module, nn.Sequential):
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and isinstance(second, nn.BatchNorm2d):
                transposed = isinstance(first, nn.ConvTranspose2d)
                module[index] = fuse_conv_bn_eval(first, second, transpose=transposed)
                module[index + 1] = nn.Identity()
    return module
