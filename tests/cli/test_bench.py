from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from onnx import TensorProto, helper
from typer.testing import CliRunner

from hwnas.cli import bench, bench_jobs
from hwnas.cli.bench_modes import Modes
from hwnas.cli.measurement_tables import comparison_table, latency_cells, measurement_table, print_remarks
from hwnas.errors import ConfigError, MeasurementError
from hwnas.files import sha256_of_file
from hwnas.latency.agent.lock import MeasuringLock
from hwnas.latency.measure.comparison import LatencyComparison
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.testing.onnx_models import write_conv_model, write_dynamic_model
from tests.latency.test_measurement import MEASUREMENT

QUICK = MeasuringProtocol(
    processes=2,
    warmup_s=0.01,
    max_warmup_s=0.1,
    block_s=0.02,
    reference_block_s=0.01,
    min_samples=10,
    max_s=0.2,
    limit_s=1.0,
    max_attempts=1,
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that runs `hwnas bench` with arguments."""
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(MeasuringProtocol, "final", lambda: QUICK)
    app = typer.Typer()
    bench.register(app)

    def invoke(*arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_json_states_the_figures_and_the_file_every_sample(run, tmp_path: Path) -> None:
    model, samples = tmp_path / "model.onnx", tmp_path / "samples.json"
    write_conv_model(model)
    result = run(model, "--json", "--samples-out", samples)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert "samples_ms" not in figures
    assert figures["model_sha256"] == sha256_of_file(model)
    whole = LatencyMeasurement.from_json(json.loads(samples.read_text()))
    assert whole.to_json(with_samples=False) == LatencyMeasurement.from_json(
        {**figures, "samples_ms": ()}
    ).to_json(with_samples=False)
    assert sum(len(process) for process in whole.samples_ms) >= QUICK.min_samples


def test_the_table_states_interval_ratio_tails_and_stability(run, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_conv_model(model)
    result = run(model)
    assert result.exit_code == 0, result.output
    for word in ("95% interval", "ratio to the reference", "n/a, too few samples", "stable", "warm-up"):
        assert word in result.stdout


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_missing_backend_is_said_while_another_measures(run, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_conv_model(model)
    other = MeasuringLock(str(tmp_path / "lock"))
    other.acquire(0)
    try:
        result = run(model, "--target", "local?backend=tensorrt")
    finally:
        other.release()
    assert isinstance(result.exception, MeasurementError)
    assert "The backend 'tensorrt' needs its Python module" in str(result.exception)


def test_two_models_are_compared(run, tmp_path: Path) -> None:
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    write_conv_model(small, channels=4, layers=1)
    write_conv_model(large, channels=32, layers=6)
    result = run(small, "--compare", large, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ratio"] > 1.5
    assert found["ratio_interval"][0] <= found["ratio"] <= found["ratio_interval"][1]
    table = run(small, "--compare", large)
    assert "second / first" in table.stdout


def test_a_dynamic_model_is_measured_at_the_given_shape(run, tmp_path: Path) -> None:
    model = tmp_path / "dynamic.onnx"
    write_dynamic_model(model)
    assert isinstance(run(model).exception, ConfigError)
    result = run(model, "--input", "image=1x5x16x64", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["latency_ms"] > 0


def test_samples_that_cannot_be_written_are_said(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.onnx"
    write_conv_model(model)
    result = run(model, "--samples-out", tmp_path / "none" / "samples.json")
    assert isinstance(result.exception, ConfigError)
    assert "directory that does not exist" in str(result.exception)

    def never(*_: object, **__: object) -> None:
        pytest.fail("must refuse before measuring")

    monkeypatch.setattr(Modes, "measure", never)
    (tmp_path / "thesis.json").write_text("{}")
    for name, reported in (
        ("a" * 300, "no file can have that name"),
        ("thesis.json", "did not write as such"),
    ):
        result = run(model, "--samples-out", tmp_path / name)
        assert isinstance(result.exception, ConfigError)
        assert reported in str(result.exception)
    assert (tmp_path / "thesis.json").read_text() == "{}"


def test_what_may_not_be_relied_on_is_marked_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    calm = LatencyMeasurement(
        latency_ms=2.0,
        interval_ms=(1.9, 2.1),
        confidence=0.95,
        samples_ms=(),
        percentiles_ms={},
        is_stable=True,
        remark="",
        warmup_s=(),
        model_sha256="0" * 64,
        target="local",
        fingerprint={},
        protocol={},
    )
    disturbed = replace(calm, is_stable=False, remark="19% were slow")
    assert (latency_cells(calm)[0], latency_cells(disturbed)[0]) == ("2.00", "2.00 (!)")
    assert latency_cells(None) == ("n/a", "")
    print_remarks({"trial 3": calm, "trial 4": disturbed, "trial 5": None})
    assert capsys.readouterr().out == "(!) trial 4: 19% were slow\n"


def test_given_values_reach_the_network(run, tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 8])]
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "shape"], ["y"])], "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert isinstance(run(tmp_path / "m.onnx", "--json").exception, MeasurementError)
    result = run(tmp_path / "m.onnx", "--input", "shape=[2, 8]", "--json")
    assert result.exit_code == 0, result.output
    job = run(tmp_path / "m.onnx", "--input", "shape=[2, 8]", "--emit-job", tmp_path / "job")
    assert "leave --input out" in str(job.exception)


def test_names_of_files_break_no_lines_of_a_table() -> None:
    path = Path("fast\n0.001 ms\x1b[2J.onnx")
    assert str(measurement_table(path, MEASUREMENT).title).startswith(
        "Latency of fast\\x0a0.001 ms\\x1b[2J.onnx on"
    )
    comparison = LatencyComparison(1.0, (0.9, 1.1), 0.95, MEASUREMENT, MEASUREMENT)
    headings = [str(column.header) for column in comparison_table(path, path, comparison).columns]
    assert headings[1] == "fast\\x0a0.001 ms\\x1b[2J.onnx"


def test_intervals_of_small_figures_keep_their_digits() -> None:
    """As of a network of 5 microseconds: its interval is not 0.003 to 0.005, its ratio not 0.000 to 0.000."""
    small = replace(
        MEASUREMENT,
        latency_ms=0.004837,
        interval_ms=(0.003412, 0.005098),
        ratio=0.000293,
        ratio_interval=(0.000201, 0.000304),
    )
    assert latency_cells(small) == ("0.00484", "0.00341 to 0.00510")
    assert "0.004837 ms (0.003412 to 0.005098)" in repr(small)
    table = measurement_table(Path("model.onnx"), small)
    cells = [str(cell) for column in table.columns for cell in column.cells]
    assert "0.004837, 95% interval 0.003412 to 0.005098 ms" in cells
    assert "0.0002930, 95% interval 0.0002010 to 0.0003040" in cells
    assert "0.0002930 [0.0002010, 0.0003040] of the reference" in bench_jobs._line(small)
