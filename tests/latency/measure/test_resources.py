from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.errors import MeasurementError
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.resources import ResourceUse, measure_resources
from hwnas.testing.onnx_models import write_conv_model, write_unknown_operator


@pytest.fixture
def meter() -> AgentMeter:
    return open_meter("local?backend=onnxruntime-cpu&threads=1", MeasuringProtocol(processes=1))


def test_resources_of_a_real_model(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    use = measure_resources(meter, path, write_conv_model(path), idle_s=0.01, busy_s=0.01)
    assert 0 < use.load_warm_s < 60
    assert 0 < use.load_cold_s < 60
    assert use.model_size_mb == pytest.approx(path.stat().st_size / 2**20)
    assert use.engine_size_mb is None
    assert use.peak_memory_mb > use.memory_increase_mb > 0
    assert (use.energy is None) == (use.energy_mj is None)
    assert ResourceUse.from_json(json.loads(json.dumps(use.to_json()))) == use


def test_what_measuring_refuses_is_refused_here_too(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "unknown.onnx"
    io_spec = write_unknown_operator(path)
    with pytest.raises(MeasurementError, match="Levitate"):
        measure_resources(meter, path, io_spec)
    with pytest.raises(MeasurementError, match="readable file"):
        measure_resources(meter, tmp_path / "none.onnx", io_spec)
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        measure_resources(meter, path, io_spec)
