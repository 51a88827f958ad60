from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.files import write_checked_json
from hwnas.io_spec import dense_logits
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.search.failure import Failure
from hwnas.search.front import (
    MARGIN,
    ParetoFront,
    ParetoHistory,
    front_of,
    objectives_of_front,
    reference_point,
)
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from hwnas.search.study import differences
from hwnas.search.trial_summary import TrialSummary
from tests.search.reference_front import build_front, hypervolume_history

UNIT = st.floats(0.0, 1.0)
LATENCY = st.floats(0.1, 100.0)


def trial(number: int, error: float | None, latency_ms: float | None, **changes) -> TrialSummary:
    values = {
        "state": "COMPLETE",
        "cost": latency_ms,
        "measurements": {} if latency_ms is None else {"latency_ms": latency_ms},
        "architecture": Architecture("s", {"n": number}, (1, 8, 8), dense_logits(2)),
        "duplicate_of": None,
        "failure": Failure("no luck") if changes.get("state") == "FAIL" else None,
        "seconds": 1.0,
        "elapsed_s": float(number),
        **changes,
    }
    return TrialSummary(number=number, error=error, latency_ms=latency_ms, **values)


def objectives_within(budget_ms: float | None) -> Objectives:
    return Objectives(constraints=() if budget_ms is None else (Constraint(Metric("latency_ms"), budget_ms),))


def area_of(points, worst) -> float:
    """Area that points dominate, slice by slice between their errors."""
    edges = sorted({min(error, worst[0]) for error, _ in points} | {worst[0]})
    area = 0.0
    for left, right in pairwise(edges):
        lowest = min((cost for error, cost in points if error <= left), default=worst[1])
        area += (right - left) * max(0.0, worst[1] - lowest)
    return area


@given(st.lists(st.tuples(UNIT, LATENCY), min_size=1, max_size=20), st.none() | LATENCY)
def test_the_history_never_falls_and_ends_at_the_hypervolume(points, budget_ms) -> None:
    trials = [trial(number, *point) for number, point in enumerate(points)]
    record = {"architecture": {}, "quality": {}, "latency": {}}
    front = build_front(trials, lambda _: record, objectives_within(budget_ms))
    volumes = [volume for _, _, volume in front["hypervolume_history"]]
    assert volumes == sorted(volumes)
    assert volumes[-1] == front["hypervolume"]
    worst = front["reference_point"]
    for known in range(1, len(points) + 1):
        assert volumes[known - 1] == pytest.approx(area_of(points[:known], worst), rel=1e-9, abs=1e-12)
    assert len(volumes) == len(trials)
    errors = [member["error"] for member in front["members"]]
    assert errors == sorted(errors)


def test_only_trained_trials_are_members() -> None:
    trials = [
        trial(0, 0.5, 2.0),
        trial(1, 0.5, 2.0, duplicate_of=0),
        trial(2, None, 9.0, state="PRUNED"),
        trial(3, None, None, state="FAIL", architecture=None),
        trial(4, 0.4, 3.0),
        trial(5, 0.6, 4.0),
    ]
    assert [member.number for member in front_of(trials)] == [4, 0]
    assert [each.to_json()["feasible"] for each in trials] == [True, True, False, None, True, True]


def test_the_reference_point_is_the_budget_or_beyond_the_slowest() -> None:
    trials = [trial(0, 0.5, 2.0), trial(1, 0.4, 3.0), trial(2, None, 9.0, state="PRUNED")]
    assert reference_point(trials, 5.0) == (1.0, 5.0)
    assert reference_point(trials, None) == (1.0, MARGIN * 3.0) == (1.0, pytest.approx(3.3))
    assert reference_point(trials[2:], None) == (1.0, pytest.approx(1.1)), "as if a trial had cost 1"
    history = hypervolume_history(trials[::-1], (1.0, 5.0))
    assert [entry[:2] for entry in history] == [(0, 0.0), (1, 1.0)]
    assert history[0][2] == pytest.approx(0.5 * 3)
    assert hypervolume_history(trials, (1.0, 5.0))[-1][2] == pytest.approx(0.5 * 3 + 0.1 * 2)


