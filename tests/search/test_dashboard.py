"""optuna-dashboard, as it is installed, shows a run's study: fetched over HTTP, without a browser."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from hwnas.config import load_config
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")

pytestmark = [pytest.mark.usefixtures("tiny_plugin"), pytest.mark.slow]

FAST, SLOW = 2, 8
"""Channels; networks with more are over the limit on parameters."""


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """Serve a journal as `optuna-dashboard JOURNAL` does; gives the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(journal)]
    place = ["--host", "127.0.0.1", "--port", str(port), "--server", "wsgiref"]
    with (journal.parent / "dashboard.log").open("w+") as log:
        server = subprocess.Popen([*command, *place], stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not is_up(address):
                log.seek(0)
                assert server.poll() is None, log.read()
                assert time.monotonic() < deadline, log.read()
                time.sleep(0.1)
            yield address
        finally:
            server.kill()
            server.wait()


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/meta", timeout=30):
            return True
    except urllib.error.URLError:
        return False


def fetched(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
        assert answer.status == 200
        return json.load(answer)


def attributes(shown: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in shown["user_attrs"]}


def test_the_dashboard_shows_the_study_of_a_run(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    settings: dict[str, Any] = {
        "space__choices": {"channels": [FAST, SLOW], "depth": [1], "kernel": [1]},
        "objective": "median_ms@500hz",
        "budget__constraints": ["parameters_m <= 0.00003"],
    }
    front = search(load_config(write_run(**settings, search__trials=1)), run.path).front
    before = run.study_journal.read_bytes()
    with dashboard(run.study_journal) as address:
        (listed,) = fetched(address, "/api/studies")["study_summaries"]
        assert listed["study_name"] == "search"
        assert listed["directions"] == ["minimize", "minimize"]
        path = f"/api/studies/{listed['study_id']}"
        study = fetched(address, path)
        assert (study["name"], study["directions"]) == ("search", ["minimize", "minimize"])
        check_trials(study["trials"], front)
        with urllib.request.urlopen(f"{address}/dashboard", timeout=60) as page:
            assert b"<html" in page.read().lower()
        assert run.study_journal.read_bytes() == before, "looking changes nothing"

        # A driver may go on meanwhile, and what it tells is shown.
        front = search(load_config(write_run(**settings, search__trials=2)), run.path, resume=True).front
        wanted = len(front["trials"])
        deadline = time.monotonic() + 60
        while len(study["trials"]) < wanted and time.monotonic() < deadline:
            time.sleep(1)
            study = fetched(address, path)
        check_trials(study["trials"], front)
        assert {trial["state"] for trial in study["trials"]} == {"Complete", "Pruned"}, "choose another seed"
        best = {tuple(trial["values"]) for trial in study["best_trials"]}
        assert best == {(member["error"], member["cost"]) for member in front["members"]}


def check_trials(shown: list[dict[str, Any]], front: dict[str, Any]) -> None:
    """Trials are those of the front file, by number, state, values, genes and measurements."""
    assert [trial["number"] for trial in shown] == [trial["number"] for trial in front["trials"]]
    for trial, ours in zip(shown, front["trials"], strict=True):
        assert trial["state"].upper() == ours["state"]
        values = [ours["error"], ours["cost"]] if ours["state"] == "COMPLETE" else None
        assert trial.get("values") == values
        genes = {each["name"]: each["param_external_value"] for each in trial["params"]}
        assert genes == {gene: str(value) for gene, value in ours["architecture"]["genes"].items()}
        assert json.loads(attributes(trial)["measurements"]) == ours["measurements"]


@pytest.mark.long
def test_the_dashboard_lists_the_studies_of_all_lengths_of_training(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    config = load_config(
        write_run(search__fidelities={"steps": [2], "reduction_factor": 2}, search__trials=2)
    )
    front = search(config, run.path).front
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(run.study_journal))
    )
    names = {study.study_name for study in storage.get_all_studies()}
    assert len(names) == 2
    with dashboard(run.study_journal) as address:
        listed = fetched(address, "/api/studies")["study_summaries"]
        assert {study["study_name"] for study in listed} == names
        shown = {}
        for study in listed:
            assert study["directions"] == ["minimize", "minimize"]
            detail = fetched(address, f"/api/studies/{study['study_id']}")
            shown[study["study_name"]] = detail["trials"]
        check_trials(shown.pop("search"), front)
        (below,) = shown.values()
        check_trials(below, run.rung(1).read_front())
