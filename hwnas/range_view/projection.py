"""Range images: what a LiDAR turn looks like to an image network, and the way back to points.

Azimuth becomes the column: straight ahead is the middle column, left of it is the left half. Rows are found
by one of two methods, see `hwnas.range_view.projection_spec`. Where several points meet in a pixel, the
nearest wins.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataError
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.angles import angle_of, ground_distance_of, is_valid_range, range_of
from hwnas.range_view.compiled import NO_ROWS, compiled_kernel
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings as recover_rings  # noqa: PLC0414 - part of this API
from hwnas.range_view.rows import (
    DISAGREE,
    OTHER_BEAMS,
    REORDERED,
    RING,
    UNCONFIRMED,
    are_confirmed,
    rows_of,
    sines_of_beams,
)
from hwnas.scan import DataWarning

INPUT_CHANNELS = ("range", "x", "y", "z", "remission")
_MAX_POINTS = 1 << 32


@dataclass(frozen=True, eq=False)
class RangeImage:
    """A projected scan; H rows from top to bottom, W columns from left to right, N points.

    Attributes:
        channels: [5, H, W] float32: range, x, y, z in metres and remission; 0 where no point fell.
        valid: [H, W] bool: whether a point fell there.
        point_index: [H, W] int32: which point won the pixel, -1 where none.
        row: [N] int32: row of every point, also of those that lost their pixel to a nearer one.
        column: [N] int32: column of every point.
        range_m: [N] float32: distance of every point from the sensor.
        method: how rows were found: `ring`, or where rings were asked for but not to be had `beams` (the
            nearest beam of the table) or `spherical`.
        remark: what was done about rings that are missing or contradict elevations; empty where they fit.
    """

    channels: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    point_index: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    range_m: npt.NDArray[np.float32]
    method: str
    remark: str = ""

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """[N] bool: whether the point won its pixel."""
        won = np.zeros(len(self.range_m), np.bool_)
        won[self.point_index[self.valid]] = True
        return won


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each input channel, taken over pixels that hold a point.

    The order is that of `INPUT_CHANNELS`; range, x, y and z are in metres.
    """

    mean: Tuple[float, float, float, float, float]
    std: Tuple[float, float, float, float, float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(INPUT_CHANNELS) or len(self.std) != len(INPUT_CHANNELS):
            raise DataError(f"Expected one mean and one std for each of the channels {INPUT_CHANNELS}.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and min(self.std) > 0):
            raise DataError(f"Expected finite means and positive stds, found {self.mean} and {self.std}.")

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"channels": list(INPUT_CHANNELS), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Normalisation:
        """Rebuild from `to_json`.

        Raises:
            DataError: if it was made for other channels.
        """
        if tuple(value["channels"]) != INPUT_CHANNELS:
            raise DataError(
                f"The normalisation is for the channels {value['channels']}, not {INPUT_CHANNELS}."
            )
        mean, std = (tuple(float(number) for number in value[key]) for key in ("mean", "std"))
        return cls(mean, std)  # type: ignore[arg-type]


def project(
    points: npt.NDArray[np.float32],
    remission: npt.NDArray[np.float32],
    spec: ProjectionSpec,
    ring: Optional[npt.NDArray[np.int32]] = None,
) -> RangeImage:
    """Project points into a range image; of several points in one pixel the nearest wins.

    Points without a direction (at the origin, or with a coordinate that is not finite) get pixel
    (0, 0) but never win it.

    Args:
        points: [N, 3], metres; x forward, y left, z up.
        remission: [N], 0..1.
        spec: size and method of the image.
        ring: [N], row of the sensor as its driver numbers them, from either end. When None, the method `ring`
            recovers it from the points and, where that fails, takes the nearest beam of the table, or else
            the field of view; see `RangeImage.method`.

    Warns:
        DataWarning: if rings were asked for and not to be had, or if those given contradict elevations, or
            if fewer were recovered than there are beams, and which these are is not certain.

    Raises:
        DataError: if the shapes do not fit together, there are more rings than rows, or nothing tells rows.
    """
    points, remission = _checked(points, remission)
    ring = None if ring is None or spec.method != "ring" else _checked_ring(ring, len(points))
    image, remark = _projected(points, remission, spec, ring)
    beams = _beams(spec.beams_deg)
    if ring is None and beams is not None and image.method == RING:
        remark = 0 if are_confirmed(points, image.row, beams) else UNCONFIRMED
    text = remark_on_rows(image.method, remark, spec)
    if not text:
        return image
    warnings.warn(text, DataWarning, stacklevel=2)
    return replace(image, remark=text)


def _projected(
    points: npt.NDArray[np.float32],
    remission: npt.NDArray[np.float32],
    spec: ProjectionSpec,
    ring: Optional[npt.NDArray[np.int32]],
) -> Tuple[RangeImage, int]:
    kernel = compiled_kernel()
    if kernel is None:
        return _project(points, remission, spec, ring)
    size, beams = (spec.height, spec.width), _beams(spec.beams_deg)
    arrays, method, remark = kernel.project(points, remission, ring, size, spec.method, spec.fov_deg, beams)
    if method not in ("ring", spec.method):
        # What the kernel does not look for: clouds that keep the grid of the sensor.
        grid = rings_of_grid(points)
        if grid is not None and int(grid.max()) < (spec.height if beams is None else len(beams)):
            return _projected(points, remission, spec, grid)
        if not method:
            raise DataError(NO_ROWS)
    return RangeImage(*arrays, method), remark


def remark_on_rows(method: str, remark: int, spec: ProjectionSpec) -> str:
    """Return what was done about rings that are missing or contradict elevations, in words."""
    message = _REMARKS.get(remark, "")
    if method != spec.method:
        rows = "the nearest beam of the sensor's table" if method == "beams" else "their elevation"
        message = (
            "The rings of a scan are neither given nor can be recovered; its points take their rows from "
            f"{rows}. Keep the order in which the sensor gives the points, or give the ring of each."
        )
    return message


_REMARKS = {
    REORDERED: "The rings of a scan are not numbered in the order of their elevations, as beams are where "
    "they are numbered as they fire; rows are sorted by elevation.",
    DISAGREE: "The rings of a scan contradict the elevations of its points, as where rings are mixed up or "
    "shifted in a part of the turn, or points are in another frame: points may be in rows of other beams. "
    "Check the column that holds the ring, and that points are in the frame of the sensor.",
    OTHER_BEAMS: "The elevations of a scan's rings fit other beams of the sensor than their numbers name, as "
    "where rings without points were left out when they were numbered, or the sensor is tilted: points may "
    "be in rows of other beams. Give each ring the number of its beam.",
    UNCONFIRMED: "The order of the points shows fewer rings than the sensor has beams, and elevations do not "
    "confirm which beams these are: points may be in rows of other beams. Give the ring of each point, or "
    "more of the turn.",
}


@lru_cache(maxsize=64)
def _beams(beams_deg: Optional[Tuple[float, ...]]) -> Optional[npt.NDArray[np.int32]]:
    return None if beams_deg is None else sines_of_beams(beams_deg)


def _project(
    points: npt.NDArray[np.float32],
    remission: npt.NDArray[np.float32],
    spec: ProjectionSpec,
    ring: Optional[npt.NDArray[np.int32]],
) -> Tuple[RangeImage, int]:
    range_m = range_of(points)
    usable = is_valid_range(range_m)
    method, row, remark = _rows(points, spec, ring)
    column = _columns(points, spec.width)
    if not usable.all():
        row, column = np.where(usable, row, 0), np.where(usable, column, 0)
    point_index = _nearest(row * np.int32(spec.width) + column, range_m, usable, spec.height * spec.width)
    valid = point_index >= 0
    channels = np.zeros((len(INPUT_CHANNELS), len(point_index)), np.float32)
    winner = point_index[valid]
    channels[0, valid] = range_m[winner]
    for axis in range(3):
        channels[1 + axis, valid] = points[winner, axis]
    channels[4, valid] = remission[winner]
    shape = (spec.height, spec.width)
    images = (channels.reshape(-1, *shape), valid.reshape(shape), point_index.reshape(shape))
    return RangeImage(*images, row, column, range_m, method), remark


def label_image(labels: npt.NDArray[np.uint8], image: RangeImage) -> npt.NDArray[np.uint8]:
    """Return the labels [H, W] of the points that won each pixel; 255 where no point fell."""
    pixels = np.full(image.point_index.shape, IGNORED_LABEL, np.uint8)
    pixels[image.valid] = labels[image.point_index[image.valid]]
    return pixels


def classes_of_pixels(logits: npt.NDArray[np.float32], image: RangeImage) -> npt.NDArray[np.uint8]:
    """Return the class [H, W] with the highest of the scores [K, H, W]; 255 where no point fell.

    Raises:
        DataError: if the score of a pixel with a point is not finite. It would pass for that of a class.
    """
    winner = logits.argmax(axis=0)
    highest = np.take_along_axis(logits, winner[None], axis=0)[0]  # NaN and infinity win
    wrong = image.valid & ~np.isfinite(highest)
    if wrong.any():
        raise DataError(
            f"The network computes NaN or infinity for {np.count_nonzero(wrong)} of "
            f"{np.count_nonzero(image.valid)} pixels, which tells no class. Numbers overflow in half "
            "precision, in a model that was damaged, or after a training that diverged: use fp32, verify the "
            "bundle, or train again."
        )
    classes: npt.NDArray[np.uint8] = winner.astype(np.uint8)
    classes[~image.valid] = IGNORED_LABEL
    return classes


def network_input(image: RangeImage, normalisation: Normalisation) -> npt.NDArray[np.float32]:
    """Return the normalised channels [5, H, W] float32; pixels without a point are exactly 0."""
    mean = np.asarray(normalisation.mean, np.float32)[:, None, None]
    scale = (1.0 / np.asarray(normalisation.std, np.float64)).astype(np.float32)[:, None, None]
    normalised = (image.channels - mean) * scale
    normalised *= image.valid
    return np.asarray(normalised, np.float32)


def _checked(
    points: npt.NDArray[np.float32], remission: npt.NDArray[np.float32]
) -> Tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    points = np.asarray(points, np.float32)
    remission = np.asarray(remission, np.float32)
    if points.ndim != 2 or points.shape[1] != 3 or remission.shape != points.shape[:1]:
        raise DataError(
            f"Expected points [N, 3] and remission [N], found {points.shape} and {remission.shape}."
        )
    return points, remission


def _rows(
    points: npt.NDArray[np.float32],
    spec: ProjectionSpec,
    ring: Optional[npt.NDArray[np.int32]],
) -> Tuple[str, npt.NDArray[np.int32], int]:
    if spec.method == "ring":
        rows = rows_of(points, spec.height, _beams(spec.beams_deg), ring)
        if rows.row is not None:
            return rows.method, rows.row, rows.remark
        if spec.fov_up_deg is None:
            raise DataError(NO_ROWS)
    return "spherical", _spherical_rows(points, spec), 0


def _checked_ring(ring: npt.NDArray[np.int32], num_points: int) -> npt.NDArray[np.int32]:
    if ring.shape != (num_points,):
        raise DataError(f"Expected one ring for each of the {num_points} points, found shape {ring.shape}.")
    if ring.dtype == np.int32:
        return ring
    # int32 would cut what it does not hold.
    if ring.dtype.kind not in "iu" or (ring.size and not 0 <= int(ring.min()) <= int(ring.max()) < 2**31):
        raise DataError(
            f"Rings are whole numbers from 0 to {2**31 - 1}, but are of the type {ring.dtype}"
            + (f", {ring.min()} to {ring.max()}." if ring.size else ".")
        )
    return ring.astype(np.int32)


def _spherical_rows(points: npt.NDArray[np.float32], spec: ProjectionSpec) -> npt.NDArray[np.int32]:
    elevation_deg = angle_of(points[:, 2], ground_distance_of(points)) * np.float32(180.0 / np.pi)
    up, down = spec.fov_deg
    above_bottom = (elevation_deg - down) / (up - down)
    row = np.floor((1.0 - above_bottom) * spec.height)
    return _to_pixels(row, spec.height)


def _columns(points: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.int32]:
    azimuth = angle_of(points[:, 1], points[:, 0])
    return _to_pixels(np.floor((0.5 * width) * (1.0 - azimuth * np.float32(1.0 / np.pi))), width)


def _to_pixels(values: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int32]:
    # Points without a direction have no pixel either; casting NaN to an integer is undefined.
    return np.clip(np.nan_to_num(values, nan=0.0), 0, size - 1).astype(np.int32)


def _nearest(
    pixel: npt.NDArray[np.int32],
    range_m: npt.NDArray[np.float32],
    usable: npt.NDArray[np.bool_],
    num_pixels: int,
) -> npt.NDArray[np.int32]:
    """Return for each pixel the nearest usable point, of equally near ones the first; -1 where none."""
    index = np.flatnonzero(usable).astype(np.uint64)
    # The bits of positive floats order like the floats. With the index below them the keys are unique, so
    # that a plain (vectorised, not stable) sort gives one answer on every machine.
    keys = (range_m.view(np.uint32)[usable].astype(np.uint64) << np.uint64(32)) | index
    keys.sort()
    far_to_near = (keys[::-1] & np.uint64(_MAX_POINTS - 1)).astype(np.int32)
    nearest = np.full(num_pixels, -1, np.int32)
    nearest[pixel[far_to_near]] = far_to_near  # the last assignment to a pixel stays
    return nearest
