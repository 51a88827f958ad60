"""What a network takes at one speed of the machine, though it was clocked at another.

On a shared machine neighbours slow everything down for seconds or minutes, each network in its own way. The
reference network that is clocked beside every other tells how slow the machine was. How far networks follow
it is fitted: the logarithm of a latency grows by `elasticity` times that of the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.latency.measure.survey import SurveyedNetwork

_MIN_CHANGE = 0.02
"""Where the reference network changed by less, nothing can be learnt from it."""


@dataclass(frozen=True)
class MachineSpeed:
    """The speed that latencies are stated at.

    The reference network speaks with its calmest block, as every other network does.

    Attributes:
        reference_ms: latency of the reference network at that speed.
        elasticity: by how many percent networks slow down where the reference slows down by one, 0 to 1.
    """

    reference_ms: float
    elasticity: float

    @classmethod
    def usual(cls, networks: Sequence[SurveyedNetwork], elasticity: float = 0.0) -> MachineSpeed:
        """Return the median speed of the machine while networks were clocked."""
        return cls(float(np.median(_references(networks))), elasticity)

    def of(self, network: SurveyedNetwork) -> float:
        """Return what a network takes at this speed, in ms."""
        return float(self.all_of([network])[0])

    def all_of(self, networks: Sequence[SurveyedNetwork]) -> DoubleArray:
        """Return what networks take at this speed, in ms, [n]."""
        clocked = np.array([network.latency_ms for network in networks])
        scale: DoubleArray = (self.reference_ms / _references(networks)) ** self.elasticity
        return clocked * scale

    def refitted(self, networks: Sequence[SurveyedNetwork], predicted_ms: DoubleArray) -> MachineSpeed:
        """Return this speed with the elasticity that explains best how networks miss their predictions.

        The slope is that of Theil and Sen, which single disturbed networks do not move.

        Source: Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 1968.

        Args:
            networks: that were clocked.
            predicted_ms: what networks other than each say about it, [n].
        """
        from scipy import stats  # takes 0.8 s to load, and searches without a table need none of it

        slower = np.log(_references(networks) / self.reference_ms)
        if float(np.std(slower)) < _MIN_CHANGE:
            return MachineSpeed(self.reference_ms, 0.0)
        missed = np.log([network.latency_ms for network in networks] / predicted_ms)
        slope = float(stats.theilslopes(missed, slower).slope)
        return MachineSpeed(self.reference_ms, min(max(slope, 0.0), 1.0))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MachineSpeed:
        """Rebuild from `to_json`."""
        return cls(float(value["reference_ms"]), float(value["elasticity"]))


def _references(networks: Sequence[SurveyedNetwork]) -> DoubleArray:
    return np.array([min(network.reference_ms) for network in networks])
