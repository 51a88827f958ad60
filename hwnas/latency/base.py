"""What a latency measurement is, and who can make one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec


@dataclass(frozen=True)
class LatencyMeasurement:
    """Time one inference takes on one target, in milliseconds.

    The clock covers the network alone, one inference after the other, input already in memory.

    Attributes:
        latency_ms: median of all samples.
        interval_ms: lower and upper end of its confidence interval.
        confidence: of the interval, such as 0.95.
        samples_ms: every sample after warm-up, in order, one tuple a process.
        percentiles_ms: `p90`, `p95`, `p99`; None where the samples are too few to state it.
        is_stable: False when the run did not reach the wished interval or looked disturbed.
        remark: why it is not stable, empty otherwise.
        warmup_s: duration of the warm-up of each process.
        model_sha256: of the measured file.
        target: the target URL.
        fingerprint: of the device, runtime and settings.
        protocol: the settings that the measurement followed.
    """

    latency_ms: float
    interval_ms: tuple[float, float]
    confidence: float
    samples_ms: tuple[tuple[float, ...], ...]
    percentiles_ms: Mapping[str, float | None]
    is_stable: bool
    remark: str
    warmup_s: tuple[float, ...]
    model_sha256: str
    target: str
    fingerprint: Mapping[str, Any]
    protocol: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse what cannot be a latency.

        Raises:
            MeasurementError: if the median is not finite and positive or lies outside its interval.
        """
        low, high = self.interval_ms
        if not (math.isfinite(self.latency_ms) and 0 < low <= self.latency_ms <= high < math.inf):
            raise MeasurementError(
                "A latency must be finite, positive and inside its interval, but got "
                f"{self.latency_ms!r} ms in {self.interval_ms!r} on {self.target!r}. Measure again."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, raw samples included."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LatencyMeasurement:
        """Rebuild from `to_json`."""
        fields = dict(value)
        fields["interval_ms"] = tuple(fields["interval_ms"])
        fields["samples_ms"] = tuple(tuple(process) for process in fields["samples_ms"])
        fields["warmup_s"] = tuple(fields["warmup_s"])
        return cls(**fields)


@runtime_checkable
class LatencyMeter(Protocol):
    """Measures models on one target under one protocol."""

    @property
    def target(self) -> str:
        """URL of the target."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what identifies the target; figures of different fingerprints do not mix."""
        ...

    def measure(self, model: Path, io_spec: IoSpec) -> LatencyMeasurement:
        """Clock an ONNX file.

        Raises:
            MeasurementError: if the runtime refuses the model or the target cannot be used.
        """
        ...

    def close(self) -> None:
        """Release the target; measuring afterwards is an error."""
        ...
