from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from hwnas.config import load_config
from hwnas.errors import PluginError, StudyError, TooSlowError
from hwnas.latency.measure.measurements import CandidateMeasurements
from hwnas.latency.measure.meter import AgentMeter
from hwnas.objectives import Objectives
from hwnas.plugins import find_plugin
from hwnas.search import loop
from hwnas.search.driver import search
from hwnas.search.progress import SearchStatus
from hwnas.search.run_directory import RunDirectory
from hwnas.search.study import SearchStudy
from tests.search.reference_front import build_front

pytestmark = [pytest.mark.usefixtures("tiny_plugin", "forked_workers"), pytest.mark.slow]


def implied_front(run: RunDirectory, objectives: Objectives | None = None) -> dict:
    """What the finished trials of a study say, whatever was written beside it."""
    study = SearchStudy(run.study_journal, read_only=True)
    front = build_front(study.summaries(), run.read_trial, objectives or Objectives())
    study.close()
    return json.loads(json.dumps(front))


def states(front: dict) -> list[str]:
    return [trial["state"] for trial in front["trials"]]


def test_a_search_trains_as_many_candidates_as_wanted(write_run, tmp_path: Path) -> None:
    seen = []
    result = search(load_config(write_run(search__workers=2)), tmp_path / "out", progress=seen.append)
    summary = result.to_json()
    assert (summary["trained"], summary["failed"], summary["infeasible"]) == (3, 0, 0)
    run = RunDirectory(tmp_path / "out")
    front = run.read_front()
    assert front == json.loads(json.dumps(result.front)) == implied_front(run)
    for trial in front["trials"]:
        record = run.read_trial(trial["number"])
        assert record["latency"]["latency_ms"] == trial["latency_ms"]
        assert record["latency"]["samples_ms"]
        assert 1 - record["quality"]["value"] == trial["error"]
        assert [path.name for path in run.trial(trial["number"]).iterdir()] == ["trial.json"]
    assert seen[-1].trained == 3
    volumes = [entry[2] for entry in front["hypervolume_history"]]
    assert volumes == sorted(volumes)

    # Going on with more trials keeps what is there; starting over it is refused.
    with pytest.raises(StudyError, match="--resume"):
        search(load_config(write_run()), run.path)
    more = search(load_config(write_run(search__trials=4)), run.path, resume=True)
    assert more.to_json()["trained"] == 4
    assert more.front["trials"][:3] == json.loads(json.dumps(front["trials"]))


def test_a_repeated_architecture_is_trained_once_and_the_space_ends(write_run, tmp_path: Path) -> None:
    choices = {"channels": [2], "depth": [1], "kernel": [1]}
    result = search(load_config(write_run(space__choices=choices, search__trials=5)), tmp_path / "out")
    assert result.ending == "the space is exhausted"
    summary = result.to_json()
    assert summary["trained"] == 2
    assert summary["duplicates"] > 50
    own = {t["number"]: t for t in result.front["trials"] if t["duplicate_of"] is None}
    for trial in result.front["trials"]:
        if trial["duplicate_of"] is not None:
            original = own[trial["duplicate_of"]]
            assert (trial["error"], trial["latency_ms"]) == (original["error"], original["latency_ms"])
            assert not (tmp_path / "out" / "trials" / str(trial["number"])).exists()


