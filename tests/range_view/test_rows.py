"""Rows count from the top, however rings are numbered, given or recovered."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor
from hwnas.errors import DataError
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.range_view.rows import (
    _row_of_each,
    rows_of,
    sines_of_beams,
)
from hwnas.scan import DataWarning
from tests.data.clouds import ring_ordered_cloud
from tests.data.sensor_clouds import Turn, scan_of, scan_of_beams
from tests.range_view.ring_scans import NUMBERINGS, ROTATING, blurred, narrow_scan, row_of, turns

pytestmark = pytest.mark.usefixtures("kernel")


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


def test_rings_of_a_narrow_sector_may_miss_their_ends() -> None:
    """The azimuth falls back by 16 degrees to the next ring, instead of by 40."""
    points, beam = narrow_scan(12, (0.7, 0.3))
    row, method = row_of(points, None, 32, "hdl-32e")
    assert method == "ring"
    np.testing.assert_array_equal(row, beam)


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


def test_rings_that_share_a_nearest_beam_take_the_neighbours_that_fit_best() -> None:
    """Two rings are nearest to 60; of three beams in a row 80, 60 and 40 are off by 20 together, others by more."""
    beams = np.array([100, 80, 60, 40, 20, 0], np.int32)
    assert _row_of_each(np.array([61, 59, 40]), beams).tolist() == [1, 2, 3]
    assert _row_of_each(np.array([81, 59, 1]), beams).tolist() == [1, 2, 5]
