"""Range images: what a LiDAR turn looks like to an image network, and the way back to points.

Two methods:

* `ring`: the row of a point is the row of the sensor that measured it. It keeps more points than
  any formula, because real beams are not equally spaced. Where files do not say the ring, it is
  recovered from the order of the points (`recover_rings`).
* `spherical`: the row follows from the elevation angle (Milioto et al., RangeNet++, IROS 2019,
  section III-B). For clouds whose points come in no particular order.

Both put azimuth into columns: straight ahead is the middle column, left of it is the left half.
Where several points meet in a pixel, the nearest wins.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.data.angles import angle_of, ground_distance_of
from hwnas.data.compiled import compiled_kernel
from hwnas.data.rings import recover_rings as recover_rings  # noqa: PLC0414 - part of this API
from hwnas.errors import DataError

INPUT_CHANNELS = ("range", "x", "y", "z", "remission")
METHODS = ("ring", "spherical")
MIN_HEIGHT, MAX_HEIGHT = 16, 128
MIN_WIDTH, MAX_WIDTH = 256, 2048
_MAX_POINTS = 1 << 32


@dataclass(frozen=True)
class ProjectionSpec:
    """How points become an image.

    Attributes:
        height: rows, 16..128; with the method `ring`, at least the number of rings of the sensor.
        width: columns, 256..2048; one turn.
        method: `ring` or `spherical`.
        fov_up_deg: elevation of the upper edge of the image (spherical only).
        fov_down_deg: elevation of the lower edge of the image (spherical only).

    Raises:
        DataError: if a value is outside its range.
    """

    height: int
    width: int
    method: str = "ring"
    fov_up_deg: float = 3.0
    fov_down_deg: float = -25.0

    def __post_init__(self) -> None:
        if type(self.height) is not int or type(self.width) is not int:
            raise DataError(
                f"Expected whole numbers of rows and columns, found {self.height!r}, {self.width!r}."
            )
        if not MIN_HEIGHT <= self.height <= MAX_HEIGHT:
            raise DataError(f"The image height is {self.height}; expected {MIN_HEIGHT} to {MAX_HEIGHT} rows.")
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise DataError(f"The image width is {self.width}; expected {MIN_WIDTH} to {MAX_WIDTH} columns.")
        if self.method not in METHODS:
            raise DataError(f"The projection method is {self.method!r}; expected one of {list(METHODS)}.")
        if not -90.0 <= self.fov_down_deg < self.fov_up_deg <= 90.0:
            raise DataError(
                f"The vertical field of view is {self.fov_down_deg} to {self.fov_up_deg} degrees; "
                "expected -90 <= fov_down_deg < fov_up_deg <= 90."
            )

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProjectionSpec:
        """Rebuild from `to_json`; TypeError for other keys."""
        return cls(**value)


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
        method: the method that was used; `spherical` where rings were asked for but not to be had.
    """

    channels: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    point_index: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]
    range_m: npt.NDArray[np.float32]
    method: str

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


def range_of(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the distance [N] of points [N, 3] from the sensor, in the unit of the points."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = points[:, 0] * points[:, 0]
        squares += points[:, 1] * points[:, 1]
        squares += points[:, 2] * points[:, 2]
        return np.asarray(np.sqrt(squares), np.float32)


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
        ring: [N], row of the sensor, 0 = top. When None, the method `ring` recovers it from the order
            of the points and, where that fails, falls back to `spherical`; see `RangeImage.method`.

    Raises:
        DataError: if the shapes do not fit together, or a given ring is not a row of the image.
    """
    points, remission = _checked(points, remission)
    ring = None if ring is None or spec.method != "ring" else _checked_ring(ring, len(points), spec.height)
    kernel = compiled_kernel()
    if kernel is None:
        return _project(points, remission, spec, ring)
    size, fov_deg = (spec.height, spec.width), (spec.fov_up_deg, spec.fov_down_deg)
    arrays, method = kernel.project(points, remission, ring, size, spec.method, fov_deg)
    return RangeImage(*arrays, method)


def _project(
    points: npt.NDArray[np.float32],
    remission: npt.NDArray[np.float32],
    spec: ProjectionSpec,
    ring: Optional[npt.NDArray[np.int32]],
) -> RangeImage:
    range_m = range_of(points)
    usable = np.isfinite(range_m) & (range_m > 0)
    method, row = _rows(points, spec, ring)
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
    return RangeImage(
        channels.reshape(-1, *shape),
        valid.reshape(shape),
        point_index.reshape(shape),
        row,
        column,
        range_m,
        method,
    )


def label_image(labels: npt.NDArray[np.uint8], image: RangeImage) -> npt.NDArray[np.uint8]:
    """Return the labels [H, W] of the points that won each pixel; 255 where no point fell."""
    pixels = np.full(image.point_index.shape, 255, np.uint8)
    pixels[image.valid] = labels[image.point_index[image.valid]]
    return pixels


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
) -> Tuple[str, npt.NDArray[np.int32]]:
    if spec.method == "ring":
        if ring is not None:
            return "ring", ring
        recovered = recover_rings(points)
        if recovered is not None and int(recovered[-1]) < spec.height and int(recovered[0]) < spec.height:
            return "ring", recovered
    return "spherical", _spherical_rows(points, spec)


def _checked_ring(ring: npt.NDArray[np.int32], num_points: int, height: int) -> npt.NDArray[np.int32]:
    if ring.shape != (num_points,):
        raise DataError(f"Expected one ring for each of the {num_points} points, found shape {ring.shape}.")
    if ring.size and not (int(ring.min()) >= 0 and int(ring.max()) < height):
        raise DataError(
            f"The rings are {int(ring.min())}..{int(ring.max())}, but the image has {height} rows; "
            "set the image height to the number of rings, or use the method 'spherical'."
        )
    return np.asarray(ring, np.int32)


def _spherical_rows(points: npt.NDArray[np.float32], spec: ProjectionSpec) -> npt.NDArray[np.int32]:
    elevation_deg = angle_of(points[:, 2], ground_distance_of(points)) * np.float32(180.0 / np.pi)
    above_bottom = (elevation_deg - spec.fov_down_deg) / (spec.fov_up_deg - spec.fov_down_deg)
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
