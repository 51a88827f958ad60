"""Point-cloud messages out of arrays: of any columns, with labels, with colours, or with points removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas.errors import PointCloudError
from hwnas.robotics.point_cloud2 import PointCloud2
from hwnas.robotics.point_fields import NUMPY_TYPES, PointField
from hwnas.text import shown

_DATATYPES = {np.dtype(name): datatype for datatype, name in NUMPY_TYPES.items()}
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True)
class CloudHeader:
    """What a message says beside its points.

    Attributes:
        stamp_ns: nanoseconds since the epoch of the sender's clock.
        frame_id: name of the frame of the coordinates.
        shape: rows and columns of an organised cloud; None for a list of points.
    """

    stamp_ns: int = 0
    frame_id: str = ""
    shape: tuple[int, int] | None = None

    @classmethod
    def of(cls, cloud: PointCloud2) -> CloudHeader:
        """Return those of another message: its stamp, frame and shape."""
        return cls(cloud.stamp_ns, cloud.frame_id, (cloud.height, cloud.width))


def cloud_of_columns(columns: Mapping[str, Numbers], header: CloudHeader | None = None) -> PointCloud2:
    """Return a little-endian message with one field for each column, in order and without padding.

    Args:
        columns: numbers [N] or [N, count] of one of the eight types of `PointField`, by name.
        header: stamp, frame and shape; 0, no frame and a list of points if None.

    Raises:
        PointCloudError: if a column has another shape or type, or the shape is one of another number of
            points.
    """
    header = header or CloudHeader()
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    if not arrays:
        raise PointCloudError("A cloud needs columns, x, y and z at least.")
    num_points = len(next(iter(arrays.values())))
    dtype = np.dtype([_field_of(name, column, num_points) for name, column in arrays.items()])
    records = np.empty(num_points, dtype)
    for name, column in arrays.items():
        records[name] = column
    height, width = header.shape or (1, num_points)
    if height * width != num_points:
        raise PointCloudError(f"{num_points} points do not fill {height} rows of {width}.")
    return PointCloud2(
        height=height,
        width=width,
        fields=_point_fields(arrays),
        is_bigendian=False,
        point_step=dtype.itemsize,
        row_step=width * dtype.itemsize,
        data=records.view(np.uint8),
        is_dense=_is_dense(arrays),
        stamp_ns=header.stamp_ns,
        frame_id=header.frame_id,
    )


def segmented_cloud(
    header: CloudHeader,
    points: npt.NDArray[np.floating],
    class_id: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    entropy: npt.NDArray[np.float32] | None = None,
) -> PointCloud2:
    """Return a message with x, y, z, `class_id` and `probability`: 17 bytes a point.

    With `entropy` it has the 21 bytes of Autoware's PTv3 segmentation: x, y, z at 0, 4 and 8, class_id at 12,
    probability at 13, entropy at 17.

    Args:
        header: stamp, frame and shape.
        points: [N, 3] metres; becomes float32.
        class_id: [N] index of the class; 255 for none.
        probability: [N] 0 to 1.
        entropy: [N]; None leaves it out.

    Raises:
        PointCloudError: if shapes or types do not fit.
    """
    columns: dict[str, Numbers] = dict(_positions(points))
    columns["class_id"] = _of_type(class_id, np.uint8, "class_id")
    columns["probability"] = np.asarray(probability, np.float32)
    if entropy is not None:
        columns["entropy"] = np.asarray(entropy, np.float32)
    return cloud_of_columns(columns, header)


def coloured_cloud(
    header: CloudHeader,
    points: npt.NDArray[np.floating],
    class_id: npt.NDArray[np.uint8],
    palette: Sequence[tuple[int, int, int]],
    other: tuple[int, int, int] = (0, 0, 0),
) -> PointCloud2:
    """Return a message with x, y, z and `rgb`, as RViz and Foxglove show it: 16 bytes a point.

    Args:
        header: stamp, frame and shape.
        points: [N, 3] metres; becomes float32.
        class_id: [N] index into the palette.
        palette: red, green and blue of each class, 0 to 255.
        other: the colour of indices beyond the palette.

    Raises:
        PointCloudError: if shapes or types do not fit.
    """
    colours = np.empty((256, 3), np.uint32)
    colours[:] = other
    colours[: len(palette)] = np.asarray(palette, np.uint32).reshape(-1, 3)
    # 0x00RRGGBB, whose bits are sent as a float32: what the Point Cloud Library began.
    packed = (colours[:, 0] << 16 | colours[:, 1] << 8 | colours[:, 2]).astype("<u4")
    columns: dict[str, Numbers] = dict(_positions(points))
    columns["rgb"] = packed[_of_type(class_id, np.uint8, "class_id")].view("<f4")
    return cloud_of_columns(columns, header)


def filtered_cloud(cloud: PointCloud2, keep: npt.NDArray[np.bool_]) -> PointCloud2:
    """Return a message of the points that are kept, byte for byte, with all of its fields; a list of points.

    Args:
        cloud: the message.
        keep: [N], for every point, row by row.

    Raises:
        PointCloudError: if there is not one truth value for every point.
    """
    keep = np.asarray(keep)
    if keep.shape != (len(cloud),) or keep.dtype != np.bool_:
        raise PointCloudError(
            f"`keep` is {keep.dtype} {keep.shape}; expected a truth value for each of the {len(cloud)} "
            "points."
        )
    kept = cloud.points_as_bytes.reshape(len(cloud), cloud.point_step)[keep]
    return replace(
        cloud, height=1, width=len(kept), row_step=len(kept) * cloud.point_step, data=kept.reshape(-1)
    )


def _positions(points: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.float32]]:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise PointCloudError(f"Points are {points.dtype} {points.shape}; expected numbers [N, 3].")
    with np.errstate(over="ignore"):
        return {axis: points[:, place].astype(np.float32) for place, axis in enumerate("xyz")}


def _of_type(column: npt.NDArray[np.uint8], dtype: type, name: str) -> npt.NDArray[np.uint8]:
    column = np.asarray(column)
    if column.dtype != dtype:
        raise PointCloudError(f"`{name}` is {column.dtype}; expected {np.dtype(dtype)}.")
    return column


def _field_of(name: str, column: Numbers, num_points: int) -> tuple[str, str, tuple[int, ...]]:
    """Return what numpy needs to know of a column.

    Raises:
        PointCloudError: if it has no name, or another shape or type.
    """
    if not name:
        raise PointCloudError("A column has no name; every field of a message needs one.")
    if column.ndim not in (1, 2) or len(column) != num_points or (column.ndim == 2 and column.shape[1] < 1):
        raise PointCloudError(
            f"The column {shown(name)} has the shape {column.shape}; expected [{num_points}] or "
            f"[{num_points}, count]."
        )
    native = column.dtype.newbyteorder("=")
    if native not in _DATATYPES:
        raise PointCloudError(
            f"The column {shown(name)} is {column.dtype}; expected one of {[str(one) for one in _DATATYPES]}."
        )
    return name, native.newbyteorder("<").str, column.shape[1:]


def _point_fields(arrays: Mapping[str, Numbers]) -> tuple[PointField, ...]:
    fields, offset = [], 0
    for name, column in arrays.items():
        count = column.shape[1] if column.ndim == 2 else 1
        fields.append(PointField(name, offset, _DATATYPES[column.dtype.newbyteorder("=")], count))
        offset += fields[-1].size_bytes
    return tuple(fields)


def _is_dense(columns: Mapping[str, Numbers]) -> bool:
    positions = [columns[axis] for axis in "xyz" if axis in columns]
    return all(bool(np.isfinite(column).all()) for column in positions if column.dtype.kind == "f")
