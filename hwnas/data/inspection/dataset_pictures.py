"""Draws one scan of a data set as it is read, with what was estimated of its sensor."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwnas.data.datasets.dataset import DataSource, DataWarning
from hwnas.data.geometry.cloud_geometry import elevation_of, ground_of, sample
from hwnas.data.geometry.image_geometry import DEFAULT_HEIGHT
from hwnas.data.inspection.findings.finding import ERROR
from hwnas.data.inspection.inspection import Inspection, scans_in_detail
from hwnas.data.pictures import Mark, draw_segmentation
from hwnas.errors import DataError
from hwnas.range_view.angles import has_direction
from hwnas.range_view.projection import RangeImage, project
from hwnas.range_view.projection_spec import MIN_WIDTH, ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import Scan

_GROUND_BAND_M = 0.25
_GROUND, _BELOW = (150, 108, 64), (255, 64, 200)
_LOW, _HIGH, _HIGHEST_M = (70, 120, 200), (250, 250, 210), 6.0
# Firings are not spaced evenly enough to fill as many columns.
_FILLED_SHARE, _SECTORS = 0.8, 72
_RADII_M = (40.0, 100.0, 500.0, 5_000.0, 50_000.0)


def draw_dataset(source: DataSource, found: Inspection) -> bytes:
    """Draw the first scan that was looked at in detail and can be read.

    Returns:
        A PNG file: range image, labels, and views from above with scale, found ground and found sensor.

    Raises:
        DataError: if no such scan can be read.
    """
    scan, problem = _first_scan(source)
    columns = _columns_of_turn(source, scan)
    image = _image_of(found, scan, columns)
    rows = [] if scan.labels is None else [("Labels", scan.labels)]
    distance = np.hypot(scan.points[:, 0], scan.points[:, 1])
    reach = float(np.percentile(distance, 50))
    return draw_segmentation(
        image,
        rows,
        scan.points,
        source.label_map,
        radius_m=next((radius for radius in _RADII_M if reach < radius), _RADII_M[-1]),
        views=[
            (_height_title(scan), _height_colours(scan.points)),
            # Where there are no labels to show beside it.
            *([] if rows else [("Intensity, dark is low", _intensity_colours(scan.remission))]),
        ],
        marks=_marks(found),
        notes=[
            *_notes(source, found, scan),
            *([] if columns is None else [_note_of_columns(columns, image)]),
            *([f"Drawn without labels: {problem}"] if problem else []),
        ],
    )


def _first_scan(source: DataSource) -> tuple[Scan, str]:
    """Return a scan, and why, if so, it has no labels and only intensities in place of remission."""
    reader, files = source.all_scans.reader, source.all_scans.files
    problem = "it has no scan"
    for number in sorted(scans_in_detail(files)):
        try:
            return reader.read(files[number])[0], ""
        except DataError as error:
            problem = str(error)
        try:  # geometry can be seen without labels and intensities
            raw = reader.read_raw(files[number])
        except DataError:
            continue
        points = reader.coordinates.to_sensor_frame(raw.points)
        keep = has_direction(points)
        if keep.any():
            ring = None if raw.ring is None else raw.ring[keep]
            return Scan(
                points[keep], _as_remission(raw.intensity[keep]), ring, None, files[number].id
            ), problem
    raise DataError(f"There is nothing to draw in {source.path}: {problem}")


def _as_remission(intensity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return intensities [N] of an unknown unit, some of which may mean nothing, scaled to 0..1."""
    values = np.nan_to_num(intensity.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (1.0, 99.0))
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-9), 0.0, 1.0), np.float32)


def _columns_of_turn(source: DataSource, scan: Scan) -> int | None:
    """Return how many firings a turn has, by the fullest rings or the table of the sensor; None if unknown.

    The smaller number counts: scans may be thinned out, and rings may hold two returns of each firing.
    """
    try:
        table = source.sensor_table
    except DataError:
        table = None  # that is a finding, not a reason to draw nothing
    known = [] if table is None else [table.azimuth_steps]
    ring = scan.ring if scan.ring is not None else recover_rings(scan.points)
    if ring is not None:
        turn = np.arctan2(scan.points[:, 1], scan.points[:, 0]) / (2 * np.pi) + 0.5
        seen = len(np.unique((turn * _SECTORS).astype(np.int64) % _SECTORS)) / _SECTORS
        known.append(int(np.percentile(np.unique(ring, return_counts=True)[1], 90) / seen))
    return min(known, default=None)


