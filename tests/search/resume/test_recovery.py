"""Trials that were finished but not told: killed drivers, lost storages, damaged records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.files import write_checked_json
from hwnas.objectives import Constraint, Objectives
from hwnas.search.driver import search
from hwnas.search.failure import ABANDONED, LOST, Failure
from hwnas.search.resume.recovery import Recovered, recover
from hwnas.search.run_directory import RunDirectory
from hwnas.search.strategies import distributions_of
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import Quality
from hwnas.testing.strategy_suite import GridSpace
from tests.search.resume.consistency import consistent_front
from tests.search.test_killing import events

pytestmark = pytest.mark.usefixtures("forked_workers")

OBJECTIVES = Objectives(constraints=(Constraint.parse("latency_ms <= 5"),))


def opened(study: SearchStudy) -> int:
    """Open a trial, describe it and leave it."""
    trial, choices = study.ask(distributions_of(GridSpace()))
    study.describe(trial, GridSpace().decode(choices))
    return int(trial.number)


def record_of(study: SearchStudy, number: int, **changes: Any) -> dict[str, Any]:
    """What a recorder writes of a trained network, with changes."""
    architecture = study.summary(number).architecture
    assert architecture is not None
    return {
        "schema_version": 2,
        "number": number,
        "state": "COMPLETE",
        "architecture": architecture.to_json(),
        "choices": dict(architecture.genes),
        "latency": {"latency_ms": 2.0, "remark": "unsteady"},
        "measurements": {"latency_ms": 2.0},
        "evidence": {},
        "quality": Quality("accuracy", 0.75, {}, 1, 1, {}).to_json(),
        "predicted": None,
        "reason": None,
        "seconds": 3.0,
        "elapsed_s": 40.0,
        **changes,
    }


def recovered(run: RunDirectory, study: SearchStudy) -> Recovered:
    return recover(run, study, OBJECTIVES, distributions_of(GridSpace()))


def written(run: RunDirectory, number: int, record: Any) -> None:
    run.trial(number).mkdir(parents=True)
    write_checked_json(run.trial_record(number), record)


def test_records_say_what_is_told(tmp_path: Path) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    numbers = [opened(study) for _ in range(7)]
    trained, infeasible, failed, untrainable, predicted, other, unrecorded = numbers
    over = {"measurements": {"latency_ms": 7.0}, "latency": {"latency_ms": 7.0, "remark": ""}}
    unmeasured = {"measurements": {}, "latency": None, "quality": None}
    records: dict[int, dict[str, Any]] = {
        trained: {},
        infeasible: {"state": "PRUNED", "quality": None, **over},
        failed: {"state": "FAIL", "reason": "it happens", **unmeasured},
        untrainable: {"state": "FAIL", "reason": "the loss is not finite", "quality": None},
        predicted: {"state": "PRUNED", "predicted": {"latency_ms": 9.0}, **unmeasured},
        other: {"measurements": {"median_ms@10hz": 3.0}},  # nothing of this run's objective
    }
    for number, changes in records.items():
        written(run, number, record_of(study, number, **changes))
    assert recovered(run, study).finished == [trained, infeasible]
    assert study.open_trials() == [failed, untrainable, predicted, other, unrecorded]
    first, second = study.summaries()[:2]
    assert (first.state, first.error, first.latency_ms, first.cost) == ("COMPLETE", 0.25, 2.0, 2.0)
    assert first.latency_remark == "unsteady"
    assert (second.state, second.error, second.latency_ms) == ("PRUNED", None, 7.0)
    constraints = [trial.constraints for trial in study.optuna_study.trials[:2]]
    assert constraints == [{"latency_ms": -3.0}, {"latency_ms": 2.0}]

    # Those that are left count as failed.
    assert recovered(run, study) == Recovered()
    assert study.fail_stale() == [failed, untrainable, predicted, other, unrecorded]
    assert study.summaries()[0] == first
    assert {trial.failure for trial in study.summaries()[2:]} == {ABANDONED}


def test_a_trial_that_was_queued_but_not_asked_counts_as_lost_with_the_driver(tmp_path: Path) -> None:
    """A driver that takes given choices queues them and asks then; it may be killed in between."""
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    running = opened(study)
    _, choices = study.ask(distributions_of(GridSpace()))
    study.optuna_study.enqueue_trial(choices)
    study.close()
    again = SearchStudy(tmp_path / "study.journal")
    sampler = again.optuna_study.sampler
    assert recovered(run, again) == Recovered()
    assert again.fail_stale() == [running, running + 1, running + 2]
    assert again.optuna_study.sampler is sampler
    assert [trial.state for trial in again.summaries()] == ["FAIL"] * 3
    assert {trial.failure for trial in again.summaries()} == {ABANDONED}
    assert opened(again) == running + 3


@pytest.mark.filterwarnings("error")
def test_a_half_told_trial_is_told_to_the_end(tmp_path: Path) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    number = opened(study)
    half_told = study.reopened(number, {}, {})
    half_told.set_user_attr("measurements", {"latency_ms": 2.0})
    half_told.set_constraint("latency_ms", -3.0)
    written(run, number, record_of(study, number))
    assert recovered(run, study).finished == [number]
    (trial,) = study.optuna_study.trials
    assert (trial.values, trial.constraints) == ([0.25, 2.0], {"latency_ms": -3.0})


def test_recovered_trials_are_told_at_the_search_time_of_the_last_one(tmp_path: Path) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    trial, choices = study.ask(distributions_of(GridSpace()))
    study.describe(trial, GridSpace().decode(choices))
    study.tell_trained(
        trial, error=0.5, measurements={"latency_ms": 1.0}, objectives=OBJECTIVES, elapsed_s=90.0
    )
    number = opened(study)
    written(run, number, record_of(study, number))
    assert recovered(run, study).finished == [number]
    assert [trial.elapsed_s for trial in study.summaries()] == [90.0, 90.0]


def test_pauses_between_sessions_are_no_seconds_of_trials(tmp_path: Path) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    numbers = [opened(study) for _ in range(2)]
    written(run, numbers[0], record_of(study, numbers[0], seconds=7.5))
    assert recovered(run, study).finished == numbers[:1]
    assert study.fail_stale() == numbers[1:]
    assert [trial.seconds for trial in study.summaries()] == [7.5, None], "not the time until they were told"


DAMAGES = {
    "torn": lambda whole: whole[: len(whole) // 2],
    "torn after a bracket": lambda whole: whole[:1],
    "empty": lambda whole: b"",
    "zeros": lambda whole: b"\0" * len(whole),
    "no UTF-8": lambda whole: b"\xff" + whole[1:],
    "no record": lambda whole: b"[]\n",
    "another version": lambda whole: whole.replace(b'"schema_version": 2', b'"schema_version": 99'),
    "no quality": lambda whole: whole.replace(b'"quality"', b'"equality"'),
    "no state": lambda whole: whole.replace(b'"state"', b'"estate"'),
}
"""What may become of a record whose disk failed or which somebody edited."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_not_told_and_hinders_no_other(tmp_path: Path, damage: str) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    damaged, whole = opened(study), opened(study)
    for number in (damaged, whole):
        written(run, number, record_of(study, number))
    content = run.trial_record(damaged).read_bytes()
    run.trial_record(damaged).write_bytes(DAMAGES[damage](content))
    assert recovered(run, study).finished == [whole]
    assert study.fail_stale() == [damaged]
    states = [(trial.state, trial.error, trial.failure) for trial in study.summaries()]
    assert states == [("FAIL", None, ABANDONED), ("COMPLETE", 0.25, None)]


