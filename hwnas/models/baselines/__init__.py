"""Hand-crafted range-image networks that a search has to beat, made anew from their descriptions.

All take [N, C, H, W] and return logits [N, K, H, W]; weights are fresh. A width multiplier makes them
narrower or wider throughout; with 1 they are as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from torch import nn

from hwnas.models.baselines.interpolating import CENet34, FIDNet34
from hwnas.models.baselines.rangenet import RangeNet21, RangeNet53
from hwnas.models.baselines.salsanext import SalsaNext


class MakesBaseline(Protocol):
    """Makes a network with fresh weights."""

    def __call__(self, in_channels: int, num_classes: int, width_multiplier: float = 1.0, /) -> nn.Module:
        """Return the network for images of `in_channels`."""
        ...


BASELINES: Mapping[str, MakesBaseline] = MappingProxyType(
    {
        "salsanext": SalsaNext,
        "fidnet34": FIDNet34,
        "cenet34": CENet34,
        "rangenet21": RangeNet21,
        "rangenet53": RangeNet53,
    }
)
"""By name: (channels of the image, number of classes, width multiplier) to the network."""

DIVISORS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"salsanext": (16, 16), "rangenet21": (1, 32), "rangenet53": (1, 32)}
)
"""What height and width of the image must be multiples of; the others take any."""

__all__ = [
    "BASELINES",
    "DIVISORS",
    "CENet34",
    "FIDNet34",
    "MakesBaseline",
    "RangeNet21",
    "RangeNet53",
    "SalsaNext",
]
