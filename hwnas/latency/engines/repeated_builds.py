"""Several builds of one engine, of which the fastest is kept.

TensorRT chooses kernels by timing them while it builds, so two builds of one network differ in speed. What
ships must be the engine that was measured, not another one of the same network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.backend_class import backend_class
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.latency.target import Target

BUILD = "build"
_COPY_S = 60.0


@dataclass(frozen=True)
class Build:
    """One build and what it was clocked at.

    Attributes:
        number: of the build, from 1.
        latency_ms: its median.
        interval_ms: of that median.
        ratio: to the reference network; None where none was clocked.
        is_stable: whether the target was calm.
    """

    number: int
    latency_ms: float
    interval_ms: tuple[float, float]
    ratio: float | None
    is_stable: bool

    @classmethod
    def of(cls, number: int, found: LatencyMeasurement) -> Build:
        """Return what a measurement says of the build."""
        return cls(number, found.latency_ms, found.interval_ms, found.ratio, found.is_stable)

    @property
    def value(self) -> float:
        """What builds are compared by: the ratio to the reference, else the median in ms."""
        return self.latency_ms if self.ratio is None else self.ratio


@dataclass(frozen=True)
class Builds:
    """Builds of one network on one target.

    Attributes:
        made: in the order in which they were built, at least one.
    """

    made: tuple[Build, ...]

    @property
    def chosen(self) -> Build:
        """The fastest one."""
        return min(self.made, key=lambda build: build.value)

    @property
    def spread(self) -> float:
        """How much slower the slowest build is than the fastest, such as 0.05 for 5 %."""
        values = [build.value for build in self.made]
        return max(values) / min(values) - 1.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the choice and the spread among them."""
        made = [
            {
                "number": build.number,
                "latency_ms": build.latency_ms,
                "interval_ms": list(build.interval_ms),
                "ratio": build.ratio,
                "is_stable": build.is_stable,
            }
            for build in self.made
        ]
        return {"made": made, "chosen": self.chosen.number, "spread": self.spread}


def can_compare_builds(meter: LatencyMeter) -> bool:
    """Return whether builds of a network may differ on a meter's target, and it names none by number."""
    if not isinstance(meter, SupportsCommands):
        return False
    target = Target.parse(meter.target)
    options: Mapping[str, str] = getattr(backend_class(target.backend), "OPTIONS", {})
    return BUILD in options and BUILD not in dict(target.options)


def keep_fastest_build(meter: LatencyMeter, model: Path, io_spec: IoSpec, count: int) -> Builds | None:
    """Build an ONNX file several times, clock each engine, and let the fastest be the target's engine of it.

    Whatever is measured or exported with `meter` afterwards uses that engine. Clock it once more for a figure
    to state: the fastest of several measurements is flattered by chance.

    Args:
        meter: of the target.
        model: the file.
        io_spec: its inputs and outputs.
        count: of builds, at least 1.

    Returns:
        The builds; None on targets whose builds do not differ.

    Raises:
        MeasurementError: if it cannot be built or clocked.
    """
    if count < 1:
        raise MeasurementError(f"At least one build is needed, but {count} were asked for.")
    if not isinstance(meter, SupportsCommands) or not can_compare_builds(meter):
        return None
    made = []
    for number in range(1, count + 1):
        _build(meter, model, io_spec, number)
        _adopt(meter, model, number)
        # With the meter itself: the reference network beside it keeps the engine it has.
        made.append(Build.of(number, meter.measure(model, io_spec)))
    builds = Builds(tuple(made))
    if builds.chosen.number != count:
        _adopt(meter, model, builds.chosen.number)
    return builds


def _build(meter: SupportsCommands, model: Path, io_spec: IoSpec, number: int) -> None:
    with meter.with_options({BUILD: str(number)}) as other, other.alone(model) as (ask, path):
        ask("load", model=path, io_spec=io_spec.to_json(), seed=meter.protocol.seed)


def _adopt(meter: SupportsCommands, model: Path, number: int) -> None:
    with meter.alone(model) as (ask, path):
        ask("adopt_build", extra_s=_COPY_S, model=path, build=number)
