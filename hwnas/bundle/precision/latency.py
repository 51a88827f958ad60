"""How fast a precision is against fp32 on a target, both clocked by turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.io_spec import IoSpec
from hwnas.latency.measure.comparison import LatencyComparison
from hwnas.latency.measurement import LatencyMeasurement


@runtime_checkable
class ComparingMeter(Protocol):
    """A meter that clocks two models by turns."""

    def compare(self, first: tuple[Path, IoSpec], second: tuple[Path, IoSpec]) -> LatencyComparison:
        """Say how many times slower the second model is."""
        ...


@dataclass(frozen=True)
class Speed:
    """Latency of one precision, and its ratio to fp32 clocked in the same rounds.

    Attributes:
        ratio: latency over that of fp32; below 1 is faster.
        ratio_interval: its confidence interval.
        is_stable: whether nothing disturbed the clock.
        latency: of this precision.
    """

    ratio: float
    ratio_interval: tuple[float, float]
    is_stable: bool
    latency: LatencyMeasurement

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without samples."""
        return {
            "ratio": self.ratio,
            "ratio_interval": list(self.ratio_interval),
            "is_stable": self.is_stable,
            "latency": self.latency.to_json(with_samples=False),
        }


def speed_of(meter: object, reference: Path, model: Path, io_spec: IoSpec) -> Speed | None:
    """Clock a precision by turns with fp32; None where the meter cannot clock two models.

    Raises:
        MeasurementError: if the target refuses a model or cannot be used.
    """
    if not isinstance(meter, ComparingMeter):
        return None
    found = meter.compare((reference, io_spec), (model, io_spec))
    return Speed(found.ratio, found.ratio_interval, found.is_stable, found.second)
