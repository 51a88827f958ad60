"""Reductions are those that the step functions of two fronts show, however they are computed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.front_comparison import Point, cost_reduction, error_reduction

networks = st.lists(st.tuples(st.floats(0.5, 200), st.floats(0.05, 0.95)), min_size=1, max_size=8)


def by_sampling(ours: list[Point], reference: list[Point], lower: float, upper: float) -> float:
    """The same average, over many costs instead of between steps."""
    costs = np.exp(np.linspace(math.log(lower), math.log(upper), 20_001))[:-1] * (1 + 1e-9)
    ratios = [
        math.log(min(error for cost, error in ours if cost <= x))
        - math.log(min(error for cost, error in reference if cost <= x))
        for x in costs
    ]
    return 1.0 - math.exp(float(np.mean(ratios)))


def test_a_known_answer() -> None:
    """From 20 to 40 ms a fifth less error, from 40 to 80 ms a half less; both spans count alike."""
    ours, reference = [(10.0, 0.4), (40.0, 0.2)], [(20.0, 0.5), (40.0, 0.4), (80.0, 0.4), (60.0, 0.9)]
    found = error_reduction(ours, reference)
    assert found.share == pytest.approx(0.2)  # beyond 40 ms neither front changes
    assert (found.lower, found.upper, found.coverage) == pytest.approx((20.0, 40.0, 1.0))
    found = error_reduction([*ours, (80.0, 0.2 - 1e-12)], reference)
    assert found.share == pytest.approx(1 - math.sqrt(0.8 * 0.5))
    assert found.upper == pytest.approx(80.0)


def test_cost_at_equal_error() -> None:
    """At errors from 0.4 to 0.5 the reference's 40 ms stand against 10; below 0.4 there is no reference."""
    found = cost_reduction([(10.0, 0.4), (40.0, 0.2)], [(20.0, 0.5), (40.0, 0.4)])
    assert found.share == pytest.approx(1 - 10 / 40)
    assert (found.lower, found.upper, found.coverage) == pytest.approx((0.4, 0.5, 1.0))


def test_what_the_networks_do_not_reach_is_not_covered() -> None:
    found = error_reduction([(40.0, 0.2)], [(10.0, 0.5), (160.0, 0.1)])
    assert found.coverage == pytest.approx(0.5)
    assert found.lower == pytest.approx(40.0)
    assert found.share == pytest.approx(1 - 0.2 / 0.5)
    slower = error_reduction([(400.0, 0.2)], [(10.0, 0.5), (160.0, 0.1)])
    assert (slower.coverage, slower.share) == pytest.approx((0.0, -1.0))


@settings(max_examples=30, deadline=None)
@given(networks, networks)
def test_the_average_is_that_of_the_step_functions(ours: list[Point], reference: list[Point]) -> None:
    found = error_reduction(ours, reference)
    if found.upper > 1.01 * found.lower:
        assert found.share == pytest.approx(by_sampling(ours, reference, found.lower, found.upper), abs=5e-3)


@given(networks, networks)
def test_exchanging_the_sets_inverts_the_ratio(ours: list[Point], reference: list[Point]) -> None:
    for reduction in (error_reduction, cost_reduction):
        there, back = reduction(ours, reference), reduction(reference, ours)
        assert (1 - there.share) * (1 - back.share) == pytest.approx(1.0)


@given(networks, st.floats(0.2, 5.0))
def test_networks_at_a_share_of_the_cost_cost_that_share(points: list[Point], share: float) -> None:
    found = cost_reduction([(cost * share, error) for cost, error in points], points)
    assert found.share == pytest.approx(1 - share)
    assert found.coverage == 1.0


@given(networks)
def test_dominated_networks_change_nothing(points: list[Point]) -> None:
    worse = [(cost * 1.5, min(0.99, error * 1.01)) for cost, error in points]
    reference = [(20.0, 0.5), (90.0, 0.3)]
    assert error_reduction(points + worse, reference) == error_reduction(points, reference)


@pytest.mark.parametrize("points", [[], [(0.0, 0.5)], [(1.0, math.nan)], [(math.inf, 0.5)], [(1.0, 0.0)]])
def test_other_numbers_are_refused(points: list[Point]) -> None:
    with pytest.raises(ValueError, match="positive, finite"):
        error_reduction(points, [(1.0, 0.5)])
