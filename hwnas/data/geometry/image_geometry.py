"""How points of a data set become rows of an image: field of view, beams, and how these are known.

Training and `hwnas data info` both take them from here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.geometry.cloud_geometry import NEAR_FACTOR, is_far, precise_elevation_of
from hwnas.data.sensors import Sensor
from hwnas.errors import ConfigError, DataError
from hwnas.range_view.angles import range_of
from hwnas.range_view.projection_spec import MAX_HEIGHT, MIN_HEIGHT, ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.range_view.rows import rows_of
from hwnas.scan import DataWarning, Scan

SCANS_TO_EXAMINE = 8
DEFAULT_HEIGHT = 64
_OUTER_PERCENT = 0.2
_SMALLEST_VIEW_DEG = 1.0
_FEWEST_POINTS_OF_ROW = 3
STATED, TABLE, DATA = "stated", "table", "data"

Elevations = tuple[float, ...]


@dataclass(frozen=True)
class StatedProjection:
    """What settings state of a projection; None where it follows from the sensor's table or the data.

    Attributes:
        method: `ring` or `spherical`.
        field_of_view_deg: elevation of the upper and the lower edge of the image.
        beams_deg: elevation of the beam of each row, top first.
    """

    method: str | None = None
    field_of_view_deg: tuple[float, float] | None = None
    beams_deg: Elevations | None = None


@dataclass(frozen=True)
class Geometry:
    """Field of view and beams of the images of a data set.

    Attributes:
        method: `ring` or `spherical`.
        field_of_view_deg: elevation of the upper and the lower edge of the image.
        view_source: where the field of view is from: `stated` in the settings, the `table` of the sensor, or
            the `data`: the range that holds all but 0.2 % of the points of some training scans at each end.
        beams_deg: elevation of the beam of each row, top first; None where it is not known.
        beams_source: where they are from; `data` is the median of each row over some training scans, without
            returns of the vehicle itself.
        scans: training scans that were examined.
    """

    method: str
    field_of_view_deg: tuple[float, float]
    view_source: str
    beams_deg: Elevations | None
    beams_source: str | None
    scans: int

    def spec(self, height: int, width: int) -> ProjectionSpec:
        """Return the projection into an image of this size."""
        return ProjectionSpec(height, width, self.method, *self.field_of_view_deg, self.beams_deg)

    def sources(self) -> dict[str, Any]:
        """Return where field of view and beams are from, as plain JSON values."""
        return {"field_of_view": self.view_source, "beams": self.beams_source, "scans": self.scans}

    def settings(self) -> dict[str, Any]:
        """Return the section `projection` that states all of this."""
        up, down = self.field_of_view_deg
        beams = None if self.beams_deg is None else list(self.beams_deg)
        return {"method": self.method, "fov_up_deg": up, "fov_down_deg": down, "beams_deg": beams}


def geometry_of_images(
    scans: Sequence[Scan], stated: StatedProjection, sensor: Sensor | None, name: str, height: int
) -> Geometry:
    """Return the geometry of images, from the settings, the table of the sensor, or else the data.

    Args:
        scans: the training split; up to 8 scans spread over it are read, unless all is stated.
        stated: in the settings.
        sensor: the sensor of the data set; None if there is no table of it.
        name: what the data set calls its sensor.
        height: rows of the image.

    Warns:
        DataWarning: if the field of view is taken from the data.

    Raises:
        ConfigError: if the scans have more rings than the image has rows.
        DataError: if the field of view is not known and cannot be told from the scans.
    """
    method = stated.method or ("ring" if sensor is None or sensor.is_rotating else "spherical")
    view = stated.field_of_view_deg or (None if sensor is None else sensor.edges_deg)
    is_complete = stated.beams_deg is not None or method == "spherical"
    examined = [] if view is not None and is_complete else _examined(scans)
    view_source = STATED if stated.field_of_view_deg else TABLE
    if view is None:
        view, view_source = _view_of(examined, name), DATA
    beams, beams_source = None, None
    if method == "ring":
        beams, beams_source = _beams_of(examined, stated, sensor, height)
    return Geometry(method, view, view_source, beams, beams_source, len(examined))


def examined_places(count: int) -> list[int]:
    """Return which of `count` scans are examined: up to 8, spread over them."""
    if not count:
        return []
    return [int(place) for place in np.unique(np.linspace(0, count - 1, SCANS_TO_EXAMINE).round())]


def _examined(scans: Sequence[Scan]) -> list[Scan]:
    return [scan for scan in (scans[place] for place in examined_places(len(scans))) if len(scan)]


def _view_of(scans: Sequence[Scan], name: str) -> tuple[float, float]:
    """Return the elevations that nearly all points lie between, outwards to a tenth of a degree."""
    elevation = np.concatenate([np.zeros(0), *(precise_elevation_of(scan.points) for scan in scans)])
    if len(elevation):
        down, up = np.percentile(elevation, [_OUTER_PERCENT, 100.0 - _OUTER_PERCENT])
        view = (min(90.0, float(np.ceil(up * 10) / 10)), max(-90.0, float(np.floor(down * 10) / 10)))
        if view[0] - view[1] >= _SMALLEST_VIEW_DEG:
            warnings.warn(
                f"There is no table of the sensor {name!r}. Its field of view, {view[1]:g} to {view[0]:g} "
                f"degrees of elevation, is taken from {len(scans)} training scans. To state it, write "
                "fov_up_deg and fov_down_deg under projection in the settings of the task, or let `sensor` "
                "in dataset.yaml name one that hwnas has a table of, or a sensor YAML file.",
                DataWarning,
                stacklevel=5,
            )
            return view
    raise DataError(
        f"The field of view of the sensor {name!r} is not known: there is no table of it, and the training "
        "scans do not tell. Write fov_up_deg and fov_down_deg, the elevations of the upper and the lower "
        "edge, under projection in the settings of the task."
    )


def _beams_of(
    scans: Sequence[Scan], stated: StatedProjection, sensor: Sensor | None, height: int
) -> tuple[Elevations | None, str | None]:
    if stated.beams_deg is not None:
        return stated.beams_deg, STATED
    table = sensor.elevation_deg if sensor is not None and sensor.is_rotating else ()
    if len(table) > height:
        raise ConfigError(
            f"The sensor has {len(table)} beams, but the image has {height} rows. Set `height` to "
            f"{len(table)}, or projection.method to 'spherical'."
        )
    measured = _measured_beams(scans, len(table) or None, height)
    if measured is not None:
        return measured, DATA
    return (table, TABLE) if table else (None, None)


def _measured_beams(scans: Sequence[Scan], expected: int | None, height: int) -> Elevations | None:
    """Return the median elevation of each row over scans in which all rows have points; None without any."""
    found: list[npt.NDArray[np.float64]] = []
    near_m = NEAR_FACTOR * max((float(np.median(range_of(scan.points))) for scan in scans), default=0.0)
    for scan in scans:
        row = rows_of(scan.points, expected or height, None, scan.ring).row
        if row is not None:
            found.append(_elevations_of_rows(scan.points, row, near_m))
        elif expected is None:
            _refuse_too_many(scan, height)
    if not found:
        return None
    size = expected or max(len(elevation) for elevation in found)
    whole = [elevation for elevation in found if len(elevation) == size and np.isfinite(elevation).all()]
    if not whole:
        return None
    median = np.median(whole, axis=0).round(2)
    return tuple(median.tolist()) if len(median) >= 2 and np.all(np.diff(median) < 0) else None


def _refuse_too_many(scan: Scan, height: int) -> None:
    ring = recover_rings(scan.points)
    if ring is not None and int(ring.max()) >= height:
        raise ConfigError(
            f"The scan {scan.id} has {int(ring.max()) + 1} rings, but the image has {height} rows. Set "
            f"`height` to the number of rings, at most {MAX_HEIGHT}, or projection.method to 'spherical'."
        )


def _elevations_of_rows(
    points: npt.NDArray[np.float32], row: npt.NDArray[np.int32], near_m: float
) -> npt.NDArray[np.float64]:
    """Return the median elevation of the farther points of each row; NaN where there are few.

    The lowest rows may see nothing that is far. Returns of the vehicle's own roof are seen under other angles
    than that of the beam, see `is_far`, and count only where a row has no others.
    """
    elevation, range_m = precise_elevation_of(points), range_of(points)
    choices = (range_m >= np.median(range_m) / 2, is_far(range_m, near_m), np.ones(len(points), np.bool_))
    found = np.full(int(row.max()) + 1, np.nan)
    for number in range(len(found)):
        members = row == number
        chosen = (elevation[members & choice] for choice in choices)
        found[number] = next(
            (np.median(some) for some in chosen if len(some) >= _FEWEST_POINTS_OF_ROW), np.nan
        )
    return found


def default_height(settings_height: int | None, sensor: Sensor | None) -> int:
    """Return the rows of the image: as stated, or one for each beam of the sensor but at least 16, or 64."""
    return settings_height or (DEFAULT_HEIGHT if sensor is None else max(MIN_HEIGHT, sensor.beams))
