from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli import bench, bench_jobs
from hwnas.errors import HwnasError, MeasurementError
from hwnas.testing.onnx_models import write_conv_relu, write_unknown_operator
from tests.latency.measure.jobs.test_job import QUICK, run_on_board


def test_job_of_files_and_bundles_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "5cfe01b9").mkdir()
    write_conv_relu(tmp_path / "5cfe01b9" / "model.onnx")
    write_conv_relu(tmp_path / "wide.onnx", width=64)
    bench_jobs.emit(
        [tmp_path / "5cfe01b9", tmp_path / "wide.onnx"], tmp_path / "job", settings=QUICK, as_json=True
    )
    assert json.loads(capsys.readouterr().out)["script"] == str(tmp_path / "job" / "run.sh")
    done = run_on_board(tmp_path / "job", tmp_path)
    assert done.returncode == 0, done.stderr
    bench_jobs.ingest(tmp_path / "job", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found["measurements"]) == {"5cfe01b9", "wide"}
    bench_jobs.ingest(tmp_path / "job", as_json=False)
    assert "of the reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["m.onnx", "--ingest", "job"], "--ingest alone"),
        (["--emit-job", "job", "--ingest", "job"], "--ingest alone"),
        (["--emit-job", "job"], "at least one model"),
        (["--ingest", "none"], r"job\.json"),
        ([], "one model, but 0"),
        (["a.onnx", "b.onnx"], "one model, but 2"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], reason: str, tmp_path: Path) -> None:
    app = typer.Typer()
    bench.register(app)
    result = CliRunner().invoke(
        app, [str(tmp_path / text) if text in {"job", "none"} else text for text in arguments]
    )
    assert isinstance(result.exception, HwnasError)
    assert re.search(reason, str(result.exception))


def test_every_option_that_a_job_does_not_follow_is_refused(tmp_path: Path) -> None:
    app = typer.Typer()
    bench.register(app)
    parameters = typer.main.get_command(app).params
    others = [each for each in parameters if each.name not in {"models", "emit_job", "ingest", "as_json"}]
    options = [
        each.opts[0] for each in others if each.opts[0] != "--help" and "completion" not in each.opts[0]
    ]
    assert {"--target", "--input", "--rate-hz", "--quick"} <= set(options)
    for each in others:
        if each.opts[0] in options:
            value = [] if each.is_flag else ["1"]
            arguments = ["m.onnx", "--emit-job", str(tmp_path / "job"), each.opts[0], *value]
            result = CliRunner().invoke(app, arguments)
            assert isinstance(result.exception, HwnasError), result.output
            assert f"leave {each.opts[0]} out" in str(result.exception)
    assert not (tmp_path / "job").exists()


def test_command_writes_a_job(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "small.onnx")
    app = typer.Typer()
    bench.register(app)
    result = CliRunner().invoke(
        app, [str(tmp_path / "small.onnx"), "--emit-job", str(tmp_path / "job"), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert Path(json.loads(result.stdout)["script"]).is_file()


def test_job_without_any_measurement_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_unknown_operator(tmp_path / "odd.onnx")
    bench_jobs.emit([tmp_path / "odd.onnx"], tmp_path / "job", settings=QUICK, as_json=False)
    assert "sh run.sh" in capsys.readouterr().out
    assert run_on_board(tmp_path / "job", tmp_path).returncode == 0
    with pytest.raises(MeasurementError, match="no measurement"):
        bench_jobs.ingest(tmp_path / "job", as_json=False)
    assert "Levitate" in capsys.readouterr().out