def test_what_a_table_foresaw_is_kept(tmp_path: Path) -> None:
    run, study = RunDirectory(tmp_path), SearchStudy(tmp_path / "study.journal")
    number = opened(study)
    predicted = {"latency_ms": 2.1, "interval_ms": [1.9, 2.3]}
    written(run, number, record_of(study, number, predicted=predicted))
    assert recovered(run, study).finished == [number]
    assert study.summary(number).predicted == predicted


def studied(directory: Path, trials: int) -> tuple[RunDirectory, SearchStudy]:
    """A study of some trials, each with its record: trained, over the limit, failed, and so on."""
    run, study = RunDirectory(directory), SearchStudy(directory / "study.journal")
    study.set_identity({"of": "tests"})
    for number in range(trials):
        trial, choices = study.ask(distributions_of(GridSpace()), uniform_seed=number)
        study.describe(trial, GridSpace().decode(choices))
        measurements = {"latency_ms": 1.0 + number}
        latency = {"latency_ms": 1.0 + number, "remark": "unsteady" if number % 2 else ""}
        changes: dict[str, Any] = {
            "measurements": measurements,
            "latency": latency,
            "elapsed_s": 10.0 * (number + 1),
        }
        error = 0.25
        if number % 3 == 1:
            changes |= {"state": "PRUNED", "quality": None, "measurements": {"latency_ms": 7.0}}
        elif number % 3 == 2:
            changes |= {
                "state": "FAIL",
                "reason": "it happens",
                "quality": None,
                "measurements": {},
                "latency": None,
            }
        written(run, number, record_of(study, number, choices=choices, **changes))
        elapsed_s = changes["elapsed_s"]
        if number % 3 == 0:
            study.mark(trial, latency["remark"])
            study.tell_trained(
                trial, error=error, measurements=measurements, objectives=OBJECTIVES, elapsed_s=elapsed_s
            )
        elif number % 3 == 1:
            study.mark(trial, latency["remark"])
            study.tell_infeasible(
                trial, measurements=changes["measurements"], objectives=OBJECTIVES, elapsed_s=elapsed_s
            )
        else:
            study.tell_failed(trial, Failure("it happens"), elapsed_s=elapsed_s)
    return run, study


