"""Point-cloud files as they come: `bin` (records of numbers) and `pcd` (Point Cloud Library).

Other formats register in the entry-point group `hwnas.data_formats` as a function
`(path, options) -> RawScan`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataError, did_you_mean

FIELDS = ("x", "y", "z", "intensity", "ring", "label")
REQUIRED_FIELDS = ("x", "y", "z", "intensity")
DEFAULT_COLUMNS = ("x", "y", "z", "intensity")
SKIPPED_COLUMN = "_"


@dataclass(frozen=True, eq=False)
class RawScan:
    """A point cloud as its file holds it: own frame, own intensity scale, nothing checked.

    Attributes:
        points: [N, 3] float32, metres.
        intensity: [N] float32 in the sensor's own scale.
        ring: [N] int32, ring of the sensor, counted from either end; None when the file does not say.
        labels: [N] uint32 raw label ids, when the file itself holds them.
        shape: height and width of an organised cloud, whose points lie in this grid, holes included; None
            when the file does not say.
    """

    points: npt.NDArray[np.float32]
    intensity: npt.NDArray[np.float32]
    ring: npt.NDArray[np.int32] | None = None
    labels: npt.NDArray[np.uint32] | None = None
    shape: tuple[int, int] | None = None


def read_bin(path: Path, options: Mapping[str, Any]) -> RawScan:
    """Read a file of equal records without a header, such as SemanticKITTI's `velodyne/*.bin`.

    Args:
        path: the file.
        options: `columns`, what a record holds, in order: names out of x, y, z, intensity, ring and
            label, `_` for a number to skip, or `{name: dtype}` where the type differs from `dtype`
            (default x, y, z, intensity); `dtype`, the type of all other columns as numpy writes it
            (default `<f4`: float32, little-endian).

    Raises:
        DataError: if an option is wrong or the file size is not a multiple of the record.
    """
    record = _record_dtype(options)
    content = path.read_bytes()
    if len(content) % record.itemsize:
        raise DataError(
            f"{path} has {len(content)} bytes, which is not a multiple of its record of "
            f"{record.itemsize} bytes ({_describe(record)}); "
            "the file is cut off, or 'columns' and 'dtype' do not describe it."
        )
    if record == _record_dtype({}):  # the common case, without a copy for each column
        values = np.frombuffer(content, "<f4").reshape(-1, 4)
        return RawScan(np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3]))
    return _from_fields(np.frombuffer(content, record), {name: name for name in FIELDS}, path)


def read_pcd(path: Path, options: Mapping[str, Any]) -> RawScan:
    """Read a PCD file, ascii, binary or binary_compressed, with fields of any numeric type.

    Args:
        path: the file.
        options: names of the fields in the file where they differ, such as `{intensity: i, ring: channel}`.

    Raises:
        DataError: if an option is unknown, the file is not a whole PCD file or lacks a field.
    """
    from pypcd4.pypcd4 import PointCloud

    _refuse_unknown_keys(options, FIELDS, "format_options of a pcd file")
    try:
        cloud = PointCloud.from_path(path)
        values, expected = np.atleast_1d(cloud.pc_data), int(cloud.metadata.points)
        shape = int(cloud.metadata.height), int(cloud.metadata.width)
    except (ValueError, RuntimeError, KeyError, TypeError, IndexError, AssertionError, struct.error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path} cannot be read as a PCD file, it is damaged or something else: {reason}"
        ) from error
    if len(values) != expected:
        raise DataError(f"{path} states {expected} points but holds {len(values)}; the file is cut off.")
    raw = _from_fields(values, {name: str(options.get(name, name)) for name in FIELDS}, path)
    return replace(raw, shape=shape) if min(shape) > 1 else raw


def _record_dtype(options: Mapping[str, Any]) -> np.dtype[np.void]:
    _refuse_unknown_keys(options, ("columns", "dtype"), "format_options of a bin file")
    columns = options.get("columns", DEFAULT_COLUMNS)
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise DataError(
            f"format_options.columns is {columns!r}; expected a list such as [x, y, z, intensity]."
        )
    fields: list[tuple[str, np.dtype[Any]]] = []
    for position, column in enumerate(columns):
        name, dtype = _column(column, options.get("dtype", "<f4"))
        fields.append((f"_{position}" if name == SKIPPED_COLUMN else name, dtype))
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise DataError(f"format_options.columns names a column twice: {names}.")
    return np.dtype(fields)


def _column(column: Any, default_dtype: Any) -> tuple[str, np.dtype[Any]]:
    name, dtype = column, default_dtype
    if isinstance(column, Mapping) and len(column) == 1:
        ((name, dtype),) = column.items()
    if name not in (*FIELDS, SKIPPED_COLUMN):
        raise DataError(
            f"format_options.columns holds {column!r}; expected {list(FIELDS)}, '_' or {{name: dtype}}."
        )
    try:
        parsed = np.dtype(dtype)
    except TypeError as error:
        raise DataError(
            f"format_options: {dtype!r} is not a number type; write for instance float32."
        ) from error
    if parsed.kind not in "fiu":
        raise DataError(f"format_options: {dtype!r} is not a number type; write for instance float32.")
    return str(name), parsed.newbyteorder("<") if parsed.byteorder == "=" else parsed


def _describe(record: np.dtype[np.void]) -> str:
    return ", ".join(f"{name} {record[name].name}" for name in record.names or ())


def _from_fields(values: npt.NDArray[np.void], names: Mapping[str, str], path: Path) -> RawScan:
    present = values.dtype.names or ()
    missing = [name for name in REQUIRED_FIELDS if names[name] not in present]
    if missing:
        raise DataError(
            f"{path} has no field for {missing[0]!r} (looked for {names[missing[0]]!r}); "
            f"it has {list(present)}. Name the field that holds it in format_options."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        columns = {name: values[names[name]] for name in FIELDS if names[name] in present}
        points = np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=1)
        return RawScan(
            points,
            columns["intensity"].astype(np.float32),
            columns["ring"].astype(np.int32) if "ring" in columns else None,
            columns["label"].astype(np.uint32) if "label" in columns else None,
        )


def _refuse_unknown_keys(options: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in options:
        if key not in known:
            raise DataError(
                f"Unknown key {key!r} in {where}; known are {list(known)}.{did_you_mean(str(key), known)}"
            )
