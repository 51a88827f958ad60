"""Rings are those of the beams, however the points come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor
from hwnas.range_view.rings import recover_rings
from tests.data.clouds import ring_ordered_cloud, sector_with_strays
from tests.data.sensor_clouds import Turn, scan_of, scan_of_beams
from tests.range_view.ring_scans import ROTATING, blurred, turns

pytestmark = pytest.mark.usefixtures("kernel")


def assert_rings(points: np.ndarray, beam: np.ndarray) -> None:
    ring = recover_rings(points)
    assert ring is not None
    assert ring.dtype == np.int32
    np.testing.assert_array_equal(ring, beam)


@pytest.mark.parametrize("name", ROTATING)
@settings(max_examples=6, deadline=None)
@given(turns)
def test_the_ring_is_the_beam_for_every_sensor(name: str, turn: Turn) -> None:
    assert_rings(*scan_of(load_sensor(name), turn))


@pytest.mark.parametrize(
    ("stray_deg", "begin_deg", "end_deg"), [(-15.5, -11.2, 168.0), (-12.7, -8.4, 56.0), (-12.0, -8.4, 331.0)]
)
def test_a_point_far_before_the_first_turn_belongs_to_it(
    stray_deg: float, begin_deg: float, end_deg: float
) -> None:
    """A sector that begins at the seam of the turn, and one point beyond: no turn is numbered -1."""
    points, beam = sector_with_strays([stray_deg], begin_deg, end_deg)
    ring = recover_rings(points)
    assert ring is not None
    np.testing.assert_array_equal(ring, beam)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 128), st.floats(0.12, 0.7), st.floats(-20, 20), st.floats(0, 10), turns)
def test_the_ring_is_the_beam_for_any_number_of_beams(
    num_beams: int, spacing_deg: float, middle_deg: float, stagger_deg: float, turn: Turn
) -> None:
    elevation = middle_deg + spacing_deg * ((num_beams - 1) / 2 - np.arange(num_beams))
    offsets = np.random.default_rng(turn.seed).uniform(-stagger_deg, stagger_deg, num_beams)
    assert_rings(*scan_of_beams(tuple(elevation), tuple(offsets), turn))


@settings(max_examples=20, deadline=None)
@given(turns.map(lambda turn: turn._replace(order="ring", steps=turn.steps + 100)))
def test_rings_whose_elevations_overlap_are_told_by_where_turns_are_cut(turn: Turn) -> None:
    sensor = load_sensor("hdl-64e")
    points, beam = scan_of_beams(sensor.elevation_deg, sensor.azimuth_offset_deg, turn)
    points = blurred(points, 0.03, turn.seed)
    ring = recover_rings(points)
    assert ring is not None
    assert np.mean(ring == beam) > 0.98


def test_the_same_points_give_the_same_rings_wherever_their_turns_begin() -> None:
    """A 32-beam scan whose rings each begin behind: once 33 rings, half of the points in the wrong row."""
    for name in ("hdl-32e", "vlp-32c"):
        for start in (0.0, 90.0, 180.0, -90.0, 37.3):
            assert_rings(*scan_of(load_sensor(name), Turn(start_deg=start, dropped=0.2)))


@settings(max_examples=15, deadline=None)
@given(st.integers(16, 128), st.integers(40, 300), st.booleans(), st.booleans(), st.integers(0, 99))
def test_rings_are_recovered_whichever_way_the_sensor_turns(
    num_rings: int, steps: int, clockwise: bool, bottom_first: bool, seed: int
) -> None:
    points, ring = ring_ordered_cloud(num_rings, steps, seed)
    if clockwise:
        points = points * np.array([1, -1, 1], np.float32)
    if bottom_first:
        order = np.argsort(-ring, kind="stable")
        points, ring = points[order], ring[order]
    assert_rings(points, ring)


def test_nothing_is_told_where_nothing_can_be() -> None:
    rng = np.random.default_rng(0)
    points, _ = ring_ordered_cloud(64, 100)
    overlapping = rng.permutation(blurred(points, 0.5, 0))
    for cloud in (overlapping, points[:10], np.zeros((100, 3), np.float32), points[:0], points[:100]):
        assert recover_rings(cloud) is None
    assert recover_rings(rng.normal(0, 20, (5000, 3)).astype(np.float32)) is None


def test_points_without_a_direction_do_not_disturb() -> None:
    points, beam = scan_of(load_sensor("pandar64"), Turn(order="column"))
    places = np.random.default_rng(0).integers(0, len(points), 300)
    points[places] = np.array([np.nan, 0.0, np.inf], np.float32)[np.arange(300) % 3, None]
    ring = recover_rings(points)
    assert ring is not None
    usable = np.isfinite(points).all(axis=1) & points.any(axis=1)
    np.testing.assert_array_equal(ring[usable], beam[usable])
    assert not ring[~usable].any()


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("missing", ["end of the last ring", "beginning of the first ring"])
@settings(max_examples=15, deadline=None)
@given(st.floats(12, 45), st.floats(20, 120), st.integers(0, 2**16))
def test_a_sector_may_hold_the_azimuth_at_which_turns_are_cut(
    missing: str, clockwise: bool, before_deg: float, after_deg: float, seed: int
) -> None:
    """Its other rings show the cut, where the first one, or the last one, misses its part on one side of it."""
    sensor = load_sensor("hdl-64e")
    points, beam = scan_of_beams(
        sensor.elevation_deg, (0.0,) * sensor.beams, Turn(steps=1000, clockwise=clockwise, seed=seed)
    )
    points = blurred(points, 0.01, seed)
    turned = (
        np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    )  # before_deg of the sector, then the cut
    turned = (360 - turned) % 360 if clockwise else turned
    sector = (turned < after_deg) | (turned >= 360 - before_deg)
    if missing == "end of the last ring":
        sector &= ~((beam == sensor.beams - 1) & (turned > 180))
    else:
        sector &= ~((beam == 0) & (turned < 180))
    ring = recover_rings(points[sector])
    assert ring is not None
    assert np.mean(ring == beam[sector]) > 0.98


@pytest.mark.parametrize(("steps", "is_enough"), [(4, True), (3, False)])
def test_sixteen_points_of_four_beams_are_the_fewest(steps: int, is_enough: bool) -> None:
    points, beam = scan_of_beams((2.0, 0.0, -2.0, -4.0), (0.0,) * 4, Turn(steps=steps, order="any"))
    ring = recover_rings(points)
    assert (ring is not None) == is_enough
    if ring is not None:
        np.testing.assert_array_equal(ring, beam)
    three, _ = scan_of_beams((2.0, 0.0, -2.0), (0.0,) * 3, Turn(steps=100, order="any"))
    assert recover_rings(three) is None


@pytest.mark.parametrize(("beams", "is_known"), [(4, True), (128, True), (3, False), (129, False)])
def test_rings_that_come_one_by_one_are_4_to_128(beams: int, is_known: bool) -> None:
    """Elevations overlap, so that only where turns are cut tells the rings."""
    points, ring = ring_ordered_cloud(beams, 500)
    tilt = np.random.default_rng(0).uniform(-1, 1, len(points)) * np.radians(26.0 / (beams - 1))
    points[:, 2] += (np.linalg.norm(points, axis=1) * tilt).astype(np.float32)
    found = recover_rings(points)
    assert (found is not None) == is_known
    if found is not None:
        assert np.mean(found == ring) > 0.95
