from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from hwnas.errors import MeasurementError, TooSlowError
from hwnas.io_spec import IoSpec
from hwnas.latency.measure import measurements
from hwnas.latency.measure.measurements import NOT_MEASURED, measure_candidate
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.objectives import Metric
from hwnas.onnx_graphs.inspection import inspect_onnx
from hwnas.testing.onnx_models import write_conv_model

SHORT = MeasuringProtocol(processes=1, warmup_s=0.01, max_warmup_s=0.05, max_s=0.05, block_s=0.01)


@pytest.fixture
def meter() -> AgentMeter:
    return open_meter("local?backend=onnxruntime-cpu&threads=1", SHORT)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, IoSpec]:
    path = tmp_path / "model.onnx"
    return path, write_conv_model(path)


def metrics(*names: str) -> list[Metric]:
    return [Metric.parse(name) for name in names]


def test_every_figure_has_its_clock_and_its_evidence(
    meter: AgentMeter, model: tuple[Path, IoSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.latency.measure.resources.IDLE_S", 0.0)
    found = measure_candidate(
        meter, *model, metrics("latency_ms", "median_ms@500hz", "model_size_mb", "load_ms", "peak_memory_mb")
    )
    assert set(found.measurements) == {
        "latency_ms",
        "median_ms@500hz",
        "model_size_mb",
        "load_ms",
        "peak_memory_mb",
    }
    assert found.measurements["latency_ms"] == found.latency.latency_ms
    assert found.measurements["median_ms@500hz"] == found.evidence["fixed_rate@500hz"]["latency_ms"]
    assert found.measurements["load_ms"] == found.evidence["resources"]["load_cold_s"] * 1000
    assert all(value > 0 for value in found.measurements.values())
    assert set(found.to_json()) == set(NOT_MEASURED)


def test_sizes_are_those_of_the_file(meter: AgentMeter, model: tuple[Path, IoSpec]) -> None:
    latency = measure_candidate(meter, *model, metrics("latency_ms")).latency
    found = measure_candidate(meter, *model, metrics("parameters_m", "gmacs"), latency=latency)
    weights = [
        tensor
        for tensor in onnx.load(model[0]).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]
    assert found.measurements["parameters_m"] == sum(math.prod(tensor.dims) for tensor in weights) / 1e6
    assert found.measurements["gmacs"] == inspect_onnx(model[0]).macs / 1e9 > 0


def test_nothing_is_measured_that_nobody_asked_for(
    meter: AgentMeter, model: tuple[Path, IoSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "measure_resources", None)
    monkeypatch.setattr(measurements, "measure_fixed_rate", None)
    found = measure_candidate(meter, *model, metrics("latency_ms"))
    assert list(found.measurements) == ["latency_ms"]
    assert measure_candidate(meter, *model, [], latency=found.latency).latency is found.latency


def test_a_figure_that_the_platform_does_not_tell_is_said(
    meter: AgentMeter, model: tuple[Path, IoSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MeasurementError, match="engine_size_mb cannot be measured"):
        measure_candidate(meter, *model, metrics("engine_size_mb"))


def test_a_tail_of_too_few_frames_is_no_figure(
    meter: AgentMeter, model: tuple[Path, IoSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "seconds_for_tail", lambda *_: 0.1)
    with pytest.raises(MeasurementError, match=r"p99_ms@100hz needs 662 inferences"):
        measure_candidate(meter, *model, metrics("p99_ms@100hz"))


def test_a_network_that_cannot_keep_up_with_a_rate_is_told_from_one_that_cannot_be_measured() -> None:
    found = SimpleNamespace(latency_ms=None, percentiles_ms={"p99": None}, samples_ms=[1.0], dropped=7)
    with pytest.raises(TooSlowError, match="7 frames were dropped"):
        measurements._of_fixed_rate(found, Metric.parse("p99_ms@10hz"))
