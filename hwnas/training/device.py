"""Which device networks are trained on."""

from __future__ import annotations

import itertools
import os
import re

import torch
from accelerate import Accelerator

from hwnas.errors import ConfigError

AUTO = "auto"
PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"
"""How a device is written: `auto` takes the fastest that there is."""


def choose_device(wanted: str) -> torch.device:
    """Let this process train on a device, and return it; call it before anything else uses a device.

    It holds for the whole process, so that only processes made for training call it.

    Raises:
        ConfigError: if the name is none, or the device is not there.
    """
    if not re.match(PATTERN, wanted):
        raise ConfigError(f"A device is auto, cpu, mps, cuda or cuda:N, but got {wanted!r}.")
    kind, _, index = wanted.partition(":")
    if kind == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if index:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_device(
            int(index), os.environ.get("CUDA_VISIBLE_DEVICES")
        )
    is_there = True
    if kind == "cuda":
        is_there = torch.cuda.is_available()
    elif kind == "mps":
        is_there = torch.backends.mps.is_available()
    if not is_there:
        raise ConfigError(
            f"The device {wanted!r} cannot be used here: PyTorch {torch.__version__} finds none. "
            "Choose another one, or install a build of PyTorch for it."
        )
    return training_device()


def visible_device(index: int, visible: str | None) -> str:
    """Return the value of `CUDA_VISIBLE_DEVICES` that leaves one GPU of those this process may use.

    Args:
        index: of the GPU, from 0, among those that are visible.
        visible: present value of the variable, such as `4,5` or names such as `GPU-1a2b`, as Slurm and Ray
            set it; None if it is not set, so that every GPU is visible.

    Raises:
        ConfigError: if fewer GPUs are visible.
    """
    if visible is None:
        return str(index)
    # CUDA takes entries up to the first that names no device, such as -1.
    entries = [entry.strip() for entry in visible.split(",")]
    usable = list(itertools.takewhile(lambda entry: entry not in {"", "-1"}, entries))
    if index >= len(usable):
        raise ConfigError(
            f"The device 'cuda:{index}' must be one of the visible GPUs, but CUDA_VISIBLE_DEVICES is "
            f"{visible!r}, which lets this process use {len(usable)}. Devices are counted from 0 among those."
        )
    return usable[index]


def training_device() -> torch.device:
    """Return the device that this process trains on."""
    device: torch.device = Accelerator(mixed_precision="no").device
    return device


def device_name(device: torch.device) -> str:
    """Return a device for people, such as `cpu` or `cuda:0 (NVIDIA H200)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
