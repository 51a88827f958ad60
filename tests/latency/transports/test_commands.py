"""`hwnas doctor` and `hwnas bench` against a board behind a real OpenSSH server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli import bench, doctor
from hwnas.errors import MeasurementError
from hwnas.files import sha256_of_file
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.measure.test_meter import QUICK
from tests.latency.transports.board import Board


def call(command: object, *arguments: object) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    command.register(app)  # type: ignore[attr-defined]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.stdout, None if isinstance(result.exception, SystemExit) else result.exception


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_QUICK_S", 0.2)
    monkeypatch.setattr(MeasuringProtocol, "final", lambda: QUICK)


def test_doctor_tells_what_the_board_has(board: Board) -> None:
    output, error = call(doctor, "--quick", "--json", "--target", board.url)
    assert error is None
    found = json.loads(output)
    assert found["is_usable"]
    assert found["noise"]["median_ms"] > 0
    assert "onnxruntime" in found["facts"]["backends"]["onnxruntime-cpu"]["versions"]
    # This Python has torch, that of the board has none: the facts are the board's.
    assert "error" in found["facts"]["backends"]["torch"]
    assert board.is_idle()


def test_doctor_says_what_is_wrong_with_the_board(board: Board) -> None:
    url = board.url.replace("backend=onnxruntime-cpu", "backend=torch")
    output, error = call(doctor, "--quick", "--target", url)
    assert isinstance(error, MeasurementError)
    assert "PROBLEM backend: torch cannot be used: The backend 'torch' needs torch and onnx" in output


def test_doctor_of_a_board_without_the_backend_for_models(board: Board) -> None:
    missing = board.url.replace("onnxruntime-cpu", "onnxruntime") + "&provider=CUDAExecutionProvider"
    output, error = call(doctor, "--quick", "--target", missing)
    assert isinstance(error, MeasurementError)
    assert "has no provider 'CUDAExecutionProvider' here" in output


def test_bench_measures_on_the_board(board: Board, tmp_path: Path) -> None:
    write_conv_model(tmp_path / "model.onnx")
    output, error = call(bench, tmp_path / "model.onnx", "--json", "--target", board.url)
    assert error is None
    found = json.loads(output)
    assert found["target"] == board.url
    assert found["latency_ms"] > 0
    assert found["reference"]["latency_ms"] > 0
    assert found["model_sha256"] == sha256_of_file(tmp_path / "model.onnx")
    kept = board.home / ".cache" / "hwnas" / "models" / f"{found['model_sha256']}.onnx"
    assert kept.read_bytes() == (tmp_path / "model.onnx").read_bytes()
    assert board.is_idle()
