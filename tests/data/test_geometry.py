"""What clouds say about their sensor, on clouds whose sensor is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.geometry import cloud_geometry
from hwnas.data.geometry.ground_plane import Ground
from hwnas.data.sensors import Sensor, load_sensor, sensor_names
from hwnas.range_view.angles import has_direction, range_of

HEIGHT_M = 1.8


def turn_of(
    sensor: Sensor, *, height_m: float = HEIGHT_M, steps: int = 360, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] and rings [N] over flat ground inside a round wall, ring by ring."""
    rng = np.random.default_rng(seed)
    azimuth = np.linspace(0, 2 * np.pi, steps, endpoint=False)[None] + np.zeros((sensor.beams, 1))
    elevation = np.radians(sensor.elevation_deg)[:, None] + np.zeros((1, steps))
    wall = 15.0 + 5.0 * np.sin(3 * azimuth)
    with np.errstate(divide="ignore"):
        ground = np.where(elevation < 0, height_m / -np.tan(elevation), np.inf)
    flat = np.minimum(wall, ground) * (1.0 + 0.002 * rng.standard_normal(wall.shape))
    points = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), flat * np.tan(elevation)], axis=-1)
    ring = np.repeat(np.arange(sensor.beams, dtype=np.int32), steps)
    return points.reshape(-1, 3).astype(np.float32), ring


