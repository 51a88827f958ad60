from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from hwnas.architecture import Architecture
from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.files import read_checked_json
from hwnas.latency.measure.measurements import CandidateMeasurements, measure_candidate
from hwnas.latency.measure.meter import AgentMeter
from hwnas.pareto import front_indices
from hwnas.search import full_training
from hwnas.search.driver import search
from hwnas.search.full_training import train_front
from hwnas.search.progress import MemberProgress, TrainingStatus
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_target import final_target

FAKE_TRTEXEC = Path(__file__).parents[1] / "latency" / "backends" / "fake_trtexec.py"
pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


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


@pytest.mark.long
def test_what_breaks_a_limit_when_measured_again_is_not_on_the_front(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run(budget__latency_ms=1e6)), run.path)

    def slower(*arguments: Any, **settings: Any) -> CandidateMeasurements:
        found = measure_candidate(*arguments, **settings)
        return replace(found, measurements={**found.measurements, "latency_ms": 2e6})

    monkeypatch.setattr(full_training, "measure_candidate", slower)
    members = train_front(run.path).trained["members"]
    assert members
    assert not any(member["on_front"] for member in members)
    assert {tuple(member["exceeds"]) for member in members} == {("latency_ms <= 1000000",)}


def test_a_run_without_a_front_is_refused(tmp_path: Path) -> None:
    import typer

    from hwnas.cli import train

    app = typer.Typer()
    train.register(app)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert isinstance(result.exception, StudyError)
    assert "hwnas search" in str(result.exception)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A target whose engines are built, by a program that stands in for trtexec."""
    program = tmp_path / "trtexec"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_TRTEXEC}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))
    return f"local?backend=trtexec&program={program}&optimization_level=1"


@pytest.mark.long
def test_final_measurements_may_come_from_slower_builds(write_run, tmp_path: Path, board: str) -> None:
    run = RunDirectory(tmp_path / "out")
    changes = {"final__options": {"optimization_level": 5}, "final__builds": 2}
    measuring = {f"measuring__{key}": value for key, value in changes.items()}
    search(load_config(write_run(search__trials=1, target=board, **measuring)), run.path)
    (member,) = train_front(run.path).trained["members"]
    assert "optimization_level=5" in member["latency"]["target"]
    assert [build["number"] for build in member["builds"]["made"]] == [1, 2]
    assert member["builds"]["chosen"] in (1, 2)
    assert run.read_trained()["rank_agreement"] is None, "one member has no rank"
    levels = {
        argument.rpartition("=")[2]
        for line in (tmp_path / "calls.jsonl").read_text().splitlines()
        for argument in json.loads(line)
        if argument.startswith("--builderOptimizationLevel=")
    }
    assert levels == {"1", "5"}


def test_options_of_final_measurements_must_be_the_backends_own(write_run, board: str) -> None:
    config = load_config(write_run(target=board, measuring__final__options={"optimisation": 5}))
    with pytest.raises(ConfigError, match="Did you mean 'optimization_level'"):
        final_target(config)
    plain = load_config(write_run(target=board))
    assert final_target(plain) == board


@pytest.mark.slow
def test_damaged_results_are_said_and_remedied_as_told(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run()), run.path)
    members = train_front(run.path).trained["members"]
    directory = (run.path / members[0]["checkpoint"]).parent
    for path, expected in ((directory / "result.json", "Remove its directory"), (run.trained, "hwnas train")):
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], whole.replace(b"0.", b"1.", 1), b""):
            path.write_bytes(damaged)
            with pytest.raises(StudyError, match=f"{path.name} cannot be relied on: .*{expected}"):
                train_front(run.path)
            assert path.read_bytes() == damaged
        path.write_bytes(whole)
    shutil.rmtree(directory)
    again = train_front(run.path).trained["members"]
    qualities = [
        {Architecture.from_json(each["architecture"]).id: each["quality"] for each in found}
        for found in (again, members)
    ]
    assert qualities[0] == qualities[1]  # their order is that of latencies, one of which was measured again


def test_a_log_directory_is_refused_where_workers_may_be_elsewhere(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    run.make()
    shutil.copy(write_run(search__executor="ray"), run.config)
    with pytest.raises(ConfigError, match=r"executor 'ray'.*Leave out `log_dir=`"):
        train_front(run.path, log_dir=tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


@pytest.mark.slow
def test_ctrl_c_saves_checkpoints_and_the_same_command_goes_on(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run(search__trials=1)), run.path)
    seen: list[TrainingStatus] = []

    def interrupt(status: TrainingStatus) -> None:
        seen.append(status)
        if status.under_way and "saving" not in status.message:
            os.kill(os.getpid(), signal.SIGINT)

    result = train_front(run.path, steps=20_000, log_dir=tmp_path / "logs", progress=interrupt)
    assert result.interrupted
    (member,) = next(status for status in seen if status.under_way).under_way.values()
    assert (member.steps, member.device) == (20_000, "cpu")
    assert 0 < member.step < 20_000
    (directory,) = run.checkpoints_dir.iterdir()
    state = read_checked_json(directory / "state.json")
    assert member.step <= state["step"] < 20_000
    assert (directory / state["file"]).is_file()
    assert "stopped at step" in (run.path / "log.txt").read_text()

    seen.clear()

    def interrupt_again(status: TrainingStatus) -> None:
        interrupt(status)

    train_front(run.path, steps=20_000, log_dir=tmp_path / "logs", progress=interrupt_again)
    first = next(status for status in seen if status.under_way)
    assert next(iter(first.under_way.values())).step > state["step"]
    assert read_checked_json(directory / "state.json")["step"] > state["step"]
    logs = [path for path in (tmp_path / "logs" / directory.name).iterdir() if "tfevents" in path.name]
    assert len(logs) == 2
    assert all(path.stat().st_size > 0 for path in logs)


@pytest.mark.slow
def test_ctrl_c_while_networks_are_measured_ends_it_after_the_one_under_way(
    write_run, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run(search__trials=2)), run.path)

    def interrupt(status: TrainingStatus) -> None:
        if status.message.startswith("measuring") and status.finished == 2:
            signal.raise_signal(signal.SIGINT)

    result = train_front(run.path, pick=2, progress=interrupt)
    assert result.interrupted
    assert not run.trained.is_file()
    results = [read_checked_json(path) for path in run.checkpoints_dir.glob("*/result.json")]
    assert sorted(found["latency"] is not None for found in results) == [False, True]
    (measured,) = (found["latency"]["latency_ms"] for found in results if found["latency"] is not None)

    again = train_front(run.path, pick=2)
    assert not again.interrupted
    assert measured in [member["latency"]["latency_ms"] for member in again.trained["members"]], "kept"
    assert len(again.trained["members"]) == 2


def test_progress_of_a_network_in_words() -> None:
    known = MemberProgress(600, 1800, 0.41234, "cpu", 3.1)
    assert str(known) == "600/1800 steps, loss 0.412, 3.1 steps/s, 6:27 left, cpu"
    assert str(MemberProgress(1800, 1800, 0.4, "cpu", 3.1)) == "trained, loss 0.400: evaluating, cpu"
    assert str(MemberProgress(1, 1800, 2.0, "cpu")) == "1/1800 steps, loss 2.000, cpu"


@pytest.mark.slow
def test_losses_are_kept_and_another_device_than_there_is_refused(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run(search__trials=1)), run.path)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="The device 'cuda' cannot be used here"):
            train_front(run.path, device="cuda")
    with pytest.raises(ConfigError, match="A device is auto, cpu"):
        train_front(run.path, device="gpu")
    (member,) = train_front(run.path, device="cpu").trained["members"]
    assert [step for step, _ in member["losses"]] == list(range(1, 13))
    assert all(loss > 0 for _, loss in member["losses"])
