from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import MeasurementError
from hwnas.latency.agent.end_to_end import STAGES
from hwnas.latency.measure import end_to_end
from hwnas.latency.measure.end_to_end import EndToEndJob, measure_end_to_end
from hwnas.latency.measure.measurements import measure_candidate
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.objectives import Metric
from hwnas.range_view.compiled import kernel_name
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.made_up_scan import DEPLOYMENT, made_up_scan

SHORT = MeasuringProtocol(
    processes=2, warmup_s=0.01, max_warmup_s=0.05, max_s=0.1, block_s=0.01, min_samples=6
)
JOB = EndToEndJob(DEPLOYMENT, made_up_scan())


@pytest.fixture
def meter() -> AgentMeter:
    return open_meter("local?backend=onnxruntime-cpu&threads=1", SHORT)


def test_a_scan_is_clocked_from_points_to_labels(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path, channels=2, width=256)
    found = measure_candidate(meter, path, io_spec, [Metric("e2e_ms")], end_to_end=JOB)
    whole = json.loads(json.dumps(found.evidence["end_to_end"]))
    assert found.measurements["e2e_ms"] == whole["e2e_ms"] > found.measurements["latency_ms"]
    assert set(whole["stages_ms"]) == set(STAGES)
    assert whole["e2e_ms"] > whole["stages_ms"]["label_ms"] > 0
    low, high = whole["interval_ms"]
    assert low <= whole["e2e_ms"] <= high
    assert (whole["num_points"], len(whole["samples_ms"]), len(whole["states"])) == (3000, 2, 4)
    assert whole["e2e_ms"] == pytest.approx(np.median(whole["samples_ms"]))
    assert whole["kernel"] == kernel_name()


def test_a_network_for_other_images_is_refused(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path)
    with pytest.raises(MeasurementError, match="the projection makes"):
        measure_end_to_end(meter, path, io_spec, JOB)
    with pytest.raises(MeasurementError, match="e2e_ms needs a task"):
        measure_candidate(meter, path, io_spec, [Metric("e2e_ms")])


def test_throttling_discards_it(meter: AgentMeter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = {"alarms": [], "throttle_counters": {}, "gpus": None}
    hot = {**calm, "alarms": ["gpu-throttle-alert is active"]}
    runs: list[int] = []

    def one_process(*_: object) -> object:
        runs.append(1)
        samples = {name: [[1.0, 2.0, 3.0]] * 3 for name in ("e2e_ms", *STAGES)}
        states = calm, hot if len(runs) <= SHORT.processes else calm
        return end_to_end.ProcessRun(samples, states, "numpy")

    monkeypatch.setattr(end_to_end, "_one_process", one_process)
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path)
    assert measure_end_to_end(meter, path, io_spec, JOB).e2e_ms == 2.0
    assert len(runs) == 2 * SHORT.processes
    monkeypatch.setattr(end_to_end, "throttling", lambda *_: ["hot"])
    with pytest.raises(MeasurementError, match=r"3 of 3 did \(hot; hot\)"):
        measure_end_to_end(meter, path, io_spec, JOB)
