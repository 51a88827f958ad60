from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.search.front import (
    MARGIN,
    build_front,
    front_of,
    hypervolume_history,
    knee_index,
    objectives_of_front,
    reference_point,
)
from hwnas.search.study import differences
from hwnas.search.trial_summary import TrialSummary

UNIT = st.floats(0.0, 1.0)
LATENCY = st.floats(0.1, 100.0)


def trial(number: int, error: float | None, latency_ms: float | None, **changes) -> TrialSummary:
    values = {
        "state": "COMPLETE",
        "cost": latency_ms,
        "measurements": {} if latency_ms is None else {"latency_ms": latency_ms},
        "architecture": Architecture("s", {"n": number}, (1, 8, 8), dense_logits(2)),
        "duplicate_of": None,
        "reason": None,
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
        trial(3, None, None, state="FAIL", reason="no luck", architecture=None),
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


def test_the_knee_is_where_the_front_bends() -> None:
    assert knee_index([(0.1, 10.0), (0.15, 2.0), (0.5, 1.0)]) == 1
    assert knee_index([(0.1, 10.0)]) == 0
    assert knee_index([(0.1, 10.0), (0.2, 5.0)]) == 0
    assert knee_index([(0.1, 10.0), (0.4, 9.0), (0.45, 6.0), (0.9, 5.0)]) == 2
    assert knee_index([(9.0, 5.0), (1.0, 9.0), (3.0, 6.5)]) == 2, "in whatever order"
    assert knee_index([(1.0, 1.0), (0.0, 2.0), (0.5, 1.5)]) == 1, "on a line it is the first"
    with pytest.raises(ValueError, match="at least one"):
        knee_index([])


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=3, max_size=12))
def test_the_knee_is_the_farthest_below_the_line_between_the_ends(drawn) -> None:
    front = [
        point
        for point in set(drawn)
        if not any(o != point and o <= point and o[1] <= point[1] for o in drawn)
    ]
    low, high = np.min(front, axis=0), np.max(front, axis=0)
    scaled = (np.array(front) - low) / np.maximum(high - low, 1)
    below = (1 - scaled.sum(axis=1)) / np.sqrt(2)  # from the line through (0, 1) and (1, 0)
    assert below[knee_index(front)] == pytest.approx(below.max())


def test_differences_are_named_by_path() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1]}
    now = {"a": {"b": 2, "c": 3}, "d": [1], "e": None}
    assert differences(before, now, ignored=["a.c"]) == ["a.b: 1 -> 2"]
    assert differences(before, {**now, "d": [2]}, ignored=["a"]) == ["d: [1] -> [2]"]