def test_the_front_is_one_of_the_objective_and_states_it() -> None:
    trials = [
        trial(0, 0.5, 2.0, cost=9.0, measurements={"latency_ms": 2.0, "e2e_ms": 9.0}),
        trial(1, 0.4, 3.0, cost=8.0, measurements={"latency_ms": 3.0, "e2e_ms": 8.0}),
    ]
    record = {"architecture": {}, "quality": {}, "latency": {}}
    objectives = Objectives(
        Metric("e2e_ms"), (Constraint.parse("e2e_ms <= 10"), Constraint.parse("latency_ms <= 5"))
    )
    front = build_front(trials, lambda _: record, objectives)
    assert (front["objectives"], front["unit"], front["limit"]) == (["error", "e2e_ms"], "ms", 10.0)
    assert front["constraints"] == ["e2e_ms <= 10", "latency_ms <= 5"]
    assert front["reference_point"] == [1.0, 10.0]
    assert [(member["trial"], member["cost"], member["latency_ms"]) for member in front["members"]] == [
        (1, 8.0, 3.0)
    ]
    assert objectives_of_front(front) == objectives


def test_nothing_trained_is_an_empty_front() -> None:
    front = build_front([], lambda _: {}, Objectives())
    assert (front["members"], front["hypervolume"], front["hypervolume_history"]) == ([], 0.0, [])


def test_differences_are_named_by_path() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1]}
    now = {"a": {"b": 2, "c": 3}, "d": [1], "e": None}
    assert differences(before, now, ignored=["a.c"]) == ["a.b: 1 -> 2"]
    assert differences(before, {**now, "d": [2]}, ignored=["a"]) == ["d: [1] -> [2]"]


# Few values, so that points repeat and dominate each other.
ERRORS = st.sampled_from([0.1, 0.2, 0.3, 0.4])
LATENCIES = st.sampled_from([1.0, 2.0, 5.0, 9.0])
STATES = st.sampled_from(["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING"])
ORDER = st.sampled_from([0.0, 1.0, 2.0])


def run_with_records(directory: str, count: int) -> RunDirectory:
    run = RunDirectory(Path(directory))
    run.make()
    for number in range(count):
        run.trial(number).mkdir(parents=True)
        record = {"architecture": {"n": number}, "quality": {"ä": 1}, "latency": {}}
        write_checked_json(run.trial_record(number), {"schema_version": SCHEMA_VERSION, **record})
    return run


@settings(deadline=None, max_examples=60)
@given(st.data(), st.lists(st.tuples(STATES, ERRORS, LATENCIES, ORDER), max_size=12), st.none() | LATENCIES)
def test_it_is_the_front_of_the_study_at_every_moment(data, drawn, limit_ms) -> None:
    trials = [
        trial(number, *(error, latency) if state == "COMPLETE" else (None, None), state=state, elapsed_s=when)
        for number, (state, error, latency, when) in enumerate(drawn)
    ]
    order = data.draw(st.permutations(range(len(trials))))
    objectives = objectives_within(limit_ms)
    with TemporaryDirectory() as directory:
        run = run_with_records(directory, len(trials))
        pareto_front = ParetoFront(run, objectives)
        for known in range(len(trials) + 1):
            reported = set(order[:known])
            seen = [
                each if number in reported else trial(number, None, None, state="RUNNING")
                for number, each in enumerate(trials)
            ]
            pareto_front.update(seen)
            pareto_front.write(seen)
            front = build_front(seen, run.read_trial, objectives)
            assert run.read_front() == pareto_front.content == json.loads(json.dumps(front))
            assert pareto_front.trained == sum(each.is_trained for each in seen)
            assert pareto_front.num_finished == sum(each.state != "RUNNING" for each in seen)


def test_a_name_that_is_not_utf8_is_written_as_it_is_read(tmp_path: Path) -> None:
    run = run_with_records(str(tmp_path / "run"), 1)
    pareto_front = ParetoFront(run, objectives_within(None))
    trials = [trial(0, None, None, state="FAIL", failure=Failure("no file caf\udce9"))]
    pareto_front.update(trials)
    pareto_front.write(trials)
    assert run.read_front()["trials"][0]["reason"] == "no file caf\udce9"


