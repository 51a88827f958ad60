from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.search.driver import search
from hwnas.search.front import build_front
from hwnas.search.run_directory import RunDirectory
from hwnas.search.study import SearchStudy

pytestmark = pytest.mark.usefixtures("tiny_plugin")


def test_a_search_trains_as_many_candidates_as_wanted(write_run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen = []
    result = search(load_config(write_run()), out, progress=seen.append)
    summary = result.to_json()
    assert (summary["trained"], summary["failed"], summary["infeasible"]) == (3, 0, 0)
    run = RunDirectory(out)
    front = run.read_front()
    assert front == json.loads(json.dumps(result.front))
    assert front["members"]
    for trial in front["trials"]:
        record = run.read_trial(trial["number"])
        assert record["latency"]["latency_ms"] == trial["latency_ms"]
        assert record["latency"]["samples_ms"]
        assert 1 - record["quality"]["value"] == trial["error"]
        assert [path.name for path in run.trial(trial["number"]).iterdir()] == ["trial.json"]
    assert seen[-1].trained == 3
    assert [entry[2] for entry in front["hypervolume_history"]] == sorted(
        entry[2] for entry in front["hypervolume_history"]
    )
