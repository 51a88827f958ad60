from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.cli import bench_jobs
from hwnas.errors import MeasurementError
from tests.latency.onnx_models import write_conv_relu, write_unknown_operator
from tests.latency.test_jobs import QUICK, run_on_board


@pytest.fixture(autouse=True)
def _small_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a small network in the reference's place: what a stand-in measures means nothing."""
    monkeypatch.setattr("hwnas.latency.reference.write_reference", write_conv_relu)


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


def test_job_without_any_figure_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_unknown_operator(tmp_path / "odd.onnx")
    bench_jobs.emit([tmp_path / "odd.onnx"], tmp_path / "job", settings=QUICK, as_json=False)
    assert "sh run.sh" in capsys.readouterr().out
    assert run_on_board(tmp_path / "job", tmp_path).returncode == 0
    with pytest.raises(MeasurementError, match="no figure"):
        bench_jobs.ingest(tmp_path / "job", as_json=False)
    assert "Levitate" in capsys.readouterr().out