def compared(study: SearchStudy) -> list[Any]:
    """What must be the same after a recovery: everything but times, and of failed trials that they failed."""
    found: list[Any] = []
    for summary, trial in zip(study.summaries(), study.optuna_study.trials, strict=True):
        shown = {**summary.to_json(), "seconds": None, "elapsed_s": None}
        is_failed = summary.state == "FAIL"
        found.append(summary.state if is_failed else [shown, trial.constraints, trial.params])
    return found


def test_a_study_that_lost_its_tail_at_any_record_comes_back_from_the_records(tmp_path: Path) -> None:
    run, study = studied(tmp_path, 4)
    expected = compared(study)
    study.close()
    lines = run.study_journal.read_bytes().splitlines(keepends=True)
    for kept in range(2, len(lines)):  # with fewer there is no identity: the beginning is lost, not the tail
        run.study_journal.write_bytes(b"".join(lines[:kept]))
        again = SearchStudy(run.study_journal)
        assert again.identity == {"of": "tests"}
        before = again.num_trials
        found = recovered(run, again)
        again.fail_stale()
        assert compared(again) == expected, kept
        assert found.restored == list(range(before, 4))
        assert found.lost == []
        assert bool(found.remarks("the study")) == (before < 4)
        assert recovered(run, again) == Recovered()
        again.close()


def test_trials_of_which_nothing_is_left_fail_and_keep_their_numbers(tmp_path: Path) -> None:
    run, study = studied(tmp_path, 1)
    run.trial(2).mkdir()
    run.trial(4).mkdir()
    written(run, 3, record_of(study, 0))
    damaged = run.trial(2) / "trial.json"
    damaged.write_bytes(run.trial_record(0).read_bytes()[:-30])
    found = recovered(run, study)
    assert (found.restored, found.lost) == ([3], [1, 2, 4])
    assert [trial.state for trial in study.summaries()] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "FAIL"]
    assert {trial.failure for trial in study.summaries() if trial.state == "FAIL"} == {LOST}
    assert found.remarks("the study") == [
        "the study had lost its last 4 trials: trials 3 came back from the records, trials 1, 2, 4 did not."
    ]


def test_only_directories_named_by_numbers_are_of_trials(tmp_path: Path) -> None:
    run, study = studied(tmp_path, 1)
    (run.trials_dir / "2").write_text("a plain file")
    for name in ("03", "\u0663", "4.old", "-5"):
        (run.trials_dir / name).mkdir()
    assert run.trial_numbers() == [0]
    assert recovered(run, study) == Recovered()


