"""Grids of organised clouds keep their rows."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.data.sensors import load_sensor
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.sensor_clouds import Turn, scan_of_beams
from tests.range_view.ring_scans import lifted

pytestmark = pytest.mark.usefixtures("kernel")


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


@pytest.mark.parametrize(("columns", "is_grid"), [(16, True), (15, False)])
def test_sixteen_columns_of_four_beams_are_the_smallest_grid(columns: int, is_grid: bool) -> None:
    points, beam = scan_of_beams((8.0, 4.0, 0.0, -4.0), (0.0,) * 4, Turn(steps=columns, order="column"))
    ring = rings_of_grid(points)
    assert (ring is not None) == is_grid
    if ring is not None:
        np.testing.assert_array_equal(ring, beam)
    shape = (columns, 4)
    assert (rings_of_grid(points, shape) is not None) == is_grid
