"""What a latency measurement is, and who can make one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.json_values import JsonObject
from hwnas.latency.target_state import TargetState
from hwnas.text import one_line, with_interval


@dataclass(frozen=True)
class ReferenceMeasurement:
    """The fixed reference network, clocked by turns with a model in the same processes.

    Attributes:
        sha256: of the reference network's file.
        latency_ms: median of its samples.
        interval_ms: lower and upper end of the confidence interval of that median.
        samples_ms: every sample, in order, one tuple a process.
        block_samples: samples a round and process, half of them before the model's and half after.
    """

    sha256: str
    latency_ms: float
    interval_ms: tuple[float, float]
    samples_ms: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    block_samples: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReferenceMeasurement:
        """Rebuild from the JSON values of a measurement; samples may be missing."""
        return cls(**_with_tuples(value))


@dataclass(frozen=True)
class OtherAttempt:
    """An attempt at a measurement that was less calm than the stated one.

    Attributes:
        latency_ms: median of its samples.
        ratio: to the reference network; None where none was clocked.
        remark: what disturbed it.
    """

    latency_ms: float
    ratio: float | None
    remark: str


@dataclass(frozen=True)
class LatencyMeasurement:
    """Time one inference takes on one target, in milliseconds.

    The clock covers the network alone, one inference after the other, input already in memory.

    Attributes:
        latency_ms: median of all samples.
        interval_ms: lower and upper end of its confidence interval.
        confidence: confidence of the interval, such as 0.95.
        samples_ms: every sample after warm-up, in order, one tuple a process.
        percentiles_ms: `p90`, `p95`, `p99`; None where the samples are too few to state it.
        is_stable: False when the run looked disturbed or was given up early.
        remark: why it is not stable, empty otherwise.
        warmup_s: duration of the warm-up of each process.
        model_sha256: SHA-256 of the measured file.
        target: the target URL.
        fingerprint: fingerprint of the device, backend and settings.
        protocol: the settings that the measurement followed.
        ratio: median over rounds of the model's latency divided by that of the reference network in the same
            round, which cancels drift; None where no reference was clocked.
        ratio_interval: its confidence interval.
        reference: figures of the reference network.
        block_samples: samples a round and process; `samples_ms` holds whole rounds.
        ended: why clocking ended: `precise`, `time limit`, `sample limit` or `over the limit`.
        attempts: times the model was clocked; the calmest of them is stated.
        other_attempts: those that are not stated.
        states: states of the target (clocks, temperatures, alarms) before and after clocking.
    """

    latency_ms: float
    interval_ms: tuple[float, float]
    confidence: float
    samples_ms: tuple[tuple[float, ...], ...] = field(repr=False)
    percentiles_ms: Mapping[str, float | None]
    is_stable: bool
    remark: str
    warmup_s: tuple[float, ...]
    model_sha256: str
    target: str
    fingerprint: JsonObject = field(repr=False)
    protocol: JsonObject = field(repr=False)
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    reference: ReferenceMeasurement | None = None
    block_samples: int = 0
    ended: str = ""
    attempts: int = 1
    other_attempts: tuple[OtherAttempt, ...] = field(default=(), repr=False)
    states: tuple[TargetState, ...] = field(default=(), repr=False)

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

    def to_json(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Return plain JSON values; raw samples, which are many, only if wished."""
        fields = asdict(self)
        if not with_samples:
            for measured in (fields, fields["reference"] or {}):
                measured.pop("samples_ms", None)
        return fields

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LatencyMeasurement:
        """Rebuild from `to_json`; fields that older files lack get their defaults."""
        fields = _with_tuples(value)
        if fields.get("reference") is not None:
            fields["reference"] = ReferenceMeasurement.from_json(fields["reference"])
        fields["other_attempts"] = tuple(OtherAttempt(**each) for each in fields.get("other_attempts", ()))
        fields["states"] = tuple(TargetState.from_json(each) for each in fields.get("states", ()))
        return cls(**fields)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            "{} ms ({} to {})".format(*with_interval(self.latency_ms, self.interval_ms, 4)),
            self.target,
            "stable" if self.is_stable else f"not stable: {self.remark}",
        )


def _with_tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with JSON's lists as the tuples they were."""
    fields = dict(value)
    for name in ("interval_ms", "ratio_interval", "warmup_s"):
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    if "samples_ms" in fields:
        fields["samples_ms"] = tuple(tuple(process) for process in fields["samples_ms"])
    return fields


@runtime_checkable
class LatencyMeter(Protocol):
    """Measures models on one target under one protocol."""

    @property
    def target(self) -> str:
        """URL of the target."""
        ...

    def fingerprint(self) -> JsonObject:
        """Return what identifies the target; figures of different fingerprints do not mix."""
        ...

    def measure(
        self, model: Path, io_spec: IoSpec, *, give_up_over_ms: float | None = None
    ) -> LatencyMeasurement:
        """Clock an ONNX file.

        Args:
            model: the file.
            io_spec: its inputs and outputs.
            give_up_over_ms: a hard limit; a model that is clearly over it may be given up early, which the
                remark says.

        Raises:
            MeasurementError: if the backend refuses the model or the target cannot be used.
        """
        ...

    def close(self) -> None:
        """Release the target; measuring afterwards is an error."""
        ...