def rotation(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
    return matrix.astype(np.float32)


@pytest.mark.parametrize("name", [name for name in sensor_names() if load_sensor(name).is_rotating])
def test_beams_are_those_of_the_sensor_with_and_without_rings(name: str) -> None:
    sensor = load_sensor(name)
    points, ring = turn_of(sensor)
    for found in (cloud_geometry.geometry_of(points, ring), cloud_geometry.geometry_of(points)):
        assert found.beams is not None
        np.testing.assert_allclose(found.beams.elevation_deg, sensor.elevation_deg, atol=0.03)
        assert found.beams.spread_deg < 0.02
        assert found.azimuth_coverage == 1.0
        assert found.turn == cloud_geometry.Turn(is_left=True, order=cloud_geometry.BY_RING)


@settings(max_examples=30, deadline=None)
@given(
    yaw=st.floats(0, 360),
    roll=st.floats(-30, 30),
    pitch=st.floats(-30, 30),
    height_m=st.floats(1.0, 3.0),
    scale=st.sampled_from((1.0, 3.28084, 100.0, 1000.0)),
)
def test_ground_is_found_in_every_pose_and_unit(
    yaw: float, roll: float, pitch: float, height_m: float, scale: float
) -> None:
    points, _ = turn_of(load_sensor("hdl-64e"), height_m=height_m)
    turned = points @ rotation(2, yaw).T @ rotation(1, -pitch).T @ rotation(0, roll).T
    found = cloud_geometry.ground_of(turned * np.float32(scale))
    assert found is not None
    assert found.height / scale == pytest.approx(height_m, rel=0.05)
    normal = rotation(0, roll) @ rotation(1, -pitch) @ np.array([0, 0, 1])
    assert found.tilt_deg == pytest.approx(float(np.degrees(np.arccos(normal[2]))), abs=1.5)


def test_roll_and_pitch_have_the_stated_signs() -> None:
    points, _ = turn_of(load_sensor("vlp-16"))
    # What is level ahead (or to the left) of the sensor sinks in its frame when its nose (or left side) is up.
    nose_up = cloud_geometry.ground_of(points @ rotation(1, 10.0).T)
    left_up = cloud_geometry.ground_of(points @ rotation(0, -10.0).T)
    assert nose_up is not None
    assert left_up is not None
    assert nose_up.pitch_deg == pytest.approx(10, abs=1)
    assert nose_up.roll_deg == pytest.approx(0, abs=1)
    assert left_up.roll_deg == pytest.approx(10, abs=1)


def test_a_cloud_that_is_upside_down_has_its_ground_overhead() -> None:
    points, _ = turn_of(load_sensor("hdl-64e"))
    found = cloud_geometry.ground_of(points * np.array([1, -1, -1], np.float32))
    assert found is not None
    assert found.height == pytest.approx(-HEIGHT_M, rel=0.05)


@pytest.mark.parametrize("width_deg", [60, 120, 180, 300, 360])
def test_coverage_is_the_share_of_the_turn(width_deg: int) -> None:
    points, _ = turn_of(load_sensor("vlp-32c"))
    azimuth = cloud_geometry.azimuth_of(points)
    part = points[np.abs(azimuth) <= width_deg / 2]
    thinned = part[np.random.default_rng(0).random(len(part)) < 0.3]
    for cloud in (part, thinned):
        assert cloud_geometry.azimuth_coverage(cloud) == pytest.approx(width_deg / 360, abs=0.02)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("has_rings", [False, True])
@pytest.mark.parametrize("start", [0, 100])
def test_sense_of_the_turn(mirrored: bool, by_column: bool, has_rings: bool, start: int) -> None:
    sensor = load_sensor("os1-128")
    points, ring = turn_of(sensor)
    grid = np.arange(len(points)).reshape(sensor.beams, -1)
    grid = np.roll(grid, start, axis=1)
    order = (grid.T if by_column else grid).ravel()
    sign = np.array([1, -1 if mirrored else 1, 1], np.float32)
    found = cloud_geometry.turn_of(points[order] * sign, ring[order] if has_rings else None)
    expected = cloud_geometry.BY_COLUMN if by_column else cloud_geometry.BY_RING
    assert found == cloud_geometry.Turn(is_left=not mirrored, order=expected)


@pytest.mark.parametrize("is_left", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_beams_that_lie_15_degrees_apart_in_azimuth_show_the_turn(is_left: bool, share: float) -> None:
    """As those of a Pandar64, whose firings come one after the other."""
    sensor = load_sensor("pandar64")
    points, ring = turn_of(sensor)
    offset = np.degrees(np.arctan2(points[:, 1], points[:, 0])) + 12.0 * (ring % 4 - 1.5)
    turn = np.radians(12.0 * (ring % 4 - 1.5))
    c, s = np.cos(turn), np.sin(turn)
    x, y = points[:, 0].copy(), points[:, 1].copy()
    points[:, 0], points[:, 1] = c * x - s * y, s * x + c * y
    firing = np.round(offset - 12.0 * (ring % 4 - 1.5), 2)
    order = np.lexsort((ring, firing if is_left else -firing))
    order = order[: int(share * len(order))]
    found = cloud_geometry.turn_of(points[order])
    assert found == cloud_geometry.Turn(is_left=is_left, order=cloud_geometry.BY_COLUMN)


def test_points_that_are_near_in_other_scans_are_near() -> None:
    range_ = np.concatenate([np.full(10, 0.6), np.full(60, 2.0), np.full(30, 8.0)]).astype(np.float32)
    assert int(cloud_geometry.is_far(range_).sum()) == 100  # a tenth of the median is 20 cm
    assert int(cloud_geometry.is_far(range_, 0.9).sum()) == 90
    assert int(cloud_geometry.is_far(range_ / 1000, 0.9).sum()) == 100  # in another unit nothing lies beyond


def test_times_show_the_turn_where_the_order_does_not() -> None:
    points, ring = turn_of(load_sensor("vlp-16"))
    time = np.tile(np.arange(360.0), 16)
    order = np.random.default_rng(0).permutation(len(points))
    assert cloud_geometry.turn_of(points[order], ring[order]) is None
    assert cloud_geometry.turn_of(points[order]) is None
    found = cloud_geometry.turn_of(points[order], ring[order], time[order])
    assert found == cloud_geometry.Turn(is_left=True, order=cloud_geometry.BY_COLUMN)


def test_points_without_a_direction_are_counted_and_left_out() -> None:
    points, ring = turn_of(load_sensor("vlp-16"))
    whole = cloud_geometry.geometry_of(points, ring)
    more = np.concatenate([np.full((1440, 3), np.nan), np.zeros((2880, 3)), points]).astype(np.float32)
    found = cloud_geometry.geometry_of(more, np.concatenate([np.zeros(4320, np.int32), ring]))
    assert found.num_points == 10080
    assert found.not_finite == pytest.approx(1440 / 10080)
    assert found.no_return == pytest.approx(2880 / 10080)
    assert found.beams == whole.beams
    assert found.ground == whole.ground


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_clouds_of_few_points_say_little_and_break_nothing(count: int) -> None:
    points, ring = turn_of(load_sensor("vlp-16"))
    found = cloud_geometry.geometry_of(points[:count], ring[:count])
    assert (found.elevation_deg is None) == (count < 8)
    nothing = cloud_geometry.geometry_of(np.full((count, 3), np.nan, np.float32))
    assert nothing.not_finite == (1.0 if count else 0.0)
    assert (nothing.elevation_deg, nothing.beams, nothing.ground, nothing.turn) == (None,) * 4


@pytest.mark.parametrize(
    ("found", "unit"), [(1.7, "metres"), (173, "centimetres"), (5.7, "feet"), (9.0, None)]
)
def test_a_length_tells_its_unit(found: float, unit: str | None) -> None:
    assert cloud_geometry.unit_of(found, 1.73) == unit


@settings(max_examples=50, deadline=None)
@given(st.floats(-2, 3), st.floats(-30, 30), st.floats(-30, 30), st.floats(-1, 4))
def test_heights_count_from_the_plane(
    height: float, roll_deg: float, pitch_deg: float, above_m: float
) -> None:
    x, y = np.random.default_rng(0).uniform(-20, 20, (2, 50))
    roll, pitch = np.tan(np.radians([roll_deg, pitch_deg]))
    # The plane falls ahead where the front is up; its distance from the origin is along its normal.
    plane = -pitch * x - roll * y - height * np.sqrt(1 + roll**2 + pitch**2)
    points = np.column_stack([x, y, plane + above_m])
    found = Ground(height, roll_deg, pitch_deg, 1.0).above(points.astype(np.float32))
    np.testing.assert_allclose(found, above_m, atol=1e-4)


def test_points_without_a_direction_are_told() -> None:
    nan, inf = np.nan, np.inf
    points = np.array(
        [[3, 4, 0], [0, 0, 0], [nan, 1, 1], [0, inf, 0], [3e38, 3e38, 0], [0, 0, -2]], np.float32
    )
    np.testing.assert_array_equal(range_of(points)[[0, 1, 3, 4, 5]], [5.0, 0.0, inf, inf, 2.0])
    np.testing.assert_array_equal(has_direction(points), [True, False, False, False, False, True])
    np.testing.assert_allclose(
        cloud_geometry.elevation_of(points[[0, 5]]),
        cloud_geometry.precise_elevation_of(points[[0, 5]]),
        atol=1e-4,
    )
