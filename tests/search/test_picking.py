from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, StudyError
from hwnas.io_spec import dense_logits
from hwnas.pareto import front_indices
from hwnas.search.picking import Choosable, choose, picked


def architecture(number: int) -> Architecture:
    return Architecture("s", {"n": number}, (1, 8, 8), dense_logits(2))


def trials(*points: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "state": "COMPLETE",
            "duplicate_of": None,
            "architecture": architecture(number).to_json(),
            "error": error,
            "cost": cost,
            "latency_ms": cost,
        }
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
    for pick in ("best", 0, "0", -1, "03", "1.5", "latency>=3", "latency<=x", "latency<=0.5", "error<=0", ""):
        with pytest.raises(ConfigError, match=r"selects none.*positive number"):
            picked({"trials": FRONT}, pick)


def test_limits_and_ids_pick_members_of_the_front() -> None:
    listed = [*FRONT, *trials(*[(0.9, 9.0)] * 5, (0.95, 2.0))[5:]]
    assert numbers(listed, "error<=0.3") == [0, 1, 2]
    assert numbers(listed, "latency <= 2.5") == [3, 4], "the last one is not on the front"
    assert [numbers(listed, architecture(number).id) for number in (2, 5)] == [[2], [5]], "anything trained"
    assert numbers(listed, "3") == numbers(listed, 3)


def test_what_broke_a_constraint_is_picked_by_id_only() -> None:
    networks = [
        Choosable(number, architecture(number), 0.5, 2.0, 2.0, is_by_id_only=number == 1)
        for number in range(2)
    ]
    assert [choose(networks, pick) for pick in ("all", "knee", 2, "error<=1")] == [[0]] * 4
    assert choose(networks, architecture(1).id) == [1]
    with pytest.raises(ConfigError, match="1 of them broke a constraint"):
        choose(networks[1:], "all")


def test_what_was_not_measured_is_neither_counted_nor_within_a_limit() -> None:
    networks = [Choosable(number, architecture(number), 0.5, None, None) for number in range(2)]
    assert choose(networks, "all") == [0, 1]
    for pick in ("knee", 2, "latency<=9", "error<=1"):
        with pytest.raises(ConfigError, match="selects none of the 2"):
            choose(networks, pick)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20), st.integers(2, 20))
def test_the_number_is_met_and_no_one_is_taken_before_the_front(
    points: list[tuple[int, int]], pick: int
) -> None:
    listed = trials(*points)
    found = numbers(listed, pick)
    assert len(found) == len(set(found)) == min(pick, len(listed))
    front = set(front_indices(points))
    assert set(found) <= front or front <= set(found)