def test_over_the_budget_nothing_is_trained_and_every_trial_is_constrained(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    measure = AgentMeter.measure

    def by_depth(self, model, io_spec, *, give_up_over_ms=None):
        assert give_up_over_ms == 5.0
        depth = sum(node.op_type == "Conv" for node in onnx.load(model).graph.node) - 1
        latency_ms = 1.0 if depth < 2 else 9.0
        remark = "" if depth < 2 else "made up"
        return replace(
            measure(self, model, io_spec),
            latency_ms=latency_ms,
            interval_ms=(latency_ms, latency_ms),
            is_stable=not remark,
            remark=remark,
        )

    monkeypatch.setattr(AgentMeter, "measure", by_depth)
    run = RunDirectory(tmp_path / "out")
    path = write_run(budget__latency_ms=5.0, search__trials=3, search__strategy="tpe")
    front = search(load_config(path), run.path).front
    assert front["reference_point"] == [1.0, 5.0]
    seen = set(states(front))
    assert seen == {"COMPLETE", "PRUNED"}, "choose another seed"
    for trial in front["trials"]:
        assert (trial["latency_ms"] > 5) == (trial["state"] == "PRUNED") == (trial["feasible"] is False)
        assert trial["latency_remark"] == ("made up" if trial["latency_ms"] > 5 else "")
        if trial["state"] == "PRUNED" and trial["duplicate_of"] is None:
            assert run.read_trial(trial["number"])["quality"] is None
    study = SearchStudy(run.study_journal, read_only=True)
    for trial in study._study.get_trials():
        assert trial.constraints == {"latency_ms": trial.user_attrs["measurements"]["latency_ms"] - 5.0}


def test_a_budget_that_nothing_comes_near_is_said_after_some_candidates(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    measure = AgentMeter.measure

    def slow(self, model, io_spec, *, give_up_over_ms=None):
        return replace(measure(self, model, io_spec), latency_ms=8.0, interval_ms=(8.0, 8.0))

    monkeypatch.setattr(AgentMeter, "measure", slow)
    seen: list[SearchStatus] = []
    path = write_run(
        budget__latency_ms=0.001,
        space__choices={"behaviour": ["good"], "kernel": [1], "activation": ["relu"]},
    )
    result = search(load_config(path), tmp_path / "out", progress=seen.append)
    counted = {status.infeasible: status.out_of_reach for status in seen}
    assert all(not said for infeasible, said in counted.items() if infeasible < 5)
    assert "None of the first 5 networks is within the budget (latency_ms <= 0.001)" in seen[-1].out_of_reach
    assert "the nearest has 8000 times what is allowed" in seen[-1].out_of_reach
    assert "8000 times what is allowed" in result.remarks[-1]


def test_another_clock_can_be_the_objective_and_limits_hold_for_every_figure(
    write_run, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "out")
    path = write_run(
        objective="median_ms@500hz",
        budget__constraints=["model_size_mb<=100"],
        search__trials=2,
        budget__objective=1e6,
    )
    front = search(load_config(path), run.path).front
    assert front["objectives"] == ["error", "median_ms@500hz"]
    assert front["constraints"] == ["median_ms@500hz <= 1000000", "model_size_mb <= 100"]
    record = run.read_trial(0)
    assert record["evidence"]["fixed_rate@500hz"]["samples_ms"]
    assert set(record["measurements"]) == {"latency_ms", "median_ms@500hz", "model_size_mb"}
    study = SearchStudy(run.study_journal, read_only=True)
    for trial in study._study.get_trials():
        measurements = trial.user_attrs["measurements"]
        assert trial.values[1] == measurements["median_ms@500hz"] != measurements["latency_ms"]
        assert trial.constraints == {
            "median_ms@500hz": measurements["median_ms@500hz"] - 1e6,
            "model_size_mb": measurements["model_size_mb"] - 100,
        }


def test_failing_candidates_are_told_as_failed_and_the_run_goes_on(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "MAX_CONSECUTIVE_FAILURES", 50)
    choices = {"behaviour": ["good", "nan", "crash", "unexportable"], "activation": ["relu"]}
    path = write_run(space__choices=choices, search__trials=2, search__seed=1)
    run = RunDirectory(tmp_path / "out")
    result = search(load_config(path), run.path)
    assert result.to_json()["trained"] == 2
    reasons = {"nan": "TrainingError", "crash": "killed by signal 9", "unexportable": "ExportError"}
    failed = [trial for trial in result.front["trials"] if trial["state"] == "FAIL"]
    assert failed
    for trial in failed:
        assert reasons[trial["architecture"]["genes"]["behaviour"]] in trial["reason"]
        assert run.read_trial(trial["number"])["reason"] == trial["reason"]
    assert all(m["architecture"]["genes"]["behaviour"] == "good" for m in result.front["members"])


def test_too_many_failures_in_a_row_stop_the_search(write_run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "MAX_CONSECUTIVE_FAILURES", 3)
    path = write_run(task__fault="raises")
    with pytest.raises(
        StudyError, match=r"the last 3 all did.*'tiny-stripes' of hwnas\.tasks .*: `evaluate`"
    ):
        search(load_config(path), tmp_path / "out")
    front = RunDirectory(tmp_path / "out").read_front()
    assert set(states(front)) == {"FAIL"}
    (reason,) = {trial["reason"] for trial in front["trials"]}
    # The worker went on: it was no death of its process.
    assert reason == (
        f"PluginError: Plug-in {find_plugin('hwnas.tasks', 'tiny-stripes')}: `evaluate` raised "
        "ZeroDivisionError: no pixel is left"
    )


def test_a_quality_in_percent_is_refused_before_anything_is_measured(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    def never(*_arguments: Any, **_settings: Any) -> Any:
        raise AssertionError("nothing is to be measured")

    monkeypatch.setattr(loop, "measure_candidate", never)
    path = write_run(task__fault="percent")
    with pytest.raises(
        PluginError, match=r"'tiny-stripes' of .* \(hwnas-tiny-plugin 1\.0, \S+\): `evaluate`"
    ):
        search(load_config(path), tmp_path / "out")
    run = RunDirectory(tmp_path / "out")
    assert not run.exists


def test_networks_too_slow_for_a_rate_are_told_as_failed_and_end_no_search(
    write_run, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(loop, "MAX_CONSECUTIVE_FAILURES", 2)
    measure, calls = loop.measure_candidate, []

    def measured(*arguments: Any, **settings: Any) -> CandidateMeasurements:
        calls.append(1)
        if len(calls) <= 4:
            raise TooSlowError("the network is too slow for that rate")
        return measure(*arguments, **settings)

    monkeypatch.setattr(loop, "measure_candidate", measured)
    result = search(load_config(write_run(search__trials=2)), tmp_path / "out")
    assert result.to_json()["trained"] == 2
    failed = [trial["reason"] for trial in result.front["trials"] if trial["state"] == "FAIL"]
    assert failed == ["TooSlowError: the network is too slow for that rate"] * 4


def test_what_shapes_values_must_not_change(write_run, tmp_path: Path, monkeypatch) -> None:
    run = RunDirectory(tmp_path / "out")
    search(load_config(write_run(search__trials=1)), run.path)
    before = run.study_journal.read_bytes()
    changes = {
        "training__proxy": {"steps": 7},
        "budget__latency_ms": 3.0,
        "search__strategy": "tpe",
        "task__version": 2,
        "space__choices": {"depth": [1]},
    }
    for key, value in changes.items():
        with pytest.raises(StudyError, match="must be comparable") as caught:
            search(load_config(write_run(**{key: value})), run.path, resume=True)
        assert key.split("__")[-1].split(".")[0] in str(caught.value)
    monkeypatch.setattr(AgentMeter, "fingerprint", lambda self: {"cpu": "another one"})
    with pytest.raises(StudyError, match=r"target_fingerprint\.cpu: .* -> 'another one'"):
        search(load_config(write_run(search__trials=2)), run.path, resume=True)
    assert run.study_journal.read_bytes() == before
    assert run.load_config().search.trials == 1


def test_resuming_what_is_not_there_is_refused(write_run, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no run in"):
        search(load_config(write_run()), tmp_path / "out", resume=True)


def test_a_candidate_that_takes_too_long_is_given_up(write_run, tmp_path: Path) -> None:
    def stop(status: SearchStatus) -> None:
        if status.failed:
            raise KeyboardInterrupt

    slow = load_config(write_run(task__delay_s=2.0, search__candidate_timeout_min=0.1))
    with pytest.raises(KeyboardInterrupt):
        search(slow, tmp_path / "out", progress=stop)
    front = RunDirectory(tmp_path / "out").read_front()
    assert [trial["reason"] for trial in front["trials"]] == ["not finished within 0.1 minutes"]