def test_a_directory_far_behind_the_others_is_refused_and_adds_no_trial(tmp_path: Path) -> None:
    run, study = studied(tmp_path, 1)
    run.trial(1000).mkdir()
    run.trial(20261129).mkdir()
    with pytest.raises(StudyError, match=r"trials/20261129 should be .* number 1000, .* 1,000"):
        recovered(run, study)
    assert study.num_trials == 1


def test_a_run_of_any_length_comes_back_if_no_gap_in_it_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.search.resume.recovery._MOST_MISSING", 3)
    run, study = studied(tmp_path, 1)
    for number in (3, 6, 9):
        run.trial(number).mkdir()
    assert recovered(run, study).lost == list(range(1, 10))
    run.trial(13).mkdir()
    with pytest.raises(StudyError, match="trials/13 "):
        recovered(run, study)
    assert study.num_trials == 10


@pytest.mark.parametrize(
    "change",
    [
        {"measurements": {"latency_ms": 1.5}},
        {"quality": Quality("accuracy", 0.8, {}, 1, 1, {}).to_json()},
        {"state": "PRUNED"},
        {"architecture": "other"},
    ],
)
def test_a_whole_record_that_contradicts_the_study_stops_the_run(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    run, study = studied(tmp_path, 4)
    if "architecture" in change:
        change = {"architecture": run.read_trial(3)["architecture"]}
    write_checked_json(run.trial_record(0), run.read_trial(0) | change)
    with pytest.raises(StudyError, match=r"records of trials 0 in .* say something else than the study"):
        recovered(run, study)


def test_records_that_are_gone_or_damaged_are_said(tmp_path: Path) -> None:
    run, study = studied(tmp_path, 5)
    run.trial_record(0).unlink()
    content = run.trial_record(1).read_bytes()
    run.trial_record(1).write_bytes(content.replace(b"7.0", b"1.0", 1))
    found = recovered(run, study)
    assert found == Recovered(without_record=[0, 1])
    assert found.remarks("the study") == [
        "The records of trials 0, 1 in the study are missing or damaged; the values that the study holds "
        "stand, the samples behind them are gone."
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_search_goes_on_after_its_journal_lost_its_tail_or_was_damaged(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "out")
    first = search(load_config(write_run(search__trials=3)), run.path).front
    records = {number: run.trial_record(number).read_bytes() for number in run.trial_numbers()}
    whole = run.study_journal.read_bytes()
    lines = whole.splitlines(keepends=True)

    run.study_journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    result = search(load_config(write_run(search__trials=4)), run.path, resume=True)
    assert len(result.remarks) == 1
    assert "had lost its last" in result.remarks[0]
    assert [event["message"] for event in events(run, "recovered")] == list(result.remarks)
    front = consistent_front(run)
    keys = ("state", "architecture", "error", "measurements")
    known = [trial for trial in first["trials"] if trial["duplicate_of"] is None]
    assert [[front["trials"][one["number"]][key] for key in keys] for one in known] == [
        [json.loads(json.dumps(one[key])) for key in keys] for one in known
    ]
    assert {number: run.trial_record(number).read_bytes() for number in records} == records
    assert result.to_json()["trained"] == 4

    damaged = whole.replace(b'"values":[0.', b'"values":[1.', 1)
    assert damaged != whole
    run.study_journal.write_bytes(damaged)
    with pytest.raises(StudyError, match="is damaged, or the one before it is missing"):
        search(load_config(write_run(search__trials=4)), run.path, resume=True)
    assert run.study_journal.read_bytes() == damaged
    repaired = search(load_config(write_run(search__trials=4)), run.path, resume=True, repair=True)
    assert [copy.read_bytes() for copy in run.path.glob("study.journal.damaged-*")] == [damaged]
    assert repaired.to_json()["trained"] == 4
    assert {number: run.trial_record(number).read_bytes() for number in records} == records

    for gone in (b"", b"".join(lines[:1])):
        run.study_journal.write_bytes(gone)
        with pytest.raises(StudyError, match=r"--repair"):
            search(load_config(write_run(search__trials=4)), run.path, resume=True)
        again = search(load_config(write_run(search__trials=4)), run.path, resume=True, repair=True)
        assert again.front["hypervolume"] == repaired.front["hypervolume"]
        consistent_front(run)
