"""Scans as the sensor saw them: axes, metres and rings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.scan_files.formats import RawScan
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.scan_files.raw_scans import in_sensor_frame, read_raw_scan
from hwnas.errors import DataError

RINGS, COLUMNS = 8, 90


def grid() -> np.ndarray:
    """Points row by row, from the top, 10 m away."""
    elevation = np.radians(np.linspace(2.0, -20.0, RINGS))[:, None]
    azimuth = np.radians(np.arange(0, 360, 360 / COLUMNS))[None, :]
    directions = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth))
    up = np.broadcast_to(np.sin(elevation), (RINGS, COLUMNS))
    return 10.0 * np.stack([*directions, up], axis=-1).reshape(-1, 3)


def raw(points: np.ndarray, **facts: object) -> RawScan:
    return RawScan(points, np.zeros(len(points), np.float32), **facts)  # type: ignore[arg-type]


def test_points_are_turned_scaled_and_moved() -> None:
    stored = 1000.0 * grid()[:, [1, 0, 2]] * [-1, 1, 1] + [2e6, 3e6, 0]
    coordinates = Coordinates("y-forward", 0.001, (2e3, 3e3, 0.0))
    found = in_sensor_frame(raw(stored), coordinates)
    assert found.points.dtype == np.float32
    np.testing.assert_allclose(found.points, grid(), atol=1e-3)
    assert found.ring is None


def test_rows_of_a_stated_grid_are_rings() -> None:
    found = in_sensor_frame(raw(grid(), organised=(RINGS, COLUMNS)), Coordinates())
    np.testing.assert_array_equal(found.ring, np.repeat(np.arange(RINGS), COLUMNS))


def test_rings_of_the_file_stay() -> None:
    ring = np.arange(RINGS * COLUMNS, dtype=np.int32) % 5
    found = in_sensor_frame(raw(grid(), ring=ring, organised=(RINGS, COLUMNS)), Coordinates())
    assert found.ring is ring


def test_what_a_reader_cannot_open_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.bin"

    def read(path: Path, _options: object) -> RawScan:
        return raw(np.fromfile(path))

    with pytest.raises(DataError, match=r"The scan .*none\.bin cannot be read: "):
        read_raw_scan(read, path, {})
