"""The Gaussian process of the surrogate, and the order of points it starts from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from hwnas.pareto import front_indices, non_dominated_ranks
from hwnas.search.strategies.surrogate.model import Covariance, GaussianProcess, Scale

PARTS = (4, 1, 2)


def _process(num_known: int = 25, covariance: Covariance | None = None) -> tuple[GaussianProcess, np.ndarray]:
    rng = np.random.default_rng(3)
    encodings = rng.normal(size=(num_known, sum(PARTS))) * [1, 1, 1, 1, 50, 1, 1]
    values = np.sin(encodings[:, 0]) + 0.02 * encodings[:, 4]
    return GaussianProcess(encodings, values, Scale.of(encodings, PARTS), covariance), encodings


def test_the_slope_of_the_likelihood_is_right() -> None:
    process, _ = _process(12)
    logs = np.array(Covariance.prior(len(PARTS)).logs) + np.linspace(-0.3, 0.4, 2 * len(PARTS) + 2)
    slope = process._negative_log_likelihood(logs)[1]
    measured = optimize.approx_fprime(logs, lambda at: process._negative_log_likelihood(at)[0], 1e-6)
    assert slope == pytest.approx(measured, rel=1e-3, abs=1e-3)


def test_parts_that_do_not_matter_are_told_from_those_that_do() -> None:
    process, encodings = _process(60)
    logs = process.covariance.logs
    lengths = np.array(logs[len(PARTS) + 1 : -1])
    assert lengths[2] > lengths[0]
    mean, spread = process.predict(encodings)
    truth = np.sin(encodings[:, 0]) + 0.02 * encodings[:, 4]
    assert np.abs(mean - truth).max() < 0.3
    far = process.predict(encodings + 100.0)[1]
    assert (far > spread).all()


def test_parts_without_any_spread_do_no_harm() -> None:
    encodings = np.column_stack([np.arange(6.0), np.ones(6)])
    scale = Scale.of(encodings, (1, 1))
    mean, spread = GaussianProcess(encodings, encodings[:, 0], scale).predict(encodings)
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()
    assert np.all(np.diff(mean) > 0)


def test_fronts_of_two_objectives_are_peeled_one_after_the_other() -> None:
    points = np.random.default_rng(1).integers(0, 12, (80, 2)).astype(np.float64)
    ranks = non_dominated_ranks(points)
    left = np.arange(len(points))
    rank = 0
    while len(left):
        front = points[left[front_indices(points[left].tolist())]]
        expected = {tuple(point) for point in front}
        assert {tuple(points[index]) for index in left if ranks[index] == rank} == expected
        assert all(ranks[index] == rank for index in left if tuple(points[index]) in expected)
        left = left[ranks[left] != rank]
        rank += 1
    some = non_dominated_ranks(points, 10)
    assert (some[some < some.max()] == ranks[some < some.max()]).all()
    assert (some < some.max()).sum() >= 10
