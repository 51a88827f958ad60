"""Which device networks are trained on."""

from __future__ import annotations

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
        os.environ["CUDA_VISIBLE_DEVICES"] = index
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


def training_device() -> torch.device:
    """Return the device that this process trains on."""
    device: torch.device = Accelerator(mixed_precision="no").device
    return device


def device_name(device: torch.device) -> str:
    """Return a device for people, such as `cpu` or `cuda:0 (NVIDIA H200)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
