from __future__ import annotations

import numpy as np
import pytest

from hwnas.metrics.bootstrap import mean_iou_interval
from hwnas.metrics.confusion import mean_iou


def matrices(shares: list[float], points: int = 1000) -> np.ndarray:
    """Two classes, of which that share is right in each sample."""
    rows = [[[round(points * share), points - round(points * share)]] for share in shares]
    return np.array([[row[0], row[0][::-1]] for row in rows], np.int64)


def test_samples_that_are_alike_leave_no_doubt() -> None:
    same = matrices([0.8] * 5)
    assert mean_iou_interval(same) == pytest.approx((mean_iou(same.sum(axis=0)),) * 2)


def test_the_interval_is_that_of_the_mean_of_many_samples() -> None:
    """Where all samples count alike, IoU is a function of the mean share, whose deviation is known."""
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.6, 0.9, 400)
    found = mean_iou_interval(matrices(list(shares)), resamples=4000)
    assert found is not None
    low, high = (shares.mean() + sign * 1.96 * shares.std() / np.sqrt(len(shares)) for sign in (-1, 1))
    assert found == pytest.approx((low / (2 - low), high / (2 - high)), abs=2e-3)


@pytest.mark.parametrize("given", [matrices([0.8]), np.stack([*matrices([0.8, 0.7]), np.zeros((2, 2), int)])])
def test_there_is_none_where_draws_say_nothing(given: np.ndarray) -> None:
    assert mean_iou_interval(given) is None


def test_draws_follow_the_seed() -> None:
    given = matrices([0.5, 0.7, 0.9])
    assert mean_iou_interval(given, seed=1) == mean_iou_interval(given, seed=1)
    assert mean_iou_interval(given, level=0.5) != mean_iou_interval(given, level=0.99)
