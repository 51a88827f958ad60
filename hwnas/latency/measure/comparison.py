"""How many times slower one model is than another, both clocked by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwnas.latency.measure.clocking import MODEL, OTHER, Clocked
from hwnas.latency.measure.summary import Attempt, Subject, assess, calmest, ratio_of, stated
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.text import figure, one_line, with_interval


@dataclass(frozen=True)
class LatencyComparison:
    """Two models on one target.

    Attributes:
        ratio: median over rounds of the second model's latency divided by the first one's in the same round.
        ratio_interval: lower and upper end of its confidence interval.
        confidence: of the interval.
        first: the first model by itself.
        second: the second model by itself.
    """

    ratio: float
    ratio_interval: tuple[float, float]
    confidence: float
    first: LatencyMeasurement
    second: LatencyMeasurement

    @property
    def is_stable(self) -> bool:
        """Whether neither measurement looked disturbed."""
        return self.first.is_stable and self.second.is_stable

    @property
    def differs(self) -> bool:
        """Whether the interval excludes equal latencies."""
        low, high = self.ratio_interval
        return not low <= 1.0 <= high

    def to_json(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Return plain JSON values; raw samples only if wished."""
        fields = asdict(self)
        for name, measurement in (("first", self.first), ("second", self.second)):
            fields[name] = measurement.to_json(with_samples=with_samples)
        return {**fields, "is_stable": self.is_stable, "differs": self.differs}

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            "ratio {} ({} to {})".format(*with_interval(self.ratio, self.ratio_interval, 4)),
            f"{figure(self.first.latency_ms, 4)} and {figure(self.second.latency_ms, 4)} ms",
            "stable" if self.is_stable else "not stable",
        )


@dataclass(frozen=True)
class Pair:
    """One attempt to compare, assessed."""

    comparison: LatencyComparison
    first: Attempt
    second: Attempt

    @property
    def is_final(self) -> bool:
        """Whether another attempt is not wanted."""
        return self.first.is_final and self.second.is_final


def assess_pair(clocked: Clocked, subject: Subject, other: Subject) -> Pair:
    """Turn one attempt at `MODEL`, which is `subject`, and `OTHER` into a comparison."""
    first, second = assess(clocked, subject), assess(clocked, other, OTHER)
    protocol = subject.protocol
    ratio, interval = ratio_of(clocked, OTHER, MODEL, protocol)
    assert ratio is not None and interval is not None  # noqa: S101, PT018 - both models were clocked
    return Pair(
        LatencyComparison(ratio, interval, protocol.confidence, first.measurement, second.measurement),
        first,
        second,
    )


def calmest_pair(pairs: Sequence[Pair]) -> LatencyComparison:
    """Return the comparison of the calmest attempt.

    Raises:
        MeasurementError: if the target throttled during all of them.
    """
    both = [
        replace(
            pair.first,
            disturbance=max(pair.first.disturbance, pair.second.disturbance),
            is_final=pair.is_final,
        )
        for pair in pairs
    ]
    index = calmest(both)
    return replace(
        pairs[index].comparison,
        first=stated([pair.first for pair in pairs], index),
        second=stated([pair.second for pair in pairs], index),
    )
