"""Images of a data set as the settings of a task state them, and rows that are found once for each scan."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from hwnas.data.geometry.image_geometry import Geometry, StatedProjection, geometry_of_images
from hwnas.data.sensors import Sensor
from hwnas.range_view.projection import remark_on_rows
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rows import rows_of, sines_of_beams
from hwnas.scan import DataWarning, Scan
from hwnas.tasks.lidar_settings import ProjectionSection


def check_projection(section: ProjectionSection, height: int, width: int) -> None:
    """Refuse a field of view or beams that cannot be, before any scan is read.

    Raises:
        DataError: saying what is wrong.
    """
    beams = None if section.beams_deg is None else tuple(section.beams_deg)
    ProjectionSpec(height, width, "ring", section.fov_up_deg, section.fov_down_deg, beams)


def geometry_of(
    scans: Sequence[Scan], section: ProjectionSection, sensor: Sensor | None, name: str, height: int
) -> Geometry:
    """Return the geometry of images from the settings; see `image_geometry.geometry_of_images`."""
    up, down = section.fov_up_deg, section.fov_down_deg
    stated = StatedProjection(
        section.method,
        None if up is None or down is None else (up, down),
        None if section.beams_deg is None else tuple(section.beams_deg),
    )
    return geometry_of_images(scans, stated, sensor, name, height)


def with_rows(scan: Scan, spec: ProjectionSpec) -> Scan:
    """Return a scan whose rings are rows of the image: recovered, or of the nearest beam, where not given.

    Done once for a scan that is projected often, and before points are dropped, which tell the rings.
    """
    if spec.method != "ring" or scan.ring is not None:
        return scan
    beams = None if spec.beams_deg is None else sines_of_beams(spec.beams_deg)
    rows = rows_of(scan.points, spec.height, beams)
    remark = remark_on_rows(rows.method, rows.remark, spec) if rows.row is not None else ""
    if remark:
        warnings.warn(remark, DataWarning, stacklevel=2)
    return replace(scan, ring=rows.row)
