"""Fields of point-cloud messages: name, place and type, and what is wrong with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.errors import PointCloudError
from hwnas.text import shown

INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = range(1, 9)
NUMPY_TYPES = {
    INT8: "i1",
    UINT8: "u1",
    INT16: "i2",
    UINT16: "u2",
    INT32: "i4",
    UINT32: "u4",
    FLOAT32: "f4",
    FLOAT64: "f8",
}
"""Number types of fields, as numpy writes them."""
MOST_UINT32 = 2**32 - 1
MOST_FIELDS = 1024


@dataclass(frozen=True, slots=True)
class PointField:
    """A field of every point, as `sensor_msgs/PointField` says it.

    Attributes:
        name: name of the field.
        offset: place of its first byte in the point.
        datatype: 1 to 8, see `NUMPY_TYPES`.
        count: numbers in the field; 0, which some drivers write, means 1, as in the Point Cloud Library.
    """

    name: str
    offset: int
    datatype: int
    count: int = 1

    @property
    def size_bytes(self) -> int:
        """Bytes that the field takes."""
        return np.dtype(NUMPY_TYPES[self.datatype]).itemsize * max(1, self.count)


def check_fields(fields: Sequence[PointField], point_step: int) -> None:
    """Refuse fields that are unknown, there twice, beyond the point, or overlap.

    Raises:
        PointCloudError: if one is.
    """
    if not fields:
        raise PointCloudError("The cloud has no fields; expected x, y and z at least.")
    if len(fields) > MOST_FIELDS:
        raise PointCloudError(f"The cloud has {len(fields)} fields; expected {MOST_FIELDS} at most.")
    for field in fields:
        _check_field(field, point_step)
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PointCloudError(
            f"The cloud has two fields {shown(twice)}; which one is meant, nobody can tell."
        )
    for one, other in itertools.pairwise(sorted(fields, key=lambda field: field.offset)):
        if one.offset + one.size_bytes > other.offset:
            raise PointCloudError(
                f"The fields {shown(one.name)} (bytes {one.offset} to {one.offset + one.size_bytes - 1}) and "
                f"{shown(other.name)} (from byte {other.offset}) overlap."
            )


def _check_field(field: PointField, point_step: int) -> None:
    if not field.name:
        raise PointCloudError(f"The field at byte {field.offset} has no name.")
    if field.datatype not in NUMPY_TYPES:
        raise PointCloudError(
            f"The field {shown(field.name)} has the datatype {field.datatype}; expected 1 to 8 "
            "(INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64)."
        )
    if not 0 <= field.count <= MOST_UINT32 or not 0 <= field.offset <= MOST_UINT32:
        raise PointCloudError(
            f"The field {shown(field.name)} has offset {field.offset} and count {field.count}; expected "
            "whole numbers of 32 bits, not negative."
        )
    if field.offset + field.size_bytes > point_step:
        raise PointCloudError(
            f"The field {shown(field.name)} ends at byte {field.offset + field.size_bytes}, but a point has "
            f"{point_step} (`point_step`)."
        )
