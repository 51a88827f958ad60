"""Kills drivers and workers for real, at random moments, and looks at what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hwnas.search.failure import ABANDONED
from hwnas.search.run_directory import RunDirectory
from tests.process_trees import descendants, have_ended
from tests.search.test_driver import implied_front

pytestmark = [pytest.mark.usefixtures("tiny_plugin"), pytest.mark.slow]

TRIALS = 8


def start(*arguments: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hwnas", "search", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def events(run: RunDirectory, kind: str) -> list[dict]:
    """Whole lines only: a killed driver may have torn the last one."""
    lines = run.events.read_text().split("\n")[:-1] if run.events.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def wait_for(condition, process: subprocess.Popen[str], timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers(pid: int) -> list[psutil.Process]:
    return descendants(pid, "hwnas.search.worker")


def assert_consistent(run: RunDirectory) -> dict:
    front = run.read_front()
    assert front == implied_front(run)
    trained = [t for t in front["trials"] if t["state"] == "COMPLETE" and t["duplicate_of"] is None]
    ids = [json.dumps(trial["architecture"], sort_keys=True) for trial in trained]
    assert len(ids) == len(set(ids)), "an architecture was trained twice"
    assert [trial["number"] for trial in front["trials"]] == list(range(len(front["trials"])))
    assert "RUNNING" not in [trial["state"] for trial in front["trials"]]
    return front


def test_a_run_survives_killed_drivers_and_workers(write_run, tmp_path: Path) -> None:
    random.seed(os.getpid())
    run = RunDirectory(tmp_path / "out")
    path = write_run(search__trials=TRIALS, search__workers=2, task__delay_s=0.02)
    process = start(path, "--out", run.path)
    reported: list[dict] = []
    for number in range(2):
        sessions = number + 1
        wait_for(lambda sessions=sessions: len(events(run, "session")) == sessions, process)
        before = len(events(run, "trained"))
        wait_for(lambda before=before: len(events(run, "trained")) > before, process)
        time.sleep(random.uniform(0, 1))
        left = descendants(process.pid)
        process.kill()
        process.wait()
        assert have_ended(left, 5), "workers outlive the driver"
        if run.front.exists():
            earlier = {trial["number"]: trial for trial in reported}
            reported = [t for t in implied_front(run)["trials"] if t["state"] in {"COMPLETE", "PRUNED"}]
            assert earlier.items() <= {trial["number"]: trial for trial in reported}.items()
        process = start(run.path, "--resume")

    sessions = 3
    wait_for(lambda: len(events(run, "session")) == sessions and workers(process.pid), process)
    second = start(run.path, "--resume")
    output = second.communicate(timeout=240)
    assert second.returncode != 0
    assert f"process {process.pid} on" in output[1]
    for victim in workers(process.pid)[:1]:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    summary = json.loads(output[0])
    assert summary["trained"] == TRIALS
    front = assert_consistent(run)
    known = {trial["number"]: trial for trial in front["trials"]}
    assert all(known[trial["number"]] == trial for trial in reported), "a told trial changed"
    failed = [trial["reason"] for trial in front["trials"] if trial["state"] == "FAIL"]
    assert all(reason == ABANDONED.reason or "killed by signal 9" in reason for reason in failed)


def test_a_killed_worker_costs_one_trial(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    process = start(write_run(search__trials=3, task__delay_s=0.1), "--out", run.path)
    wait_for((run.trial(0) / "training").exists, process)
    (victim,) = workers(process.pid)
    victim.kill()
    killed = time.monotonic()
    wait_for(lambda: events(run, "failed"), process, 30)
    assert time.monotonic() - killed < 10, "a death was noticed by a timeout, not by its pipe"
    output = process.communicate(timeout=240)
    assert process.returncode == 0, output
    front = assert_consistent(run)
    assert [trial["state"] for trial in front["trials"]] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert "killed by signal 9" in front["trials"][0]["reason"]


def test_ctrl_c_ends_cleanly_and_the_run_goes_on(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    process = start(write_run(search__trials=3, search__workers=2, task__delay_s=0.1), "--out", run.path)
    wait_for(lambda: events(run, "trained"), process)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)
    assert process.returncode == 130, output
    said = f"Interrupted. Go on with: hwnas search {run.path} --resume. Finished candidates are kept."
    assert output[1].splitlines()[-1] == said
    front = assert_consistent(run)
    assert json.loads(output[0])["interrupted"]
    assert {t["reason"] for t in front["trials"] if t["state"] == "FAIL"} <= {"interrupted"}
    process = start(run.path, "--resume")
    output = process.communicate(timeout=240)
    assert json.loads(output[0])["trained"] == 3, output
