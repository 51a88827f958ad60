"""From scan files to points in the frame of the sensor, with their rings: one way for data sets and bundles.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping

from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import DataError
from hwnas.files import reason_of
from hwnas.plugins import Blame, wrong
from hwnas.range_view.grids import rings_of_grid

if TYPE_CHECKING:
    from hwnas.data.scan_files.formats import RawScan

    FormatReader = Callable[[Path, Mapping[str, Any]], RawScan]


def read_raw_scan(read_file: FormatReader, path: Path, options: Mapping[str, Any]) -> RawScan:
    """Return the points of a scan as the file holds them; there may be none.

    Args:
        read_file: the reader of the file format.
        path: of the file.
        options: of the format.

    Raises:
        DataError: if the file is missing or malformed.
        PluginError: if the reader raises an error of its own, or returns anything but a `RawScan`.
    """
    from hwnas.data.scan_files.formats import RawScan

    named = getattr(read_file, "__qualname__", type(read_file).__qualname__)
    reader = f"{read_file.__module__}:{named} of hwnas.data_formats"
    expected = f"return the RawScan of {path}, or raise DataError"
    with Blame(reader, named, expected, own_errors=True):
        try:
            found: object = read_file(path, options)
        except OSError as error:
            raise DataError(f"The scan {path} cannot be read: {reason_of(error)}.") from error
    if not isinstance(found, RawScan):
        raise wrong(reader, named, expected, f"returned {type(found).__name__}")
    return found


def in_sensor_frame(raw: RawScan, coordinates: Coordinates) -> RawScan:
    """Return a scan as the sensor saw it: x forward, y left, z up, in metres, every point in its place.

    Rings that the file does not say are those of its rows, if it keeps the sensor's grid.

    Args:
        raw: as `read_raw_scan` returns it.
        coordinates: of the file.
    """
    points, ring = coordinates.to_sensor_frame(raw.points), raw.ring
    if ring is None and raw.organised is not None:
        ring = rings_of_grid(points, raw.organised)
    return replace(raw, points=points, ring=ring)
