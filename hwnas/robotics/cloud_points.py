"""Arrays out of point-cloud messages: positions, intensity, ring and time, whatever the layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.scan_files.whole_numbers import RING_LIMITS, expected_within, is_whole_within
from hwnas.errors import PointCloudError, did_you_mean
from hwnas.robotics.point_cloud2 import PointCloud2
from hwnas.robotics.point_fields import FLOAT32, FLOAT64, INT32, UINT32
from hwnas.text import shown

INTENSITY_NAMES = ("intensity", "reflectivity", "reflectance", "remission", "i")
RING_NAMES = ("ring", "channel", "line")
TIME_NAMES = ("t", "time", "timestamp", "time_stamp")
"""What drivers call these fields, the likeliest first; letters of either case."""
TIME_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in the units that times of points may have."""

_LEAST_ABSOLUTE_S = 1e8
"""No scan lasts three years: seconds from here on count from the epoch of a clock."""
_LEAST_ABSOLUTE_NS = 1e14


@dataclass(frozen=True)
class CloudFields:
    """Which fields hold what.

    Attributes:
        x: name of the field of the first coordinate, in metres.
        y: name of the field of the second.
        z: name of the field of the third.
        intensity: name of the field of the intensity; None for the first of `INTENSITY_NAMES` that is there.
        ring: name of the field of the ring; None for the first of `RING_NAMES`.
        time: name of the field of the time of a point; None for the first of `TIME_NAMES`.
        intensity_scale: the factor by which intensities are multiplied.
        time_unit: a key of `TIME_UNITS_S`; None to tell it by the type: whole numbers are nanoseconds,
            float32 are seconds, float64 are seconds, or nanoseconds where they are too large for seconds.
    """

    x: str = "x"
    y: str = "y"
    z: str = "z"
    intensity: str | None = None
    ring: str | None = None
    time: str | None = None
    intensity_scale: float = 1.0
    time_unit: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            PointCloudError: if a scale or unit is none.
        """
        if not (np.isfinite(self.intensity_scale) and self.intensity_scale > 0):
            raise PointCloudError(
                f"`intensity_scale` is {shown(self.intensity_scale)}; expected a positive number."
            )
        if self.time_unit is not None and self.time_unit not in TIME_UNITS_S:
            raise PointCloudError(
                f"`time_unit` is {shown(self.time_unit)}; expected one of {list(TIME_UNITS_S)}."
            )


@dataclass(frozen=True, eq=False)
class CloudPoints:
    """The points of one message.

    Attributes:
        points: [N, 3] float32, or float64 where a coordinate is of a type that float32 may round.
        intensity: [N] float32; None where no field holds it.
        ring: [N] int32; None where no field holds it. Of points that are not finite it may be 0.
        time_s: [N] float64, seconds after the stamp of the message (after the first point, where the stamp
            is 0 and times are absolute); None where no field holds it.
        organised: rows and columns, row by row; None for a list of points, or if points were removed.
        index: [N] which points of the message these are; None if they are all.
    """

    points: npt.NDArray[Any]
    intensity: npt.NDArray[np.float32] | None
    ring: npt.NDArray[np.int32] | None
    time_s: npt.NDArray[np.float64] | None
    organised: tuple[int, int] | None
    index: npt.NDArray[np.intp] | None = None

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)


def points_of_cloud(
    cloud: PointCloud2, fields: CloudFields | None = None, *, remove_invalid: bool = False
) -> CloudPoints:
    """Return what a message says of its points; no loop over points.

    Args:
        cloud: the message.
        fields: names of the fields by what they hold; the usual names if None.
        remove_invalid: leave out points with a coordinate that is NaN or infinite, whatever `is_dense` says.

    Raises:
        PointCloudError: if there is no point, a field is missing or holds several numbers, or rings are no
            whole numbers.
    """
    fields = fields or CloudFields()
    if not len(cloud):
        raise PointCloudError(f"The cloud holds no point: it is {cloud.height} x {cloud.width}.")
    points = _positions(cloud, fields)
    intensity, ring, time = (
        _found(cloud, fields.intensity, INTENSITY_NAMES),
        _found(cloud, fields.ring, RING_NAMES),
        _found(cloud, fields.time, TIME_NAMES),
    )
    found = CloudPoints(
        points=points,
        intensity=None if intensity is None else _scaled(cloud.column(intensity), fields.intensity_scale),
        ring=None if ring is None else _rings(cloud.column(ring), points, ring),
        time_s=None if time is None else _times(cloud, time, fields.time_unit),
        organised=(cloud.height, cloud.width) if cloud.is_organised else None,
    )
    return _without_invalid(found) if remove_invalid else found


def _positions(cloud: PointCloud2, fields: CloudFields) -> npt.NDArray[Any]:
    names = (fields.x, fields.y, fields.z)
    for name in names:
        _refuse_several(cloud, name)
    of_name = {field.name: field for field in cloud.fields}
    stored = [of_name[name] for name in names]
    if len(set(names)) < 3:
        raise PointCloudError(
            f"The coordinates are read from {list(names)}; expected three different fields."
        )
    if any(field.datatype in (FLOAT64, INT32, UINT32) for field in stored):
        return np.stack([cloud.column(name).astype(np.float64) for name in names], axis=1)
    start = stored[0].offset
    if [(field.offset - start, field.datatype) for field in stored] == [
        (4 * place, FLOAT32) for place in range(3)
    ]:  # side by side, as nearly every driver has them: one copy instead of three
        order = ">f4" if cloud.is_bigendian else "<f4"
        # The bytes of the first coordinate begin the array that numpy is given.
        view: npt.NDArray[Any] = np.ndarray(
            (cloud.height, cloud.width, 3),
            order,
            cloud.data,
            offset=start,
            strides=(cloud.row_step, cloud.point_step, 4),
        )
        return np.array(view, np.float32, order="C").reshape(-1, 3)
    points = np.empty((len(cloud), 3), np.float32)
    for axis, name in enumerate(names):
        points[:, axis] = cloud.column(name)
    return points


def _found(cloud: PointCloud2, stated: str | None, usual: Sequence[str]) -> str | None:
    """Return the name of the field that holds something; None if nothing is stated and none is there."""
    lower = {name.lower(): name for name in reversed(cloud.field_names)}
    name = stated or next((lower[name] for name in usual if name in lower), None)
    if name is not None:
        _refuse_several(cloud, name)
    return name


def _refuse_several(cloud: PointCloud2, name: str) -> None:
    """Refuse a field that is missing or holds more than one number."""
    field = next((field for field in cloud.fields if field.name == name), None)
    if field is None:
        raise PointCloudError(
            f"The cloud has no field {shown(name)}; it has {list(cloud.field_names)}. Name the field that "
            f"holds it.{did_you_mean(name, cloud.field_names)}"
        )
    if field.count > 1:
        raise PointCloudError(f"The field {shown(name)} has {field.count} numbers a point; expected one.")


def _scaled(column: npt.NDArray[Any], scale: float) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = column.astype(np.float32)
        return values if scale == 1.0 else values * np.float32(scale)


def _rings(column: npt.NDArray[Any], points: npt.NDArray[Any], name: str) -> npt.NDArray[np.int32]:
    fits = is_whole_within(column, RING_LIMITS)
    if fits.all():
        return column.astype(np.int32)
    wrong = np.flatnonzero(~fits & np.isfinite(points).all(axis=1))
    if len(wrong):
        raise PointCloudError(
            f"The field {shown(name)} of point {wrong[0]} is {column[wrong[0]]:g}; "
            f"{expected_within(RING_LIMITS)}. Name the field that holds the ring."
        )
    return np.where(fits, column, 0).astype(np.int32)


def _times(cloud: PointCloud2, name: str, unit: str | None) -> npt.NDArray[np.float64]:
    column = cloud.column(name)
    values = column.astype(np.float64)
    usable = values[np.isfinite(values)]
    largest = float(np.abs(usable).max()) if len(usable) else 0.0
    is_wide = column.dtype.kind == "f" and column.dtype.itemsize == 8
    if unit is None:
        unit = "ns" if column.dtype.kind in "iu" or (is_wide and largest >= _LEAST_ABSOLUTE_NS) else "s"
    seconds_of_unit = TIME_UNITS_S[unit]
    if largest * seconds_of_unit < _LEAST_ABSOLUTE_S:
        return values * seconds_of_unit
    # The difference is taken in the unit of the field, where large numbers are exact.
    start = cloud.stamp_ns * 1e-9 / seconds_of_unit if cloud.stamp_ns else float(usable.min())
    return (values - start) * seconds_of_unit


def _without_invalid(found: CloudPoints) -> CloudPoints:
    is_valid = np.isfinite(found.points).all(axis=1)
    if is_valid.all():
        return found
    if not is_valid.any():
        raise PointCloudError(f"None of the {len(found)} points of the cloud has finite coordinates.")
    index = np.flatnonzero(is_valid)
    return CloudPoints(
        points=found.points[index],
        intensity=None if found.intensity is None else found.intensity[index],
        ring=None if found.ring is None else found.ring[index],
        time_s=None if found.time_s is None else found.time_s[index],
        organised=None,
        index=index,
    )
