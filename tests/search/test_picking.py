from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import StudyError
from hwnas.pareto import front_indices
from hwnas.search.picking import picked


def trials(*points: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"number": number, "state": "COMPLETE", "duplicate_of": None, "error": error, "cost": cost}
        for number, (error, cost) in enumerate(points)
    ]


FRONT = trials(*((error, 1 / error) for error in (0.1, 0.2, 0.3, 0.4, 0.9)))


def numbers(listed: list[dict[str, Any]], pick: str | int) -> list[int]:
    return [trial["number"] for trial in picked({"trials": listed}, pick)]


def test_members_are_picked_evenly_with_both_ends() -> None:
    assert numbers(FRONT, "all") == [0, 1, 2, 3, 4]
    assert numbers(FRONT, 3) == [0, 2, 4]
    assert numbers(FRONT, 2) == [0, 4]
    assert numbers(FRONT, 99) == [0, 1, 2, 3, 4]
    assert numbers(FRONT, "knee") == numbers(FRONT, 1) == [2]


def test_where_the_front_is_small_the_next_best_follow() -> None:
    listed = trials((0.3, 10.0), (0.6, 90.0), (0.4, 30.0), (0.5, 20.0), (0.7, 95.0))
    assert numbers(listed, "all") == [0]
    assert numbers(listed, 2) == [0, 2]
    assert numbers(listed, 3) == [0, 2, 3]
    assert numbers(listed, 4) == [0, 2, 3, 1]


def test_only_candidates_that_were_trained_count() -> None:
    listed = trials((0.3, 10.0), (0.2, 20.0), (0.1, 30.0))
    listed[0]["state"], listed[1]["duplicate_of"] = "PRUNED", 2
    assert numbers(listed, 5) == [2]


def test_what_cannot_be_picked_is_refused() -> None:
    with pytest.raises(StudyError, match="no member"):
        picked({"trials": []}, "all")
    with pytest.raises(StudyError, match="positive number"):
        picked({"trials": FRONT}, "best")
    with pytest.raises(StudyError, match="positive number"):
        picked({"trials": FRONT}, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20), st.integers(2, 20))
def test_the_number_is_met_and_no_one_is_taken_before_the_front(
    points: list[tuple[int, int]], pick: int
) -> None:
    listed = trials(*points)
    found = numbers(listed, pick)
    assert len(found) == len(set(found)) == min(pick, len(listed))
    front = set(front_indices(points))
    assert set(found) <= front or front <= set(found)
