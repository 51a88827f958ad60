from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.cli.bench_modes import (
    Modes,
    background_of,
    end_to_end_table,
    fixed_rate_table,
    resources_table,
)
from hwnas.cli.main import make_app
from hwnas.errors import ConfigError, MeasurementError
from hwnas.latency.bench import bench_at_fixed_rate, clock_end_to_end
from hwnas.latency.measure.end_to_end import EndToEndMeasurement
from hwnas.latency.measure.fixed_rate import BackgroundRun, FixedRateMeasurement
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.resources import Energy, ResourceUse
from hwnas.testing.onnx_models import write_conv_model
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, make_scan, write_run

FIXED_RATE = FixedRateMeasurement(
    rate_hz=10.0,
    duration_s=120.0,
    latency_ms=8.0,
    percentiles_ms={"p90": 9.0, "p95": 9.5, "p99": None},
    worst_ms=31.0,
    missed=2,
    dropped=1,
    lateness_p99_ms=None,
    drift=0.125,
    window_medians_ms=(8.0, 9.0),
    throttling=("40 s: VDD_IN curr1_crit_alarm",),
    states=(),
    background=BackgroundRun("c" * 64, 20.0, 19.5, 4.0),
    samples_ms=(8.0,) * 1200,
    model_sha256="0" * 64,
    target="local",
    fingerprint={},
)
WHOLE = EndToEndMeasurement(
    e2e_ms=42.0,
    interval_ms=(41.0, 43.0),
    confidence=0.95,
    percentiles_ms={"p90": 50.0, "p95": None, "p99": None},
    stages_ms={"project_ms": 12.0, "network_ms": 10.0, "label_ms": 20.0},
    samples_ms=((42.0,),),
    num_points=120_000,
    scan_sha256="0" * 64,
    kernel="numpy",
    states=(),
    model_sha256="0" * 64,
    target="local",
    fingerprint={},
)


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def test_background(tmp_path: Path) -> None:
    path = tmp_path / "other@home.onnx"
    write_conv_model(path)
    for text in (f"{path}@20", f"{path}@20 Hz"):
        assert background_of(text) == (path, 20.0)
    for text in (str(path.with_name("plain.onnx")), f"{path}@fast", f"{path}@0", "@20"):
        with pytest.raises(ConfigError, match=r"detector\.onnx@20"):
            background_of(text)
    with pytest.raises(MeasurementError, match="readable file"):
        bench_at_fixed_rate(path, background=background_of(f"{tmp_path}/none.onnx@20"))


@pytest.mark.parametrize(
    "options",
    [
        {"rate_hz": 10.0, "resources": True},
        {"e2e": Path("scan.bin"), "duration": "20m"},
        {"background": "a@1", "compare": Path("other.onnx")},
    ],
)
def test_one_clock_at_a_time(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="only one"):
        Modes(**options).check()


def test_the_command_line_measures_at_a_fixed_rate_and_resources(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_conv_model(path)
    app = make_app()
    options = ["bench", str(path), "--quick", "--json"]
    fixed_rate = CliRunner().invoke(app, [*options, "--rate-hz", "100", "--duration", "0.3s"])
    found = json.loads(fixed_rate.stdout)
    assert (found["rate_hz"], found["duration_s"], found["percentiles_ms"]["p99"]) == (100.0, 0.3, None)
    assert "samples_ms" not in found
    used = json.loads(CliRunner().invoke(app, [*options, "--resources"]).stdout)
    assert used["model_size_mb"] == pytest.approx(path.stat().st_size / 2**20)


def test_resources_are_shown_and_what_is_not_told_is_said() -> None:
    energy = Energy(12.5, ("VDD_IN",), {"VDD_IN": 900.0}, {"VDD_IN": 4000.0}, 200, 2.0, "INA3221")
    use = ResourceUse(0.5, 0.25, 9.0, 300.0, 20.0, None, 1.5, None, energy)
    text = shown(resources_table(use))
    for part in ("500.0", "250.0", "300.0", "n/a", "12.50", "VDD_IN (INA3221)"):
        assert part in text


def test_a_bundle_is_clocked_from_a_scan_file(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    bundle = export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())
    points, intensity, _ = make_scan(1)
    scan = tmp_path / "scan.bin"
    scan.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    protocol = MeasuringProtocol(processes=1, warmup_s=0.01, max_warmup_s=0.05, max_s=0.05, block_s=0.01)
    with open_meter("local?backend=onnxruntime-cpu&threads=1", protocol) as meter:
        found = clock_end_to_end(meter, bundle, scan)
    assert found.num_points == len(points)
    assert found.e2e_ms > found.stages_ms["label_ms"] > 0


def test_a_run_at_a_fixed_rate_is_shown_with_its_clock_and_what_went_wrong() -> None:
    text = shown(fixed_rate_table(FIXED_RATE))
    for part in ("median_ms@10hz", "p99_ms@10hz", "n/a", "2 of 1200", "+12.5%", "VDD_IN", "19.5 of 20 Hz"):
        assert part in text
    assert "latency_ms" not in text
    assert "no" in shown(fixed_rate_table(replace(FIXED_RATE, throttling=())))


def test_an_end_to_end_measurement_is_shown_with_its_stages() -> None:
    text = shown(end_to_end_table(WHOLE))
    for part in ("120000 points", "42.00 (41.00 to 43.00)", "label_ms", "20.00", "n/a"):
        assert part in text
