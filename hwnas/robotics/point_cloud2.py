"""`sensor_msgs/PointCloud2` without ROS: a message that is always well-formed, from and to those of ROS.

Messages of rosbags, rclpy and anything else with the same attributes are taken and made without importing
either: `PointCloud2.from_message` reads attributes, `PointCloud2.to_message` calls the types it is given.
"""

from __future__ import annotations

import array
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import ByteArray
from hwnas.errors import PointCloudError, did_you_mean
from hwnas.robotics.point_fields import MOST_FIELDS, MOST_UINT32, NUMPY_TYPES, PointField, check_fields
from hwnas.text import shown

TYPE_NAME = "sensor_msgs/msg/PointCloud2"
_SCATTERED = "The bytes of `data` do not lie one after the other; copy them first."
_NS_PER_S = 1_000_000_000
_MOST_POINT_STEP = 1 << 20


@dataclass(frozen=True)
class MessageTypes:
    """Types that `PointCloud2.to_message` makes messages of; all take their attributes as keywords.

    Attributes:
        time: `builtin_interfaces/Time`.
        header: `std_msgs/Header`.
        field: `sensor_msgs/PointField`.
        cloud: `sensor_msgs/PointCloud2`.
        data: makes of bytes [B] uint8 what the cloud takes as `data`.
    """

    time: Callable[..., Any]
    header: Callable[..., Any]
    field: Callable[..., Any]
    cloud: Callable[..., Any]
    data: Callable[[ByteArray], Any]

    @classmethod
    def of_rosbags(cls, typestore: Any) -> MessageTypes:
        """Return the types of a ROS 2 `Typestore` of rosbags."""
        names = (
            "builtin_interfaces/msg/Time",
            "std_msgs/msg/Header",
            "sensor_msgs/msg/PointField",
            TYPE_NAME,
        )
        time, header, field, cloud = (typestore.types[name] for name in names)
        return cls(time, header, field, cloud, lambda data: data)

    @classmethod
    def of_ros(cls, time: Any, header: Any, field: Any, cloud: Any) -> MessageTypes:
        """Return the types of rclpy's packages: `Time`, `Header`, `PointField` and `PointCloud2`.

        Their setters look at every element of anything else than an `array.array`.
        """
        return cls(time, header, field, cloud, lambda data: array.array("B", data.tobytes()))


