"""Rings are those of the beams, however the points come; rows count from the top, however rings are numbered."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.errors import DataError
from hwnas.range_view.beam_groups import grouped_rings
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.range_view.rows import (
    _row_of_each,
    rows_of,
    sines_of_beams,
)
from hwnas.scan import DataWarning
from tests.data.clouds import ring_ordered_cloud, sector_with_strays
from tests.data.sensor_clouds import Turn, scan_of, scan_of_beams

pytestmark = pytest.mark.usefixtures("kernel")

ROTATING = [name for name in sensor_names() if load_sensor(name).is_rotating]
turns = st.builds(
    Turn,
    steps=st.integers(40, 120),
    start_deg=st.floats(-180, 180),
    sector_deg=st.floats(60, 360),
    clockwise=st.booleans(),
    bottom_first=st.booleans(),
    order=st.sampled_from(["ring", "ring", "column", "any"]),
    dropped=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)


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


def blurred(points: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Lift points [N, 3] like lasers that do not sit in one spot: the nearer, the more."""
    rng = np.random.default_rng(seed)
    return points + np.outer(rng.uniform(-share, share, len(points)), [0, 0, 1]).astype(np.float32)


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


def lifted(name: str, turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan in a frame that is tilted by two degrees, so that elevations of beams overlap."""
    points, beam = scan_of(load_sensor(name), turn)
    angle = np.radians(2.0)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (points @ rotation.T).astype(np.float32), beam


@pytest.mark.parametrize("by_column", [True, False])
@pytest.mark.parametrize("name", ["vlp-32c", "os1-64", "vls-128"])
def test_organised_clouds_keep_their_rows(name: str, by_column: bool) -> None:
    points, beam = lifted(
        name, Turn(order="column" if by_column else "ring", bottom_first=by_column, steps=128)
    )
    points[np.random.default_rng(0).random(len(points)) < 0.3] = np.nan
    beams = load_sensor(name).beams
    shape = (128, beams) if by_column else (beams, 128)
    ring = rings_of_grid(points, shape)
    assert ring is not None
    np.testing.assert_array_equal(ring, beam)
    if by_column:
        ring = rings_of_grid(points)
        assert ring is not None
        np.testing.assert_array_equal(ring, beam)
    assert rings_of_grid(points[5:]) is None
    assert rings_of_grid(points, (3, 5)) is None


def test_beams_of_a_grid_may_fire_in_any_order() -> None:
    points, beam = lifted("vlp-16", Turn(order="column"))
    fired = np.random.default_rng(0).permutation(16)
    points, beam = points.reshape(-1, 16, 3)[:, fired].reshape(-1, 3), beam.reshape(-1, 16)[:, fired].ravel()
    ring = rings_of_grid(points)
    assert ring is not None
    np.testing.assert_array_equal(ring, beam)
    image = project(points, np.zeros(len(points), np.float32), ProjectionSpec(16, 512))
    np.testing.assert_array_equal(image.row, beam)


def row_of(
    points: np.ndarray, ring: np.ndarray | None, height: int, name: str = "", **fov: float
) -> tuple[np.ndarray, str]:
    table = load_sensor(name).elevation_deg if name else None
    spec = ProjectionSpec(height, 512, "ring", beams_deg=table, **fov)
    image = project(points, np.zeros(len(points), np.float32), spec, ring)
    return image.row, image.method


NUMBERINGS = {
    "from the top": lambda beam, count: beam,
    "from the bottom": lambda beam, count: count - 1 - beam,
    "from one": lambda beam, count: beam + 1,
    "from one at the bottom": lambda beam, count: count - beam,
    "with gaps": lambda beam, count: 2 * beam,
    "with gaps from the bottom": lambda beam, count: 3 * (count - 1 - beam) + 7,
}


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("name", ["vlp-16", "hdl-32e", "pandar64", "os0-128"])
@pytest.mark.parametrize("has_table", [True, False])
def test_row_0_is_the_top_row_however_rings_are_numbered(numbering: str, name: str, has_table: bool) -> None:
    sensor = load_sensor(name)
    points, beam = scan_of(sensor, Turn(order="any", dropped=0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row, method = row_of(
            points, NUMBERINGS[numbering](beam, sensor.beams), sensor.beams, name if has_table else ""
        )
    np.testing.assert_array_equal(row, beam)
    assert method == "ring"


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(ROTATING),
    turns,
    st.booleans(),
    st.booleans(),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_rows_stay_where_beams_have_no_points(
    name: str, turn: Turn, from_bottom: bool, from_one: bool, above: int, below: int
) -> None:
    """Beams into the sky have no points; those that have some keep their rows, given or recovered."""
    sensor = load_sensor(name)
    points, beam = scan_of(sensor, turn)
    last = sensor.beams - 1 - min(below, sensor.beams // 3)
    seen = (beam >= min(above, sensor.beams // 3)) & (beam <= last)
    # Of a part of a turn, rings without both ends count from 0: elevations would tell the pose of the sensor.
    is_told = turn.sector_deg > 350.0
    given = (sensor.beams - 1 - beam if from_bottom else beam) + int(from_one and is_told)
    for ring in (given[seen], None):
        row, method = row_of(points[seen], ring, sensor.beams, name)
        assert method == "ring"
        np.testing.assert_array_equal(row, beam[seen])


@pytest.mark.parametrize("from_bottom", [True, False])
@pytest.mark.parametrize("inclined_deg", [-0.5, -0.25, 0.0, 0.25, 0.35, 0.45, 0.55])
@pytest.mark.parametrize("sector_deg", [40.0, 120.0, 360.0])
def test_an_inclined_sensor_does_not_change_where_its_rings_count_from(
    from_bottom: bool, inclined_deg: float, sector_deg: float
) -> None:
    """A sector ahead sees each beam about where the next one would be, 0.4 degrees away."""
    sensor = load_sensor("hdl-64e")
    points, beam = scan_of(sensor, Turn(start_deg=-sector_deg / 2, sector_deg=sector_deg))
    angle = np.radians(inclined_deg)
    turned = points @ np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    seen = (beam > 3) & (beam < 60)
    ring = (63 - beam if from_bottom else beam)[seen]
    row, _ = row_of(turned[seen].astype(np.float32), ring, 64, "hdl-64e")
    np.testing.assert_array_equal(row, beam[seen])


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("skipped", [0, 3])
def test_rings_that_are_fewer_than_rows_begin_at_the_top(numbering: str, skipped: int) -> None:
    """Of a sensor without a table: as they are recovered, so that training and the runner agree."""
    sensor = load_sensor("hdl-32e")
    points, beam = scan_of(sensor, Turn(dropped=0.1))
    seen = (beam >= skipped) & (beam < 32 - skipped)
    given = NUMBERINGS[numbering](beam, 32).astype(np.int32)[seen]
    recovered, _ = row_of(points[seen], None, 64)
    np.testing.assert_array_equal(recovered, beam[seen] - skipped)
    row, method = row_of(points[seen], given, 64)
    assert method == "ring"
    if "gaps" in numbering:  # beyond the rows they are counted, else they are numbers of rows
        assert len(np.unique(row)) == 32 - 2 * skipped
        assert row.min() == 0
        return
    np.testing.assert_array_equal(row, recovered)


def narrow_scan(first: int, parts: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return 40 degrees of an HDL-32E whose elevations scatter, and the beam of each point.

    Args:
        first: a beam that sees something only up to one part of the sector; the next one only from another on.
        parts: these two, 0..1.
    """
    sensor = load_sensor("hdl-32e")
    points, beam = scan_of_beams(sensor.elevation_deg, (0.0,) * 32, Turn(sector_deg=40.0, start_deg=50.0))
    along = (np.degrees(np.arctan2(points[:, 1], points[:, 0])) - 50.0) / 40.0
    hidden = ((beam == first) & (along > parts[0])) | ((beam == first + 1) & (along < parts[1]))
    points, beam = points[~hidden], beam[~hidden]
    # Some points are seen under another angle than that of their beam, so that elevations tell no groups.
    rng = np.random.default_rng(0)
    lift = np.where(rng.random(len(points)) < 0.1, rng.uniform(0.0, 0.02, len(points)), 0.0)
    points[:, 2] += (np.linalg.norm(points, axis=1) * lift).astype(np.float32)
    return points, beam


def test_rings_of_a_narrow_sector_may_miss_their_ends() -> None:
    """The azimuth falls back by 16 degrees to the next ring, instead of by 40."""
    points, beam = narrow_scan(12, (0.7, 0.3))
    row, method = row_of(points, None, 32, "hdl-32e")
    assert method == "ring"
    np.testing.assert_array_equal(row, beam)


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


def test_rings_that_pass_for_one_are_warned_of() -> None:
    points, beam = narrow_scan(12, (0.5, 0.6))
    with pytest.warns(DataWarning, match="elevations do not confirm which beams these are"):
        row, method = row_of(points, None, 32, "hdl-32e")
    assert method == "ring"
    assert 0.9 < np.mean(row == beam) < 1.0
    elsewhere = (beam < 12) | (beam > 13)
    np.testing.assert_array_equal(row[elsewhere], beam[elsewhere])


def test_a_beam_without_points_is_skipped_though_another_is_nearest_to_its_neighbour() -> None:
    table = np.linspace(10.0, -20.0, 16)
    seen_at = table + np.where(np.arange(16) == 7, 1.1, 0.0)
    points, beam = scan_of_beams(tuple(seen_at), (0.0,) * 16, Turn())
    seen = beam != 3
    row, method = row_of(points[seen], None, 16)
    assert method == "ring"
    rows = rows_of(points[seen], 16, sines_of_beams(table.tolist()))
    assert rows.row is not None
    np.testing.assert_array_equal(rows.row, beam[seen])
    np.testing.assert_array_equal(row, beam[seen] - (beam[seen] > 3))


def test_more_rings_than_rows_are_refused() -> None:
    points, beam = scan_of(load_sensor("hdl-32e"), Turn())
    with pytest.raises(DataError, match=r"rings are 0\.\.31"):
        row_of(points, beam, 16)
    with pytest.raises(DataError, match=r"rings are -1\.\.30"):
        row_of(points, beam - np.int32(1), 32)
    with pytest.raises(DataError, match="one ring for each"):
        row_of(points, beam[1:], 32)


@pytest.mark.parametrize("name", ["vlp-16", "vlp-32c", "pandar64", "ot128"])
def test_unordered_points_of_a_known_sensor_take_the_nearest_beam(name: str) -> None:
    """Elevations that overlap somewhat, in no order: nothing tells the rings, but the table the nearest."""
    sensor = load_sensor(name)
    points, beam = scan_of(sensor, Turn(order="any", steps=150))
    points = blurred(points, 0.02, 1)
    if recover_rings(points) is None:
        with pytest.warns(DataWarning, match="nearest beam"):
            row, method = row_of(points, None, sensor.beams, name)
        assert method == "beams"
    else:
        row, _ = row_of(points, None, sensor.beams, name)
    assert np.mean(row == beam) > 0.9
    assert np.abs(row - beam).max() <= 8


def test_nothing_falls_silently_to_the_field_of_view_of_another_sensor() -> None:
    points, _ = ring_ordered_cloud(64, 100)
    cloud = np.random.default_rng(0).permutation(blurred(points, 0.5, 0))
    with pytest.raises(DataError, match="neither given nor can be recovered"):
        row_of(cloud, None, 64)
    with pytest.warns(DataWarning, match="their elevation"):
        row, method = row_of(cloud, None, 64, fov_up_deg=20.0, fov_down_deg=-40.0)
    assert method == "spherical"
    expected = project(
        cloud, np.zeros(len(cloud), np.float32), ProjectionSpec(64, 512, "spherical", 20.0, -40.0)
    )
    np.testing.assert_array_equal(row, expected.row)


def test_more_recovered_rings_than_rows_are_not_rows() -> None:
    points, _ = ring_ordered_cloud(64, 100)
    with pytest.raises(DataError, match="State fov_up_deg"):
        row_of(points, None, 32)


def test_empty_scans_need_nothing() -> None:
    for points in (np.zeros((0, 3), np.float32), np.full((5, 3), np.nan, np.float32)):
        row, method = row_of(points, None, 16)
        assert (row.tolist(), method) == ([0] * len(points), "ring")


def cases() -> Path:
    return Path(__file__).parents[3] / "shared" / "cases" / "scans"


def test_real_scans_of_other_sensors_get_their_rings() -> None:
    if not cases().is_dir():
        pytest.skip("no scans of other sensors beside the checkout")
    from hwnas.data.scan_files.formats import read_pcd

    ouster = read_pcd(cases() / "ouster_os0_32.pcd", {})
    ring = recover_rings(ouster.points)
    assert ring is not None
    np.testing.assert_array_equal(ring, ouster.ring)
    values = np.fromfile(cases() / "hdl32e_5_columns.bin", "<f4").reshape(-1, 5)
    points, from_below = np.ascontiguousarray(values[:, :3]), values[:, 4].astype(np.int32)
    for given_ring in (from_below, None):
        row, method = row_of(points, given_ring, 32)
        assert method == "ring"
        np.testing.assert_array_equal(row, 31 - from_below)


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


@pytest.mark.parametrize(("columns", "is_grid"), [(16, True), (15, False)])
def test_sixteen_columns_of_four_beams_are_the_smallest_grid(columns: int, is_grid: bool) -> None:
    points, beam = scan_of_beams((8.0, 4.0, 0.0, -4.0), (0.0,) * 4, Turn(steps=columns, order="column"))
    ring = rings_of_grid(points)
    assert (ring is not None) == is_grid
    if ring is not None:
        np.testing.assert_array_equal(ring, beam)
    shape = (columns, 4)
    assert (rings_of_grid(points, shape) is not None) == is_grid


@pytest.mark.parametrize(("strays", "is_known"), [(1, True), (2, False)])
def test_one_near_point_in_200_may_lie_beyond_the_beams_that_far_points_show(
    strays: int, is_known: bool
) -> None:
    sine = np.repeat(np.array([1000, 2000, 3000, 4000, 30000], np.int32), [50, 50, 50, 50 - strays, strays])
    range_m = np.where(sine == 30000, 1.0, 10.0).astype(np.float32)
    ring = grouped_rings(sine, range_m)
    assert (ring is not None) == is_known
    if ring is not None:
        np.testing.assert_array_equal(ring[: 200 - strays], np.repeat([3, 2, 1, 0], [50, 50, 50, 49]))
        assert ring[-1] == 0, "the nearest group"


@pytest.mark.parametrize(("stray", "is_known"), [(4500, True), (4501, False), (500, True), (499, False)])
def test_near_points_within_half_a_gap_belong_to_the_outer_beams(stray: int, is_known: bool) -> None:
    sine = np.repeat(np.array([1000, 2000, 3000, 4000, stray], np.int32), [50, 50, 50, 50, 20])
    range_m = np.where(sine == stray, 1.0, 10.0).astype(np.float32)
    ring = grouped_rings(sine, range_m)
    assert (ring is not None) == is_known
    if ring is not None:
        assert set(ring[200:].tolist()) == {0 if stray > 4000 else 3}


def test_rings_that_share_a_nearest_beam_take_the_neighbours_that_fit_best() -> None:
    """Two rings are nearest to 60; of three beams in a row 80, 60 and 40 are off by 20 together, others by more."""
    beams = np.array([100, 80, 60, 40, 20, 0], np.int32)
    assert _row_of_each(np.array([61, 59, 40]), beams).tolist() == [1, 2, 3]
    assert _row_of_each(np.array([81, 59, 1]), beams).tolist() == [1, 2, 5]