def test_large_studies_are_written_seldom() -> None:
    with TemporaryDirectory() as directory:
        run = run_with_records(directory, 1)
        pareto_front = ParetoFront(run, objectives_within(None))
        trials = [trial(0, 0.1, 1.0), *(trial(n, None, None, state="FAIL") for n in range(1, 2499))]
        pareto_front.update(trials)
        pareto_front.write(trials)
        numbers = []
        for number in range(2499, 2506):
            trials.append(trial(number, None, None, state="FAIL"))
            pareto_front.update(trials)
            if pareto_front.is_due:
                pareto_front.write(trials)
            numbers.append(len(run.read_front()["trials"]))
        assert numbers == [2499] * 5 + [2505] * 2
        assert pareto_front.failed == 2505


@pytest.mark.parametrize(("before", "new", "is_due"), [(495, 1, True), (2495, 5, False), (2494, 6, True)])
def test_a_front_is_due_once_more_than_a_500th_is_new(
    tmp_path: Path, before: int, new: int, is_due: bool
) -> None:
    pareto_front = ParetoFront(run_with_records(str(tmp_path / "run"), 0), objectives_within(None))
    trials = [trial(number, None, None, state="FAIL") for number in range(before + new)]
    pareto_front.update(trials[:before])
    pareto_front.write(trials[:before])
    pareto_front.update(trials)
    assert pareto_front.is_due is is_due


class CountingHistory(ParetoHistory):
    steps = 0

    def _step(self, trial) -> None:
        self.steps += 1
        super()._step(trial)


@pytest.mark.parametrize(
    ("limit", "reported", "steps"),
    [
        (5.0, [(0.5, 3.0), (0.4, 9.0), (0.3, 3.0), (0.3, 3.0)], 4),
        (None, [(0.5, 3.0), (0.4, 2.0), (0.3, 3.0), (0.6, 1.0)], 4),
        (None, [(0.5, 3.0), (0.4, 4.0), (0.3, 4.0)], 1 + 2 + 1),  # the second one is a new worst corner
    ],
)
def test_an_update_costs_as_much_as_the_trials_that_are_new(limit, reported, steps) -> None:
    history = CountingHistory(limit)
    for number, point in enumerate(reported):
        history.add([trial(number, *point)])
        history.add([])
    assert history.steps == steps


def test_trials_told_out_of_order_are_gone_through_again() -> None:
    history = CountingHistory(5.0)
    history.add([trial(1, 0.4, 3.0, elapsed_s=2.0)])
    history.add([trial(0, 0.5, 2.0, elapsed_s=1.0), trial(2, 0.3, 4.0, elapsed_s=2.0)])
    assert history.steps == 1 + 3
    assert [entry[:2] for entry in history.entries] == [(0, 1.0), (1, 2.0), (2, 2.0)]
    assert [each.number for each in history.trained] == [0, 1, 2]
    assert history.hypervolume == history.entries[-1][2] == pytest.approx(0.5 * 3 + 0.1 * 2 + 0.1 * 1)


def test_only_what_is_not_dominated_changes_the_front(monkeypatch) -> None:
    sizes: list[int] = []

    def recorded(points, reference) -> float:
        sizes.append(len(points))
        return 1.0

    monkeypatch.setattr("hwnas.search.front.hypervolume", recorded)
    history = ParetoHistory(5.0)
    points = [(0.5, 3.0), (0.5, 3.0), (0.5, 4.0), (0.6, 3.0), (0.4, 3.0), (0.6, 2.0), (0.7, 1.0)]
    history.add([trial(number, *point) for number, point in enumerate(points)])
    assert sizes == [1, 1, 2, 3]
    assert [entry[2] for entry in history.entries] == [1.0] * 7


def test_trials_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    front = ParetoFront(run_with_records(str(tmp_path / "run"), 9), objectives_within(None))
    reported = [
        trial(0, 0.5, 3.0),
        trial(1, None, 9.0, state="PRUNED"),
        trial(2, None, None, state="FAIL"),
        trial(3, 0.4, 4.0),
        trial(4, 0.5, 3.0, duplicate_of=0, architecture=trial(0, 0.5, 3.0).architecture),
        trial(5, None, None, state="PRUNED", architecture=None),
        trial(6, None, 2.0, state="FAIL"),
        trial(7, None, None, state="PRUNED"),
        trial(8, None, None, state="WAITING"),
    ]
    front.update(reported)
    front.update(reported)
    assert (front.trained, front.infeasible, front.failed, front.num_finished) == (2, 3, 2, 8)
    found = [front.evaluated(each.architecture) for each in reported if each.architecture is not None]
    assert [each and each.number for each in found] == [0, 1, None, 3, 0, None, None, None]