@dataclass(frozen=True, eq=False)
class PointCloud2:
    """A well-formed `sensor_msgs/PointCloud2`; making one that is not raises an error.

    Attributes:
        height: rows; 1 for a list of points.
        width: points of a row.
        fields: what every point holds, in any order; they do not overlap.
        is_bigendian: whether the most significant byte comes first.
        point_step: bytes from one point to the next.
        row_step: bytes from one row to the next.
        data: [row_step * height] uint8.
        is_dense: whether the sender says that no coordinate is NaN or infinite.
        stamp_ns: time of the header, nanoseconds since the epoch of its clock.
        frame_id: name of the frame of the coordinates, from the header.
    """

    height: int
    width: int
    fields: tuple[PointField, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: ByteArray
    is_dense: bool
    stamp_ns: int = 0
    frame_id: str = ""

    def __post_init__(self) -> None:
        """Refuse what is malformed.

        Raises:
            PointCloudError: if sizes, offsets or types contradict each other.
        """
        _check_sizes(self)
        check_fields(self.fields, self.point_step)

    @classmethod
    def from_message(cls, message: Any) -> PointCloud2:
        """Return a message of rosbags, rclpy, rospy or any other with the same attributes.

        Its data is not copied where it is an array of bytes.

        Raises:
            PointCloudError: if it is malformed, or is no such message.
        """
        header = _attribute(message, "header")
        return cls(
            height=_whole(_attribute(message, "height"), "height"),
            width=_whole(_attribute(message, "width"), "width"),
            fields=_fields_of(_attribute(message, "fields")),
            is_bigendian=_truth(_attribute(message, "is_bigendian"), "is_bigendian"),
            point_step=_whole(_attribute(message, "point_step"), "point_step"),
            row_step=_whole(_attribute(message, "row_step"), "row_step"),
            data=_bytes_of(_attribute(message, "data")),
            is_dense=_truth(_attribute(message, "is_dense"), "is_dense"),
            stamp_ns=_stamp_ns_of(_attribute(header, "stamp")),
            frame_id=_text(_attribute(header, "frame_id"), "frame_id"),
        )

    def to_message(self, types: MessageTypes) -> Any:
        """Return a message of these types, whose data may be that of this one, not a copy.

        Raises:
            PointCloudError: if the stamp is outside what `builtin_interfaces/Time` holds.
        """
        seconds, nanoseconds = divmod(self.stamp_ns, _NS_PER_S)
        if not -(2**31) <= seconds < 2**31:
            raise PointCloudError(f"The stamp {self.stamp_ns} ns is outside what a header of ROS 2 holds.")
        stamp = types.time(sec=seconds, nanosec=nanoseconds)
        fields = [
            types.field(name=one.name, offset=one.offset, datatype=one.datatype, count=max(1, one.count))
            for one in self.fields
        ]
        return types.cloud(
            header=types.header(stamp=stamp, frame_id=self.frame_id),
            height=self.height,
            width=self.width,
            fields=fields,
            is_bigendian=self.is_bigendian,
            point_step=self.point_step,
            row_step=self.row_step,
            data=types.data(self.data),
            is_dense=self.is_dense,
        )

    def __len__(self) -> int:
        """Return the number of points."""
        return self.height * self.width

    @property
    def is_organised(self) -> bool:
        """Whether the points form rows and columns."""
        return self.height > 1 and self.width > 1

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def records(self) -> npt.NDArray[np.void]:
        """[height, width] points with their fields by name: a view into `data`."""
        byteorder = ">" if self.is_bigendian else "<"
        dtype = np.dtype(
            {
                "names": list(self.field_names),
                "formats": [_format_of(field, byteorder) for field in self.fields],
                "offsets": [field.offset for field in self.fields],
                "itemsize": self.point_step,
            }
        )
        return self._view(dtype)

    @property
    def points_as_bytes(self) -> ByteArray:
        """[height, width, point_step] uint8: the bytes of every point, without those between rows; a view."""
        return np.ndarray(
            (self.height, self.width, self.point_step),
            np.uint8,
            self.data,
            strides=(self.row_step, self.point_step, 1),
        )

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return the numbers [N] of a field, or [N, count], row by row; a view where rows have no padding.

        Raises:
            PointCloudError: if there is no such field.
        """
        if name not in self.field_names:
            raise PointCloudError(
                f"The cloud has no field {shown(name)}; it has {list(self.field_names)}."
                f"{did_you_mean(name, self.field_names)}"
            )
        column = self.records[name]
        return column.reshape(-1, *column.shape[2:])

    def _view(self, dtype: np.dtype[Any]) -> npt.NDArray[np.void]:
        return np.ndarray(
            (self.height, self.width), dtype, self.data, strides=(self.row_step, self.point_step)
        )


def _format_of(field: PointField, byteorder: str) -> Any:
    number = byteorder + NUMPY_TYPES[field.datatype]
    return number if field.count <= 1 else (number, (field.count,))


def _check_sizes(cloud: PointCloud2) -> None:
    for name in ("height", "width", "point_step", "row_step"):
        value = getattr(cloud, name)
        if not 0 <= value <= MOST_UINT32:
            raise PointCloudError(f"`{name}` is {value}; expected a whole number of 32 bits, not negative.")
    if not 1 <= cloud.point_step <= _MOST_POINT_STEP:
        raise PointCloudError(
            f"`point_step` is {cloud.point_step}; expected the bytes of a point, 1 to {_MOST_POINT_STEP:,}."
        )
    if cloud.width * cloud.point_step > cloud.row_step:
        raise PointCloudError(
            f"`row_step` is {cloud.row_step}, but a row of {cloud.width} points of {cloud.point_step} bytes "
            f"has {cloud.width * cloud.point_step}. The sender states a wrong width, point_step or row_step."
        )
    if cloud.data.dtype != np.uint8 or cloud.data.ndim != 1:
        raise PointCloudError(f"`data` is {cloud.data.dtype} {cloud.data.shape}; expected bytes in a row.")
    if not cloud.data.flags.c_contiguous:
        raise PointCloudError(_SCATTERED)
    expected, found = cloud.row_step * cloud.height, len(cloud.data)
    if found != expected:
        what = "it was cut off" if found < expected else "row_step or height is wrong"
        raise PointCloudError(
            f"`data` has {found} bytes, but {cloud.height} rows of {cloud.row_step} bytes have {expected}: "
            f"{what}."
        )


def _attribute(message: Any, name: str) -> Any:
    try:
        return getattr(message, name)
    except AttributeError as error:
        raise PointCloudError(
            f"{type(message).__name__} has no attribute {name!r}; expected a sensor_msgs/PointCloud2."
        ) from error


def _whole(value: Any, name: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise PointCloudError(f"`{name}` is {shown(value)}; expected a whole number.")


def _truth(value: Any, name: str) -> bool:
    if isinstance(value, bool | np.bool_) or (isinstance(value, int | np.integer) and value in (0, 1)):
        return bool(value)
    raise PointCloudError(f"`{name}` is {shown(value)}; expected true or false.")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise PointCloudError(f"`{name}` is {shown(value)}; expected text.")
    return value


def _fields_of(fields: Any) -> tuple[PointField, ...]:
    if not isinstance(fields, Iterable) or isinstance(fields, str | bytes):
        raise PointCloudError(f"`fields` is {shown(fields)}; expected a list of sensor_msgs/PointField.")
    return tuple(
        PointField(
            _text(_attribute(field, "name"), "name of a field"),
            _whole(_attribute(field, "offset"), "offset of a field"),
            _whole(_attribute(field, "datatype"), "datatype of a field"),
            _whole(_attribute(field, "count"), "count of a field"),
        )
        for field in itertools.islice(fields, MOST_FIELDS + 1)
    )


def _bytes_of(data: Any) -> ByteArray:
    """Return the data of a message as bytes; only lists are copied."""
    try:
        if isinstance(data, list | tuple):
            data = bytes(data)
        view = memoryview(data)
        if view.itemsize == 1 and view.format in ("B", "b", "c"):
            if view.contiguous:
                return np.frombuffer(view, np.uint8)
            raise PointCloudError(_SCATTERED)
    except (TypeError, ValueError) as error:
        raise PointCloudError(f"`data` is a {type(data).__name__}; expected bytes.") from error
    raise PointCloudError(f"`data` holds numbers of the format {view.format!r}; expected bytes.")


def _stamp_ns_of(stamp: Any) -> int:
    if hasattr(stamp, "secs"):  # rospy
        seconds, nanoseconds = _attribute(stamp, "secs"), _attribute(stamp, "nsecs")
    else:
        seconds, nanoseconds = _attribute(stamp, "sec"), _attribute(stamp, "nanosec")
    seconds, nanoseconds = _whole(seconds, "sec"), _whole(nanoseconds, "nanosec")
    if not -(2**31) <= seconds <= MOST_UINT32 or not 0 <= nanoseconds < _NS_PER_S:
        raise PointCloudError(
            f"The stamp of the header is {seconds} s and {nanoseconds} ns; expected 32 bits of seconds, and "
            "nanoseconds below a second."
        )
    return seconds * _NS_PER_S + nanoseconds
