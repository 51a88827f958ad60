"""Drivers that are killed between a record and its telling: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory
from hwnas.search.study import SearchStudy
from tests.search.resume.consistency import consistent_front
from tests.search.test_killing import events

pytestmark = pytest.mark.usefixtures("forked_workers")


DYING = """\
import os, signal, sys
import optuna
from hwnas.cli.search import *
from hwnas.search.study import SearchStudy

moment, name, calls = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
owner, method = (optuna.Study, "tell") if moment == "half told" else (SearchStudy, moment)
real = getattr(owner, method)

def fatal(self, *arguments, **fields):
    global calls
    study = self if moment == "half told" else self.optuna_study
    calls -= study.study_name == name
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *arguments, **fields)

setattr(owner, method, fatal)
app = typer.Typer()
register(app)
app()
"""
"""The command `search`, which kills itself the n-th time that it is about to tell a study."""


def die_telling(moment: str, study: str, calls: int, *arguments: Path | str) -> None:
    """Search, and be killed when the n-th trial of a study has a record and is to be told."""
    command = [sys.executable, "-c", DYING, moment, study, str(calls), *map(str, arguments)]
    process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
    assert process.returncode == -signal.SIGKILL, process.stdout + process.stderr


def resumed(run: RunDirectory) -> dict[str, Any]:
    return search(run.load_config(), run.path, resume=True).to_json()


def open_trial(run: RunDirectory, name: str | None = None) -> int:
    """Return the only trial that nobody told."""
    study = SearchStudy(run.study_journal, read_only=True)
    try:
        (number,) = (study if name is None else study.beside(name)).open_trials()
    finally:
        study.close()
    return number


def events_of(run: RunDirectory, kind: str, number: int) -> list[dict[str, Any]]:
    return [event for event in events(run, kind) if event.get("trial") == number]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
@pytest.mark.parametrize("moment", ["tell_trained", "half told"])
def test_a_trained_network_counts_once_though_its_driver_was_killed_before_telling(
    write_run: Callable[..., Path], tmp_path: Path, moment: str
) -> None:
    run = RunDirectory(tmp_path / "out")
    die_telling(moment, "search", 2, write_run(budget__constraints=["parameters_m <= 1"]), "--out", run.path)
    number = open_trial(run)
    written = run.trial_record(number).read_bytes()
    record = json.loads(written)
    assert record["state"] == "COMPLETE"
    assert not events_of(run, "trained", number), "it was killed before"
    assert number not in [trial["number"] for trial in run.read_front()["trials"] if trial["error"]]

    summary = resumed(run)
    assert (summary["trained"], summary["failed"]) == (3, 0)
    front = consistent_front(run)
    trial = front["trials"][number]
    assert trial["state"] == "COMPLETE"
    assert trial["error"] == 1 - record["quality"]["value"]
    assert trial["latency_ms"] == record["latency"]["latency_ms"]
    assert trial["measurements"] == record["measurements"]
    assert run.trial_record(number).read_bytes() == written
    last = events(run, "session")[-1]
    assert (last["recovered"], last["stale"]) == ([number], [])
    assert "1 were finished and count" in last["message"]
    # Two trials were told as they were trained; the third was not trained again, under any number.
    assert len(events(run, "trained")) == 2
    assert not events_of(run, "trained", number)
    same = [one for one in front["trials"] if one["architecture"] == trial["architecture"]]
    assert [one["duplicate_of"] for one in same] == [None, *[number] * (len(same) - 1)]
    study = SearchStudy(run.study_journal, read_only=True)
    reported = study.optuna_study.trials[number]
    assert reported.values == [trial["error"], trial["latency_ms"]]
    assert reported.constraints == {"parameters_m": record["measurements"]["parameters_m"] - 1}
    study.close()


@pytest.mark.long
@pytest.mark.usefixtures("tiny_plugin")
def test_a_network_over_a_limit_stays_so_though_its_driver_was_killed_before_telling(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "out")
    limits = ["parameters_m <= 0.00003"]
    choices = {"channels": [2, 8], "depth": [1], "kernel": [1]}
    path = write_run(space__choices=choices, budget__constraints=limits, search__trials=2)
    die_telling("tell_infeasible", "search", 1, path, "--out", run.path)
    number = open_trial(run)
    record = run.read_trial(number)
    assert (record["state"], record["quality"]) == ("PRUNED", None)

    assert resumed(run)["trained"] == 2
    trial = consistent_front(run)["trials"][number]
    assert (trial["state"], trial["feasible"], trial["measurements"]) == (
        "PRUNED",
        False,
        record["measurements"],
    )
    assert run.read_trial(number) == record
    assert events(run, "session")[-1]["recovered"] == [number]
    study = SearchStudy(run.study_journal, read_only=True)
    reported = study.optuna_study.trials[number]
    assert reported.constraints == {"parameters_m": record["measurements"]["parameters_m"] - 0.00003}
    study.close()


@pytest.mark.long
@pytest.mark.usefixtures("tiny_plugin")
def test_a_network_on_a_shorter_training_counts_there_and_is_promoted(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "out")
    path = write_run(search__fidelities={"steps": [2], "reduction_factor": 2}, search__trials=2)
    die_telling("tell_trained", "search-rung-1", 2, path, "--out", run.path)
    number = open_trial(run, "rung-1")
    record = run.rung(1).read_trial(number)

    summary = resumed(run)
    assert summary["trained"] == 1
    last = events(run, "session")[-1]
    assert (last["recovered"], last["stale"]) == ([number], [])
    below = run.rung(1).read_front()["trials"]
    assert [trial["state"] for trial in below if trial["duplicate_of"] is None] == ["COMPLETE"] * 2
    assert below[number]["error"] == 1 - record["quality"]["value"]
    assert run.rung(1).read_trial(number) == record


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_study_that_cannot_be_told_loses_nothing(
    write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "out")

    def full(self: SearchStudy, *_: object, **__: object) -> None:
        raise StudyError("The journal cannot be written: no space left.")

    with monkeypatch.context() as patch:
        patch.setattr(SearchStudy, "tell_trained", full)
        with pytest.raises(StudyError, match="no space left"):
            search(load_config(write_run(search__trials=2)), run.path)
    number = open_trial(run)
    record = run.read_trial(number)
    assert record["state"] == "COMPLETE"
    result = search(load_config(write_run(search__trials=2)), run.path, resume=True)
    assert result.to_json()["trained"] == 2
    assert result.front["trials"][number]["error"] == 1 - record["quality"]["value"]
    assert events(run, "session")[-1]["recovered"] == [number]
