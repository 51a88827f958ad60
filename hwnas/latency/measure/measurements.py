"""All figures of one network that a search asks for, each by its own clock or sensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import MeasurementError, TooSlowError
from hwnas.io_spec import IoSpec
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.end_to_end import EndToEndJob, measure_end_to_end
from hwnas.latency.measure.fixed_rate import FixedRateMeasurement, measure_fixed_rate, seconds_for_tail
from hwnas.latency.measure.resources import ResourceUse, measure_resources
from hwnas.latency.measure.statistics import MIN_SAMPLES_OF_TAIL
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.objectives import END_TO_END, FIXED_RATE, LATENCY, RESOURCES, SIZES, Metric
from hwnas.onnx_graphs.inspection import GraphReport, inspect_onnx

NOT_MEASURED: Mapping[str, Any] = {"latency": None, "measurements": {}, "evidence": {}}
_MIN_SAMPLES_OF_MEDIAN = 100


@dataclass(frozen=True)
class CandidateMeasurements:
    """What was measured of one network.

    Attributes:
        latency: of the network alone.
        measurements: by canonical name, `latency_ms` always among them.
        evidence: the measurements behind the other figures, as JSON values.
    """

    latency: LatencyMeasurement
    measurements: Mapping[str, float]
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CandidateMeasurements:
        """Rebuild from `to_json`, or from a record that holds its keys.

        Raises:
            ValueError: if nothing was measured.
        """
        if value["latency"] is None:
            raise ValueError("Nothing was measured of this network.")
        latency = LatencyMeasurement.from_json(value["latency"])
        return cls(latency, dict(value["measurements"]), dict(value["evidence"]))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with the keys of `NOT_MEASURED`."""
        return {
            "latency": self.latency.to_json(),
            "measurements": dict(self.measurements),
            "evidence": dict(self.evidence),
        }


def measure_candidate(
    meter: LatencyMeter,
    model: Path,
    io_spec: IoSpec,
    metrics: Iterable[Metric],
    *,
    latency: LatencyMeasurement | None = None,
    end_to_end: EndToEndJob | None = None,
    give_up_over_ms: float | None = None,
) -> CandidateMeasurements:
    """Measure an ONNX file in every way that `metrics` need.

    A run at a fixed rate lasts as long as its tail needs to be stated, see `MIN_SAMPLES_OF_TAIL`.

    Args:
        meter: of the target.
        model: the file.
        io_spec: its inputs and outputs.
        metrics: what is wanted.
        latency: of the network alone, where it is known already.
        end_to_end: needed for `e2e_ms`.
        give_up_over_ms: hard limit of that latency, see `LatencyMeter.measure`.

    Raises:
        MeasurementError: if the file cannot be measured, or the platform does not tell a figure; a
            `TooSlowError` if the network cannot keep up with a fixed rate.
        ExportError: if sizes are wanted and it is no ONNX file.
    """
    wanted = list(metrics)
    latency = latency or meter.measure(model, io_spec, give_up_over_ms=give_up_over_ms)
    measurements: dict[str, float] = {LATENCY: latency.latency_ms}
    evidence: dict[str, Any] = {}
    if any(metric.name in RESOURCES for metric in wanted):
        use = measure_resources(_with_agents(meter), model, io_spec)
        evidence["resources"] = use.to_json()
        measurements |= {m.name: _of_resources(use, m, meter) for m in wanted if m.name in RESOURCES}
    if any(metric.name in SIZES for metric in wanted):
        graph = inspect_onnx(model)
        measurements |= {metric.name: _of_graph(graph, metric) for metric in wanted if metric.name in SIZES}
    if any(metric.name == END_TO_END for metric in wanted):
        if end_to_end is None:
            raise MeasurementError(f"{END_TO_END} needs a task that is clocked from a scan to its labels.")
        whole = measure_end_to_end(_with_agents(meter), model, io_spec, end_to_end)
        evidence["end_to_end"] = whole.to_json()
        measurements[END_TO_END] = whole.e2e_ms
    for rate_hz in sorted({m.rate_hz for m in wanted if m.rate_hz is not None}):
        of_rate = [metric for metric in wanted if metric.rate_hz == rate_hz and metric.name in FIXED_RATE]
        found = _fixed_rate(_with_agents(meter), model, io_spec, rate_hz, of_rate)
        evidence[f"fixed_rate@{rate_hz:g}hz"] = found.to_json()
        measurements |= {str(metric): _of_fixed_rate(found, metric) for metric in of_rate}
    return CandidateMeasurements(latency, measurements, evidence)


def _of_graph(graph: GraphReport, metric: Metric) -> float:
    if metric.name == "parameters_m":
        return graph.parameters / 1e6
    if graph.macs is None:
        raise MeasurementError(
            f"{metric} of this network is not known: the work of {graph.unknown_text} cannot be told. Leave "
            "it out of objective and limits."
        )
    return graph.macs / 1e9


def _with_agents(meter: LatencyMeter) -> SupportsCommands:
    if not isinstance(meter, SupportsCommands):
        raise MeasurementError(
            f"{type(meter).__name__} clocks the network alone; memory, energy and metrics at a fixed "
            "rate need a meter that takes commands (`SupportsCommands`), such as of a target that "
            "`hwnas.latency.measure.meter.open_meter` opens."
        )
    return meter


def _fixed_rate(
    meter: SupportsCommands, model: Path, io_spec: IoSpec, rate_hz: float, metrics: list[Metric]
) -> FixedRateMeasurement:
    samples = max(
        MIN_SAMPLES_OF_TAIL.get(metric.name.removesuffix("_ms"), _MIN_SAMPLES_OF_MEDIAN) for metric in metrics
    )
    duration_s = seconds_for_tail(rate_hz, samples)
    return measure_fixed_rate(meter, model, io_spec, rate_hz=rate_hz, duration_s=duration_s)


def _of_fixed_rate(found: FixedRateMeasurement, metric: Metric) -> float:
    tail = metric.name.removesuffix("_ms")
    value = found.latency_ms if tail == "median" else found.percentiles_ms[tail]
    if value is None:
        raise TooSlowError(
            f"{metric} needs {MIN_SAMPLES_OF_TAIL[tail]} inferences, but only {len(found.samples_ms)} were "
            f"in time and {found.dropped} frames were dropped: the network is too slow for that rate."
        )
    return value


def _of_resources(use: ResourceUse, metric: Metric, meter: LatencyMeter) -> float:
    value = {
        "load_ms": use.load_cold_s * 1000,
        "load_warm_ms": use.load_warm_s * 1000,
        "energy_mj": use.energy_mj,
    }.get(metric.name, getattr(use, metric.name, None))
    if value is None:
        raise MeasurementError(
            f"{metric} cannot be measured on {meter.target!r}: nothing there tells it. Leave it out of "
            "objective and limits, or search on a target with such a sensor."
        )
    return float(value)
