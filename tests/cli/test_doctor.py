from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli import doctor
from hwnas.errors import MeasurementError


def call(*arguments: str) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    doctor.register(app)
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    return result.stdout, result.exception


@pytest.fixture(autouse=True)
def _own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(doctor, "_QUICK_S", 0.2)


def test_this_machine_as_json() -> None:
    output, error = call("--quick", "--json")
    assert error is None
    found = json.loads(output)
    assert found["is_usable"]
    assert found["noise"]["median_ms"] > 0
    assert found["target"] == "local?backend=onnxruntime-cpu&threads=1"
    assert {"backend", "processors", "noise"} <= {finding["check"] for finding in found["findings"]}


def test_unusable_backend_is_said_with_advice() -> None:
    output, error = call("--quick", "--target", "local?backend=trtexec&program=/none")
    assert isinstance(error, MeasurementError)
    assert "PROBLEM backend: trtexec cannot be used" in output
    assert "->" in output
