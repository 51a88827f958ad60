"""Hand-crafted range-image networks that a search has to beat, made anew from their descriptions.

All take [N, C, H, W] and return logits [N, K, H, W]; weights are fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from hwnas.models.baselines.interpolating import CENet34, FIDNet34
from hwnas.models.baselines.rangenet import RangeNet21, RangeNet53
from hwnas.models.baselines.salsanext import SalsaNext

BASELINES: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "salsanext": SalsaNext,
        "fidnet34": FIDNet34,
        "cenet34": CENet34,
        "rangenet21": RangeNet21,
        "rangenet53": RangeNet53,
    }
)
"""By name: (channels of the image, number of classes) to the network."""

__all__ = ["BASELINES", "CENet34", "FIDNet34", "RangeNet21", "RangeNet53", "SalsaNext"]
