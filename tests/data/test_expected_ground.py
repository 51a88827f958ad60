"""The ground is found where it is expected, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.data.geometry.expected_ground import support_of_ground
from hwnas.data.geometry.ground_plane import ground_of
from hwnas.data.sensors import load_sensor
from tests.data.test_geometry import rotation, turn_of

HEIGHT_M = (1.75, 1.85)


def cloud(height_m: float = 1.8) -> np.ndarray:
    return turn_of(load_sensor("os1-64"), height_m=height_m)[0]


def walled(points: np.ndarray, azimuth_deg: float, distance_m: float) -> np.ndarray:
    direction = np.radians(azimuth_deg)
    reach = points[:, 0] * np.cos(direction) + points[:, 1] * np.sin(direction)
    scale = np.where(reach > distance_m, distance_m / np.maximum(reach, 1e-6), 1.0)
    return (points * scale[:, None]).astype(np.float32)


@pytest.mark.parametrize("azimuth_deg", [0, 75, 200])
def test_the_ground_is_seen_beside_a_wall_and_on_a_slope(azimuth_deg: float) -> None:
    for points in (cloud(), walled(cloud(), azimuth_deg, 1.8), cloud() @ rotation(1, 5.0)):
        support = support_of_ground(points, HEIGHT_M)
        assert support is not None
        assert support > 0.1


@pytest.mark.parametrize("height_m", [0.0, 0.6, 3.2, 5.0])
def test_a_ground_at_another_height_is_not_the_expected_one(height_m: float) -> None:
    points = cloud() + np.float32([0, 0, 1.8 - height_m])
    assert support_of_ground(points, HEIGHT_M) is None
    assert support_of_ground(walled(points, 30, 2.0), HEIGHT_M) is None


def test_no_other_unit_axis_or_tilt_shows_the_expected_ground() -> None:
    points = cloud()
    wrong = [points * np.float32(factor) for factor in (3.28084, 39.37, 100, 1000)]
    wrong += [points * np.float32([1, -1, -1]), points[:, [2, 0, 1]], points[:, [1, 2, 0]]]
    wrong += [points @ rotation(axis, angle) for axis in (0, 1) for angle in (-30, 25, 50)]
    assert [support_of_ground(other, HEIGHT_M) for other in wrong] == [None] * len(wrong)


def test_a_ground_on_one_side_is_not_all_around() -> None:
    points = cloud()
    raised = np.random.default_rng(0).uniform(0, 5, len(points))
    half = points.copy()
    half[:, 2] = np.where(points[:, 0] > 0, raised, points[:, 2])
    assert support_of_ground(half, HEIGHT_M) is not None
    assert support_of_ground(half, HEIGHT_M, least_turn=0.75) is None
    assert support_of_ground(points, HEIGHT_M, least_turn=0.75) is not None


@pytest.mark.parametrize("count", [0, 1, 39])
def test_few_points_show_no_ground(count: int) -> None:
    assert support_of_ground(cloud()[-count or 100_000 :], HEIGHT_M) is None


@pytest.mark.parametrize(("axis", "angle"), [(0, 20), (0, -35), (1, 30), (1, -15)])
def test_a_levelled_cloud_has_a_level_ground_at_the_same_height(axis: int, angle: float) -> None:
    points = cloud() @ rotation(axis, angle).T
    ground = ground_of(points)
    assert ground is not None
    assert ground.tilt_deg == pytest.approx(abs(angle), abs=1.0)
    levelled = ground.levelled(points)
    np.testing.assert_allclose(np.linalg.norm(levelled, axis=1), np.linalg.norm(points, axis=1), rtol=1e-5)
    after = ground_of(levelled)
    assert after is not None
    assert after.tilt_deg < 1.0
    assert after.height == pytest.approx(ground.height, abs=0.05)
