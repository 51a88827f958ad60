"""Closed forms of expected improvement against numerical integration and Monte Carlo."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from hwnas.pareto import hypervolume
from hwnas.search.strategies.expected_improvement import (
    expected_hypervolume_improvement,
    lognormal_shortfall,
    normal_shortfall,
    staircase,
)

REFERENCE = (20.0, 1.0)
FRONT = np.array([[2.0, 0.8], [5.0, 0.5], [9.0, 0.3], [6.0, 0.6]])  # (cost, error); the last is dominated


@pytest.mark.parametrize("bound", [-1.0, 0.0, 0.4, 3.0])
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.5, 0.1), (-2.0, 3.0)])
def test_the_shortfall_of_a_normal_is_its_integral(bound: float, mean: float, spread: float) -> None:
    density = stats.norm(mean, spread).pdf
    expected, _ = integrate.quad(lambda y: (bound - y) * density(y), mean - 12 * spread, bound)
    found = normal_shortfall(np.array(bound), np.array(mean), np.array(spread))
    assert float(found) == pytest.approx(max(expected, 0.0), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("bound", [0.05, 1.0, 4.0, 60.0])
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (1.5, 0.2), (-1.0, 0.6)])
def test_the_shortfall_of_a_lognormal_is_its_integral(bound: float, mean: float, spread: float) -> None:
    density = stats.lognorm(spread, scale=np.exp(mean)).pdf
    middle = [each for each in (np.exp(mean - 3 * spread), np.exp(mean)) if each < bound]
    expected, _ = integrate.quad(lambda y: (bound - y) * density(y), 0.0, bound, points=middle, limit=200)
    found = lognormal_shortfall(np.array(bound), np.array(mean), np.array(spread))
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_nothing_falls_short_of_a_bound_that_is_not_positive() -> None:
    found = lognormal_shortfall(np.array([0.0, -3.0]), np.zeros(2), np.ones(2))
    assert found.tolist() == [0.0, 0.0]


def test_without_spread_the_shortfall_is_the_difference() -> None:
    nothing = np.zeros(3)
    bounds, means = np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, 4.0])
    np.testing.assert_allclose(normal_shortfall(bounds, means, nothing), [0.5, 0.0, 0.0], atol=1e-8)
    found = lognormal_shortfall(bounds, np.log(means), nothing)
    np.testing.assert_allclose(found, [0.5, 0.0, 0.0], atol=1e-7)


def test_a_staircase_holds_what_is_not_dominated() -> None:
    begins, heights = staircase(FRONT, REFERENCE)
    assert begins.tolist() == [0.0, 2.0, 5.0, 9.0]
    assert heights.tolist() == [1.0, 0.8, 0.5, 0.3]


def test_a_staircase_ends_at_the_reference() -> None:
    points = np.array([[20.0, 0.1], [25.0, 0.05], [3.0, 1.0], [4.0, 0.9]])
    begins, heights = staircase(points, REFERENCE)
    assert begins.tolist() == [0.0, 4.0]
    assert heights.tolist() == [1.0, 0.9]


def test_a_staircase_without_points_is_one_step() -> None:
    begins, heights = staircase(np.empty((0, 2)), REFERENCE)
    assert (begins.tolist(), heights.tolist()) == ([0.0], [1.0])


def gain(front: np.ndarray, point: tuple[float, float]) -> float:
    """What a candidate adds to the hypervolume, by the module that fronts are measured with."""
    return hypervolume([*front.tolist(), point], REFERENCE) - hypervolume(front.tolist(), REFERENCE)


@pytest.mark.parametrize(
    ("cost", "error"),
    [(1.0, 0.9), (3.0, 0.6), (7.0, 0.2), (15.0, 0.1), (25.0, 0.1), (8.0, 0.7), (3.0, 1.2)],
)
def test_of_a_certain_candidate_the_gain_is_expected(cost: float, error: float) -> None:
    found = expected_hypervolume_improvement(
        (np.log([cost]), np.zeros(1)), (np.array([error]), np.zeros(1)), FRONT, REFERENCE
    )
    assert found[0] == pytest.approx(gain(FRONT, (cost, error)), abs=1e-5)


@pytest.mark.parametrize("front", [FRONT, FRONT[:1], np.empty((0, 2))], ids=["front", "point", "nothing"])
def test_the_expected_gain_is_that_of_monte_carlo(front: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    log_cost = np.array([0.5, 1.6, 2.5, 1.0]), np.array([0.3, 0.5, 0.05, 1.0])
    error = np.array([0.7, 0.4, 0.35, 0.9]), np.array([0.1, 0.2, 0.05, 0.3])
    found = expected_hypervolume_improvement(log_cost, error, front, REFERENCE)
    draws = 4000
    for candidate in range(4):
        costs = np.exp(rng.normal(log_cost[0][candidate], log_cost[1][candidate], draws))
        errors = rng.normal(error[0][candidate], error[1][candidate], draws)
        gains = [gain(front, point) for point in zip(costs.tolist(), errors.tolist(), strict=True)]
        deviation = np.std(gains) / np.sqrt(draws)
        assert abs(found[candidate] - np.mean(gains)) < 4.5 * deviation + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.floats(0, 1)), max_size=6),
    st.floats(-2, 4),
    st.floats(0.01, 2),
    st.floats(0, 1),
    st.floats(0.001, 0.5),
)
def test_a_larger_front_leaves_less_to_gain(
    points: list[tuple[float, float]], log_cost: float, log_spread: float, error: float, spread: float
) -> None:
    believed = (np.array([log_cost]), np.array([log_spread])), (np.array([error]), np.array([spread]))
    gains = [
        expected_hypervolume_improvement(*believed, np.array(points[:size]).reshape(-1, 2), REFERENCE)[0]
        for size in range(len(points) + 1)
    ]
    assert all(after <= before + 1e-9 for before, after in pairwise(gains))
    assert all(value >= 0 for value in gains)
