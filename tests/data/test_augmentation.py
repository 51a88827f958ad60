from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.augmentation import augment_scan, flip_left_right, jitter_range, scale_range, turn
from hwnas.range_view.angles import range_of
from hwnas.scan import Scan
from tests.data.clouds import ring_ordered_cloud


def make_scan(seed: int = 0) -> Scan:
    points, _ = ring_ordered_cloud(16, 200, seed)
    number = np.arange(len(points))
    return Scan(
        points, (number / len(number)).astype(np.float32), None, (number % 19).astype(np.uint8), "00/000000"
    )


def elevation(points: np.ndarray) -> np.ndarray:
    return np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 1.0), st.integers(0, 2**32 - 1))
def test_every_point_stays_on_its_beam_with_its_label(strength: float, seed: int) -> None:
    scan = make_scan()
    _, ring = ring_ordered_cloud(16, 200)
    changed = augment_scan(scan, strength, np.random.default_rng(seed))
    assert 0 < len(changed) <= len(scan)
    assert changed.points.dtype == np.float32
    # Remission is unique in this scan: it says which point this was.
    origin = np.searchsorted(scan.remission, changed.remission)
    np.testing.assert_array_equal(changed.labels, scan.labels[origin])
    np.testing.assert_array_equal(changed.ring, ring[origin])
    np.testing.assert_allclose(elevation(changed.points), elevation(scan.points)[origin], atol=1e-4)
    ratio = range_of(changed.points) / range_of(scan.points)[origin]
    assert (np.abs(ratio - 1) < 0.05 * strength + 0.06).all()


def test_scenes_are_turned_back_to_front_and_never_across() -> None:
    ahead = Scan(
        np.array([[10.0, 0.0, 0.0]], np.float32),
        np.zeros(1, np.float32),
        np.zeros(1, np.int32),
        np.zeros(1, np.uint8),
        "00/000000",
    )
    turned = [augment_scan(ahead, 1.0, np.random.default_rng(seed)).points[0] for seed in range(200)]
    yaw_deg = np.degrees([np.arctan2(abs(point[1]), point[0]) for point in turned])
    assert ((yaw_deg <= 15.01) | (yaw_deg >= 164.99)).all()
    assert 60 < (yaw_deg > 90).sum() < 140
    half = [augment_scan(ahead, 0.5, np.random.default_rng(seed)).points[0, 0] for seed in range(200)]
    assert 20 < sum(x < 0 for x in half) < 80


def test_strength_zero_changes_nothing() -> None:
    scan = make_scan()
    assert augment_scan(scan, 0.0, np.random.default_rng(0)) is scan


def test_reproducible_and_without_effect_on_the_original() -> None:
    scan, untouched = make_scan(), make_scan()
    first, second = (augment_scan(scan, 1.0, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(scan.points, untouched.points)
    other = augment_scan(scan, 1.0, np.random.default_rng(8))
    assert len(other) != len(first) or not np.array_equal(other.points, first.points)


def test_single_steps() -> None:
    points = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert flip_left_right(points).tolist() == [[1.0, -2.0, 3.0]]
    np.testing.assert_allclose(turn(points, np.pi / 2), [[-2.0, 1.0, 3.0]], atol=1e-6)
    np.testing.assert_allclose(scale_range(points, 2.0), [[2.0, 4.0, 6.0]])


def test_noise_has_the_stated_size_and_never_crosses_the_sensor() -> None:
    points = np.tile(np.array([[0.0, 30.0, 0.0]], np.float32), (20000, 1))
    noisy = jitter_range(points, 0.02, np.random.default_rng(0))
    assert float((noisy[:, 1] - 30).std()) == pytest.approx(0.02, rel=0.05)
    near = jitter_range(points / 3000, 0.5, np.random.default_rng(0))
    assert (near[:, 1] > 0).all()


@pytest.mark.parametrize("strength", [-0.1, 1.1, np.nan])
def test_refuses_other_strengths(strength: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        augment_scan(make_scan(), strength, np.random.default_rng(0))