def _note_of_columns(columns: int, image: RangeImage) -> str:
    drawn = image.valid.shape[1]
    return f"The sensor has about {columns} columns a turn; drawn with {drawn}, so that none stays empty"


def _image_of(found: Inspection, scan: Scan, columns: int | None) -> RangeImage:
    spec = None if found.image is None else found.image.spec
    height, widest = (DEFAULT_HEIGHT, 1024) if spec is None else (spec.height, spec.width)
    # A wider image would be striped: columns in which no point can lie.
    width = widest if columns is None else int(np.clip(_FILLED_SHARE * columns, MIN_WIDTH, widest))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        if spec is not None:
            try:
                return project(scan.points, scan.remission, replace(spec, width=width), scan.ring)
            except DataError:
                pass  # drawn by elevation instead
        up, down = np.percentile(elevation_of(scan.points[sample(len(scan))]), (99.8, 0.2))
        view = min(90.0, float(up) + 0.1), max(-90.0, float(down) - 0.1)
        spherical = ProjectionSpec(height, width, "spherical", *view)
        return project(scan.points, scan.remission, spherical)


def _intensity_colours(remission: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return grey levels [N, 3] of remission 0..1; the root, since most of it is low."""
    grey = 60 + 195 * np.sqrt(np.clip(remission, 0.0, 1.0))
    return np.repeat(grey[:, None], 3, axis=1).astype(np.uint8)


def _height_colours(points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return colours [N, 3]: the ground brown, things on it blue to white, below it pink."""
    height = _above_ground(points)
    share = np.clip(height / _HIGHEST_M, 0.0, 1.0)[:, None]
    colours = np.asarray(_LOW) + (np.asarray(_HIGH) - np.asarray(_LOW)) * share
    colours[np.abs(height) < _GROUND_BAND_M] = _GROUND
    colours[height < -4 * _GROUND_BAND_M] = _BELOW
    return np.asarray(colours, np.uint8)


def _above_ground(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    ground = ground_of(points[sample(len(points))])
    if ground is None:
        return np.asarray(points[:, 2] - np.percentile(points[:, 2], 5), np.float64)
    return ground.above(points)


def _height_title(scan: Scan) -> str:
    if ground_of(scan.points[sample(len(scan))]) is None:
        return "Height (no ground found)"
    return f"Ground brown, blue to white up to {_HIGHEST_M:.0f} m above it, pink below"


def _marks(found: Inspection) -> list[Mark]:
    geometry = found.geometry
    if geometry is None or geometry.origin_m is None or geometry.frame != "x y z":
        return []
    factor = geometry.unit_factor
    marks = [Mark("beams meet here", geometry.origin_m[0] / factor, geometry.origin_m[1] / factor)]
    if geometry.second_origin_m is not None:
        second = geometry.second_origin_m
        marks.append(Mark("and here", second[0] / factor, second[1] / factor))
    return marks


def _notes(source: DataSource, found: Inspection, scan: Scan) -> list[str]:
    notes = [f"{source.name}, scan {scan.id} as it is read; sensor {source.sensor}"]
    geometry = found.geometry
    if geometry is not None:
        height = (
            "no ground found"
            if geometry.sensor_height_m is None
            else (f"ground {geometry.sensor_height_m:.2f} m below the sensor")
        )
        place = (
            "not found" if geometry.origin_m is None else "{:.2f} {:.2f} {:.2f} m".format(*geometry.origin_m)
        )
        notes.append(f"Estimated from {geometry.num_scans} scans: beams meet at {place}; {height}")
    errors = [finding.kind for finding in found.findings if finding.severity == ERROR]
    if errors:
        notes.append(f"Errors found: {', '.join(errors)}")
    return notes
