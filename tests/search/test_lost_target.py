from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hwnas.config import load_config
from hwnas.errors import StudyError, TargetLostError
from hwnas.latency.measure.meter import AgentMeter
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory
from tests.search.test_driver import states

pytestmark = [pytest.mark.usefixtures("tiny_plugin", "forked_workers"), pytest.mark.slow]


def test_killed_agents_cost_no_trial(write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = AgentMeter._start
    killed: list[int] = []

    def start_and_kill(self, agents):
        agent = start(self, agents)
        if self._fingerprint is not None and len(killed) < 2:
            os.kill(agent.pid, signal.SIGKILL)
            killed.append(agent.pid)
        return agent

    monkeypatch.setattr(AgentMeter, "_start", start_and_kill)
    result = search(load_config(write_run(search__trials=1)), tmp_path / "out").to_json()
    assert (result["trained"], result["failed"]) == (1, 0)
    assert len(killed) == 2


def test_a_target_that_is_gone_ends_the_search_which_can_be_resumed(
    write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "out")
    measure = AgentMeter.measure
    calls = 0

    def lost_after_the_first(self, model, io_spec, **limits):
        nonlocal calls
        calls += 1
        if calls > 1:
            raise TargetLostError("The connection to 'board' was lost.")
        return measure(self, model, io_spec, **limits)

    monkeypatch.setattr(AgentMeter, "measure", lost_after_the_first)
    with pytest.raises(StudyError, match=r"'local.*' was lost with \d candidates in a row.*--resume"):
        search(load_config(write_run(search__workers=2)), run.path)
    reported = run.read_front()
    assert states(reported).count("COMPLETE") == 1, "what was being trained is finished"
    assert 3 <= states(reported).count("FAIL") <= 4
    failed = [run.read_trial(trial["number"]) for trial in reported["trials"] if trial["state"] == "FAIL"]
    assert all(
        "TargetLostError" in record["reason"] or "Unreachable" in record["reason"] for record in failed
    )

    monkeypatch.setattr(AgentMeter, "measure", measure)
    resumed = search(load_config(write_run(search__workers=2)), run.path, resume=True)
    assert resumed.to_json()["trained"] == 3, resumed.to_json()
    kept = [trial for trial in reported["trials"] if trial["state"] == "COMPLETE"]
    assert kept[0] in resumed.front["trials"]
