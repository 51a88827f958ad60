"""Given rings that elevations contradict: put right, or warned of, and right ones left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rows import DISAGREE, OTHER_BEAMS, REORDERED, rows_of, sines_of_beams
from hwnas.scan import DataWarning
from tests.data.sensor_clouds import Turn, scan_of
from tests.range_view.ring_scans import ROTATING, row_of, turns


def test_rings_numbered_as_beams_fire_are_sorted_by_elevation_with_a_warning() -> None:
    sensor = load_sensor("vlp-16")
    points, beam = scan_of(sensor, Turn(order="any"))
    laser = np.array([15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0], np.int32)[beam]
    with pytest.warns(DataWarning, match="sorted by elevation"):
        row, _ = row_of(points, laser, 16)
    np.testing.assert_array_equal(row, beam)
    assert rows_of(points, 16, None, laser).remark == REORDERED
    seen = beam != 4
    np.testing.assert_array_equal(
        rows_of(points[seen], 16, sines_of_beams(sensor.elevation_deg), laser[seen]).row, beam[seen]
    )


@pytest.mark.parametrize("name", ROTATING)
@settings(max_examples=8, deadline=None)
@given(turns, st.booleans(), st.integers(0, 2**16))
def test_any_two_neighbouring_rings_that_are_exchanged_are_put_right(
    name: str, turn: Turn, knows_beams: bool, which: int
) -> None:
    sensor = load_sensor(name)
    assert sensor.elevation_deg is not None
    beams = len(sensor.elevation_deg)
    points, beam = scan_of(sensor, turn._replace(steps=int(turn.sector_deg)))
    numbers = np.arange(beams, dtype=np.int32)
    first = which % (beams - 1)
    numbers[[first, first + 1]] = numbers[[first + 1, first]]
    rows = rows_of(
        points, beams, sines_of_beams(sensor.elevation_deg) if knows_beams else None, numbers[beam]
    )
    assert rows.remark == REORDERED
    assert rows.row is not None
    np.testing.assert_array_equal(rows.row, beam)
    assert rows_of(points, beams, None, beam).remark == 0


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 8), turns)
def test_rings_in_order_are_not_sorted_however_the_sensor_is_mounted(tilt_deg: float, turn: Turn) -> None:
    """Tilted frames give rings mean elevations that seem exchanged, most of all in parts of a turn."""
    points, beam = scan_of(load_sensor("vlp-16"), turn)
    tilt = np.radians(tilt_deg)
    points[:, [0, 2]] = points[:, [0, 2]] @ np.array(
        [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]], np.float32
    )
    rows = rows_of(points, 16, None, beam)
    assert rows.remark != REORDERED


@pytest.mark.parametrize("name", ROTATING)
@settings(max_examples=6, deadline=None)
@given(turns, st.integers(1, 3), st.booleans())
def test_rings_numbered_without_those_that_have_no_point_are_warned_of(
    name: str, turn: Turn, lost: int, bottom_first: bool
) -> None:
    sensor = load_sensor(name)
    assert sensor.elevation_deg is not None
    beams = len(sensor.elevation_deg)
    points, beam = scan_of(sensor, turn)
    number = beams - 1 - beam if bottom_first else beam
    seen = number >= lost
    table = sines_of_beams(sensor.elevation_deg)
    assert rows_of(points[seen], beams, table, number[seen] - np.int32(lost)).remark == OTHER_BEAMS
    kept = rows_of(points[seen], beams, table, number[seen])
    assert kept.remark == 0
    np.testing.assert_array_equal(kept.row, beam[seen])


def test_other_beams_are_said_in_words() -> None:
    sensor = load_sensor("vlp-16")
    points, beam = scan_of(sensor, Turn())
    seen = beam >= 2
    spec = ProjectionSpec(16, 256, "ring", beams_deg=sensor.elevation_deg)
    with pytest.warns(DataWarning, match="fit other beams of the sensor than their numbers name"):
        project(points[seen], np.zeros(int(seen.sum()), np.float32), spec, beam[seen] - np.int32(2))


@pytest.mark.parametrize("name", ["hdl-32e", "hdl-64e", "vlp-16", "ot128"])
@pytest.mark.parametrize("share", [0.2, 0.4])
def test_many_points_in_rings_of_others_are_warned_of(name: str, share: float) -> None:
    sensor = load_sensor(name)
    points, beam = scan_of(sensor, Turn(steps=720))
    beams = int(beam.max()) + 1
    rng = np.random.default_rng(0)
    is_wrong = rng.random(len(beam)) < share
    ring = np.where(is_wrong, rng.integers(0, beams, len(beam)), beam).astype(np.int32)
    assert rows_of(points, beams, None, ring).remark == DISAGREE
    assert rows_of(points, beams, None, beam).remark == 0


def test_rings_that_contradict_elevations_are_warned_of() -> None:
    points, _ = scan_of(load_sensor("hdl-32e"), Turn(order="any"))
    nonsense = np.random.default_rng(0).integers(0, 32, len(points)).astype(np.int32)
    with pytest.warns(DataWarning, match="contradict the elevations"):
        row_of(points, nonsense, 32)
    assert rows_of(points, 32, None, nonsense).remark == DISAGREE


def inclined(points: np.ndarray, tilt_deg: float) -> np.ndarray:
    tilt = np.radians(tilt_deg)
    turned = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]], np.float32)
    points = points.copy()
    points[:, [0, 2]] = points[:, [0, 2]] @ turned
    return points


def is_in_sector(points: np.ndarray, centre_deg: float, width_deg: float) -> np.ndarray:
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    return np.abs((azimuth - centre_deg + 180) % 360 - 180) < width_deg / 2


@pytest.mark.parametrize("name", ROTATING)
@settings(max_examples=8, deadline=None)
@given(
    shift=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    centre_deg=st.floats(0, 360),
    width_deg=st.floats(15, 345),
    tilt_deg=st.floats(0, 12),
    wraps=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_rings_shifted_in_a_part_of_the_turn_are_warned_of(
    name: str, shift: int, centre_deg: float, width_deg: float, tilt_deg: float, wraps: bool, seed: int
) -> None:
    points, beam = scan_of(load_sensor(name), Turn(steps=720, seed=seed))
    beams = int(beam.max()) + 1
    points = inclined(points, tilt_deg)
    shifted = (beam + shift) % beams if wraps else np.clip(beam + shift, 0, beams - 1)
    ring = np.where(is_in_sector(points, centre_deg, width_deg), shifted, beam).astype(np.int32)
    # Numbers that wrap round look like exchanged ones where beams stand at uneven distances.
    assert rows_of(points, beams, None, ring).remark in ({DISAGREE, REORDERED} if wraps else {DISAGREE})
    assert rows_of(points, beams, None, beam).remark == 0


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ROTATING), st.floats(0, 15), st.sampled_from([60, 180, 360]), st.integers(0, 2**16))
def test_right_rings_are_not_warned_of_however_the_sensor_is_mounted(
    name: str, tilt_deg: float, sector_deg: int, seed: int
) -> None:
    points, beam = scan_of(load_sensor(name), Turn(steps=2 * sector_deg, sector_deg=sector_deg, seed=seed))
    rows = rows_of(inclined(points, tilt_deg), int(beam.max()) + 1, None, beam)
    assert rows.remark == 0
    assert rows.row is not None
    np.testing.assert_array_equal(rows.row, beam)


def test_a_step_where_the_turn_ends_is_not_one_of_rings() -> None:
    """As motion correction leaves it: the vehicle pitched by two spacings while the sensor turned once."""
    points, beam = scan_of(load_sensor("hdl-32e"), Turn(steps=720))
    turned = (np.arctan2(points[:, 1], points[:, 0]) + np.pi) / (2 * np.pi)
    elevation = np.arcsin(points[:, 2] / np.linalg.norm(points, axis=1)) + np.radians(2 * 1.33) * turned
    radius = np.linalg.norm(points, axis=1)
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    corrected = (
        np.stack(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)],
            axis=1,
        )
        * radius[:, None]
    ).astype(np.float32)
    assert rows_of(corrected, 32, None, beam).remark == 0


def test_shifted_rings_are_said_in_words() -> None:
    points, beam = scan_of(load_sensor("hdl-32e"), Turn(steps=720))
    ring = np.where(points[:, 1] > 0, np.minimum(beam + 2, 31), beam).astype(np.int32)
    with pytest.warns(DataWarning, match="contradict the elevations"):
        row_of(points, ring, 32)
