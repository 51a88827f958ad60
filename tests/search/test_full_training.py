from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.latency.meter import AgentMeter
from hwnas.pareto import front_indices
from hwnas.search.driver import search
from hwnas.search.full_training import train_front
from hwnas.search.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("tiny_plugin")


@pytest.mark.slow
def test_the_front_is_trained_measured_and_kept(write_run, tmp_path: Path, monkeypatch) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run()), run.path)
    seen = []
    result = train_front(run.path, progress=seen.append)
    members = result.trained["members"]
    assert run.read_trained() == json.loads(json.dumps(result.trained))
    assert len(members) == len(run.read_front()["members"]) == seen[-1].finished
    points = [(1 - m["quality"]["value"], m["latency"]["latency_ms"]) for m in members]
    assert {index for index, m in enumerate(members) if m["on_front"]} == set(front_indices(points))
    for member in members:
        assert (run.path / member["checkpoint"]).is_file()
        assert member["recipe"]["steps"] == 12
        assert member["latency"]["samples_ms"]
        assert not (run.path / member["checkpoint"]).with_name("model.onnx").exists()

    again = train_front(run.path, pick="knee")
    assert again.trained == result.trained
    longer = train_front(run.path, pick="knee", steps=13).trained
    assert sorted(m["recipe"]["steps"] for m in longer["members"]) == sorted([13] + [12] * (len(members) - 1))

    monkeypatch.setattr(AgentMeter, "fingerprint", lambda self: {"cpu": "another one"})
    with pytest.raises(StudyError, match="one target"):
        train_front(run.path)


def test_a_run_without_a_front_is_refused(tmp_path: Path) -> None:
    import typer

    from hwnas.cli import train

    app = typer.Typer()
    train.register(app)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert isinstance(result.exception, StudyError)
    assert "hwnas search" in str(result.exception)
