"""Synthetic drives: points in the frame of the moving sensor at their own time, and a vehicle that drives well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.data.synthetic import classes
from hwnas.data.synthetic.drive import DrivenScene, DriveSettings, write_drive
from hwnas.data.synthetic.ground import Ground, make_ground
from hwnas.data.synthetic.layout import draw_layout
from hwnas.data.synthetic.lidar import Caster, Pose, Returns
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import box, join, surface
from hwnas.data.synthetic.motion import Motion, rotations, turned
from hwnas.data.synthetic.presets import PRESETS
from hwnas.data.synthetic.travelling import TravellingMesh
from hwnas.errors import ConfigError

WALL_M = 14.0
PERIOD_S = 0.1


@pytest.fixture(scope="module")
def ground() -> Ground:
    rng = np.random.default_rng(0)
    return make_ground(draw_layout(PRESETS["urban"], rng), rng)


@pytest.fixture(scope="module")
def caster(ground: Ground) -> Caster:
    """A wall across the way, at x = `WALL_M`, high and wide."""
    level = ground.base_at(0, 0)
    return Caster(surface(box((WALL_M + 0.5, 0, level), (1, 160, 30)), 50, Material.PLASTER), ground)


def motion_of(ground: Ground, speed: float = 0.0, yaw_rate: float = 0.0, pitch_rate: float = 0.0) -> Motion:
    """A sensor that moves and turns evenly, 2 m above the middle of the ground."""
    time = np.linspace(0, PERIOD_S, 11)
    yaw = 0.3 + yaw_rate * time
    position = np.stack([speed * time, 0.5 * speed * time, np.full(11, ground.base_at(0, 0) + 2.0)], axis=1)
    return Motion(time, position, np.stack([yaw, 0.02 + pitch_rate * time, np.full(11, -0.01)], axis=1))


def sweep(
    caster: Caster, motion: Motion, sensor: str, seed: int = 1, others: Sequence[TravellingMesh] = ()
) -> Returns:
    return caster.sweep(load_sensor(sensor), motion, 0.0, PERIOD_S, others, np.random.default_rng(seed))


def in_world(returns: Returns, motion: Motion, times: np.ndarray | None = None) -> np.ndarray:
    """Return where points are in the world, by the pose at their own times or at others."""
    position, angles = motion.at(returns.turn.astype(float) * PERIOD_S if times is None else times)
    return position + turned(returns.points, angles)


def test_rotations_are_those_of_poses_of_single_scans() -> None:
    angles = np.random.default_rng(0).normal(size=(20, 3))
    for one, found in zip(angles, rotations(angles), strict=True):
        np.testing.assert_allclose(found, Pose(0, 0, 0, *one).rotation(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotations(angles)), 1)


@pytest.mark.parametrize("sensor", sensor_names())
def test_a_sensor_that_stands_still_scans_as_without_a_drive(
    sensor: str, caster: Caster, ground: Ground
) -> None:
    motion = motion_of(ground)
    pose = Pose(*motion.position[0], *motion.angles[0])
    expected = caster.scan(load_sensor(sensor), pose, join([]), np.random.default_rng(1))
    found = sweep(caster, motion, sensor)
    assert abs(len(found.points) - len(expected.points)) < 1e-4 * len(expected.points)
    if len(found.points) == len(expected.points):  # rounding decides of a ray that grazes an edge
        np.testing.assert_array_equal(found.ring, expected.ring)
        assert np.median(np.abs(found.points - expected.points)) < 1e-5
        assert np.mean(found.label == expected.label) > 0.999


@settings(max_examples=12, deadline=None)
@given(
    speed=st.floats(-20, 20),
    yaw_rate=st.floats(-1.5, 1.5),
    pitch_rate=st.floats(-0.2, 0.2),
    sensor=st.sampled_from(("hdl-64e", "vlp-16", "os0-32", "mid-360", "vlp-32c")),
)
def test_a_wall_stands_where_it_is_once_points_are_moved_by_their_own_poses(
    speed: float, yaw_rate: float, pitch_rate: float, sensor: str, caster: Caster, ground: Ground
) -> None:
    motion = motion_of(ground, speed, yaw_rate, pitch_rate)
    found = sweep(caster, motion, sensor)
    wall = found.label == 50
    ahead = np.abs(in_world(found, motion)[:, 1]) < 10
    assert np.count_nonzero(wall & ahead) > 100
    away = in_world(found, motion)[wall & ahead, 0] - WALL_M
    noise = load_sensor(sensor).range_noise_m
    assert np.abs(np.median(away)) < 0.01
    assert np.std(away) < 3 * noise


def test_one_pose_for_all_points_smears_the_wall(caster: Caster, ground: Ground) -> None:
    motion = motion_of(ground, 15.0)
    found = sweep(caster, motion, "hdl-64e")
    wall = found.label == 50
    assert np.std(in_world(found, motion, np.zeros(len(wall)))[wall, 0]) > 0.15
    assert np.std(in_world(found, motion)[wall, 0]) < 0.05


def test_what_moves_is_met_where_it_is_at_that_moment(caster: Caster, ground: Ground) -> None:
    motion = motion_of(ground)
    level = ground.base_at(0, 0)
    time = np.array([0.0, PERIOD_S])
    block = surface(box((0, 0, 2), (1, 6, 6)), 10, Material.PLASTER)
    approaching = Motion(time, np.array([[8.0, 2, level], [5.0, 2, level]]), np.zeros((2, 3)))
    found = sweep(caster, motion, "hdl-64e", others=[TravellingMesh(block, approaching)])
    hit = (found.label == 10) & (np.abs(in_world(found, motion)[:, 1] - 2) < 2)
    assert np.count_nonzero(hit) > 100
    face = approaching.at(found.turn[hit].astype(float) * PERIOD_S)[0][:, 0] - 0.5
    front = np.abs(in_world(found, motion)[hit, 0] - face)
    assert np.median(front) < 0.05
    assert np.ptp(face) > 0.1


def test_turns_pass_in_the_direction_of_the_sensor() -> None:
    scene_settings = DriveSettings(0.1, 10.0, "vlp-32c", 3)
    found = DrivenScene(scene_settings).scan(0)
    table = load_sensor("vlp-32c")
    azimuth = np.degrees(np.arctan2(found.points[:, 1], found.points[:, 0]))
    rotor = -(azimuth - np.array(table.azimuth_offset_deg)[found.ring] - table.first_azimuth_deg)
    away = np.mod(rotor / 360 - found.turn + 0.5, 1) - 0.5
    assert np.abs(away).max() < 1 / table.azimuth_steps
    assert 0 <= found.turn.min() < 0.01 < 0.99 < found.turn.max() < 1


@pytest.mark.parametrize("seed", range(4))
def test_the_vehicle_drives_smoothly_turns_and_keeps_clear(seed: int) -> None:
    scene = DrivenScene(DriveSettings(10.0, 10.0, "vlp-16", seed))
    motion = scene.motion
    step = np.diff(motion.time_s)[0]
    velocity = np.gradient(motion.position, step, axis=0)
    speed = np.linalg.norm(velocity[:, :2], axis=1)
    yaw_rate = np.gradient(motion.angles[:, 0], step)
    assert 2 < speed.min() < 5 < speed.max() <= 14
    assert np.abs(np.gradient(speed, step)).max() < 3
    assert 0.3 < np.abs(yaw_rate).max() < 1.2
    assert np.abs(np.gradient(yaw_rate, step)).max() < 3
    assert 50 < np.abs(np.degrees(motion.angles[-1, 0] - motion.angles[0, 0])) < 130
    assert np.abs(np.gradient(motion.angles[:, 1:], step, axis=0)).max() < 0.3
    heading = np.arctan2(velocity[:, 1], velocity[:, 0])
    assert np.abs(np.angle(np.exp(1j * (heading - motion.angles[:, 0])))).max() < 0.1
    assert len(scene.travellers) > 3
    for one in scene.travellers:
        away = np.linalg.norm(one.motion.position[:, :2] - motion.position[:, :2], axis=1)
        assert away.min() > one.half_size[1] + 1.0


def test_it_keeps_to_the_road_and_nothing_is_in_its_way() -> None:
    scene = DrivenScene(DriveSettings(8.0, 10.0, "os0-32", 1))
    for number in (0, 30, 45, 60, 79):
        found = scene.scan(number)
        level, out = found.points[:, 2], np.hypot(found.points[:, 0], found.points[:, 1])
        below = (out < 4.5) & (level < -1.0)
        assert np.count_nonzero(below) > 100
        assert np.mean(found.label[below] == classes.ROAD) > 0.6
        assert not np.any((out < 1.2) & (level > -1.0))


def test_a_long_drive_is_a_slow_one() -> None:
    scene = DrivenScene(DriveSettings(60.0, 1.0, "vlp-16", 2))
    assert scene.motion.time_s[-1] == pytest.approx(60.0)
    speed = np.linalg.norm(np.diff(scene.motion.position[:, :2], axis=0), axis=1) / 0.01
    assert 0.3 < speed.min() < speed.max() < 6


def test_files_hold_stamps_and_poses_as_kitti_does(tmp_path: Path) -> None:
    made = write_drive(tmp_path, DriveSettings(0.45, 10.0, "vlp-16", 5))
    sequence = tmp_path / "sequences" / "00"
    assert len(made.scans) == 4
    times = np.loadtxt(sequence / "times.txt")
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3])
    calibration = np.vstack(
        [np.array((sequence / "calib.txt").read_text().split()[1:], float).reshape(3, 4), [0, 0, 0, 1]]
    )
    first = made.motion.transform(0.0)
    for time, row in zip(times, np.loadtxt(sequence / "poses.txt"), strict=True):
        pose = np.vstack([row.reshape(3, 4), [0, 0, 0, 1]])
        moved = np.linalg.inv(calibration) @ pose @ calibration  # as tools for KITTI read it
        np.testing.assert_allclose(first @ moved, made.motion.transform(time), atol=1e-6)
        np.testing.assert_allclose(pose[2, 3], moved[0, 3])  # ahead is z of the camera, x of the sensor


@pytest.mark.parametrize(
    ("drive_s", "rate_hz", "seed", "words"),
    [
        (0.0, 10.0, 0, "more than 0 s"),
        (61.0, 10.0, 0, "at most 60 s"),
        (float("nan"), 10.0, 0, "got nan"),
        (1.0, 0.5, 0, "1 to 50"),
        (1.0, float("inf"), 0, "1 to 50"),
        (0.05, 10.0, 0, "less than one scan"),
        (1.0, 10.0, -1, "seed"),
    ],
)
def test_what_cannot_be_driven_is_refused_in_words(
    drive_s: float, rate_hz: float, seed: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        write_drive(tmp_path / "x", DriveSettings(drive_s, rate_hz, "vlp-16", seed))
    assert not list(tmp_path.iterdir())
