"""Point-cloud files as they come: `bin` (records of numbers), `pcd` (Point Cloud Library), `npy` (numpy).

Other formats register in the entry-point group `hwnas.data_formats` as a function
`(path, options) -> RawScan`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import numpy.typing as npt

from hwnas.arrays import UnreadableArraysError, load_array
from hwnas.data.scan_files.columns import likely_columns, looks_like_float64
from hwnas.data.scan_files.named_fields import (
    FIELDS,
    SKIPPED_COLUMN,
    TIMES,
    columns_of_fields,
    names_in,
    refuse_missing_columns,
)
from hwnas.data.scan_files.pcd import parse_pcd
from hwnas.data.scan_files.whole_numbers import LABEL_LIMITS, RING_LIMITS, expected_within, is_whole_within
from hwnas.errors import DataError, did_you_mean
from hwnas.files import read_plain_file, reason_of
from hwnas.text import counted, one_line, shown

REQUIRED_FIELDS = ("x", "y", "z", "intensity")
DEFAULT_COLUMNS = ("x", "y", "z", "intensity")
_MOST_RINGS = 512
_MAX_BYTES = 1 << 32
_OPTIONS_OF_RECORDS = ("columns", "dtype", "check_columns")


class WrongOptionsError(DataError):
    """A file is not stored as its options say.

    Attributes:
        options: which would read it; empty where that is not known.
    """

    def __init__(self, message: str, options: Mapping[str, Any]) -> None:
        """Keep what would read the file beside what is wrong."""
        super().__init__(message)
        self.options = options


@dataclass(frozen=True, eq=False)
class RawScan:
    """A point cloud as its file holds it: own frame, own intensity scale, nothing checked.

    Attributes:
        points: [N, 3], metres; float64 where the file holds more than float32 does, such as UTM coordinates
            (longer types, such as numpy's longdouble, are rounded to it).
        intensity: [N] float32 in the sensor's own scale.
        ring: [N] int32, ring of the sensor, counted from either end; None when the file does not say.
        labels: [N] uint32 raw label ids (see `labels_are_classes`), when the file itself holds them.
        organised: rows and columns of the file, row by row (point i is in row i // columns), when it keeps
            the sensor's grid; None for a list of points.
        time: [N] float64, when each point was measured, in any unit; None when the file does not say.
        labels_are_classes: whether `labels` are indices of classes, 255 for none, instead of raw label ids.
    """

    points: npt.NDArray[Any]
    intensity: npt.NDArray[np.float32]
    ring: npt.NDArray[np.int32] | None = None
    labels: npt.NDArray[np.uint32] | None = None
    organised: tuple[int, int] | None = None
    time: npt.NDArray[np.float64] | None = None
    labels_are_classes: bool = False

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.points), "point"),
            *(name for name in ("ring", "labels", "time") if getattr(self, name) is not None),
        )


def read_bin(path: Path, options: Mapping[str, Any]) -> RawScan:
    """Read a file of equal records without a header, such as SemanticKITTI's `velodyne/*.bin`.

    Args:
        path: the file.
        options: `columns`, what a record holds, in order: names out of x, y, z, intensity, ring, label
            and time (or t, timestamp), `_` for a number to skip, or `{name: dtype}` where the type differs
            from `dtype` (default x, y, z, intensity); `dtype`, the type of all other columns as numpy writes
            it (default `<f4`: float32, little-endian); `check_columns: false` reads a file even if it looks
            like one with another number of columns.

    Raises:
        DataError: if an option is wrong, the file size is not a multiple of the record, or the values look
            like those of records with another number of columns.
    """
    record = _record_dtype(options)
    content = _content(path)
    if content.startswith((b"# .PCD", b"VERSION ")):
        raise DataError(f"{path} is a PCD file, not one of records; name it .pcd, or state 'format: pcd'.")
    if len(content) % record.itemsize:
        likely = likely_columns(content)
        hint = f" Its values look like {likely} float32 for each point: are there {likely}?" if likely else ""
        raise WrongOptionsError(
            f"{path} has {len(content)} bytes, which is not a multiple of its record of "
            f"{record.itemsize} bytes ({_describe(record)}); "
            f"the file is cut off, or 'columns' and 'dtype' do not describe it.{hint}",
            _options_for(content, likely, options),
        )
    _refuse_missing_fields(record.names or (), {name: name for name in FIELDS}, path)
    if all(record[name] == np.dtype("<f4") for name in record.names or ()):
        _check_columns(content, len(record.names or ()), options, path)
    if record == _record_dtype({}):  # the common case, without a copy for each column
        values = np.frombuffer(content, "<f4").reshape(-1, 4)
        return RawScan(np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3]))
    return _from_fields(np.frombuffer(content, record), {name: name for name in FIELDS}, path)


def read_npy(path: Path, options: Mapping[str, Any]) -> RawScan:
    """Read an array that numpy wrote: [N, columns] or rows and columns of a grid [H, W, columns].

    Args:
        path: the file. Arrays of Python objects are refused: they could run code.
        options: `columns` as for `read_bin`, without types; for arrays with named fields the names of the
            fields where they differ, as for `read_pcd`.

    Raises:
        DataError: if an option is wrong, or the file holds no such array.
    """
    _refuse_unknown_keys(options, ("columns", *FIELDS), "format_options of a npy file")
    names = [name for name, _ in _fields({"columns": options.get("columns", DEFAULT_COLUMNS)})]
    try:
        values = load_array(io.BytesIO(_content(path)))
    except (OSError, UnreadableArraysError) as error:
        raise DataError(f"{path} cannot be read as an array of numpy: {error}") from error
    if not isinstance(values, np.ndarray) or values.ndim not in {1, 2, 3}:
        raise DataError(f"{path} holds no array of points [N, columns] or [H, W, columns].")
    if values.dtype.names and values.ndim == 3:
        raise DataError(f"{path} holds an array {values.shape} with named fields; expected [N] or [H, W].")
    grid = values.shape[:2] if values.ndim == 3 or (values.dtype.names and values.ndim == 2) else None
    if values.dtype.names:
        columns = columns_of_fields(values)
        if options.get("columns") is not None:
            refuse_missing_columns(names, columns, options, path)
    elif any(options.get(name) is not None for name in FIELDS):
        raise DataError(
            f"{path} holds an array {values.shape} without named fields; name its columns in "
            "format_options.columns instead of fields."
        )
    elif values.shape[-1] != len(names) or values.ndim == 1:
        raise DataError(
            f"{path} holds an array {values.shape} for the {len(names)} columns {names}; expected "
            f"[N, {len(names)}] or [H, W, {len(names)}]{_transposing(values.shape, len(names))}; name all "
            "of its columns in format_options.columns of dataset.yaml, or with `columns=` of `Bundle.infer` "
            "(`hwnas infer --columns`)."
        )
    else:
        columns = dict(zip(names, values.reshape(-1, len(names)).T))  # noqa: B905 - Python 3.8
    if any(column.dtype.kind not in "fiu" for column in columns.values()):
        raise DataError(f"{path} holds values of the type {values.dtype}; expected numbers.")
    return _from_fields(columns, names_in(columns, options, path), path, grid)


def _transposing(shape: tuple[int, ...], columns: int) -> str:
    """Return what mends an array whose columns come first; empty where they do not."""
    if len(shape) < 2 or shape[0] != columns:
        return ""
    return ", so transpose it (`values.T`)" if len(shape) == 2 else ", so store `values.transpose(1, 2, 0)`"


def read_pcd(path: Path, options: Mapping[str, Any]) -> RawScan:
    """Read a PCD file, ascii, binary or binary_compressed, with fields of any numeric type.

    Args:
        path: the file.
        options: names of the fields in the file where they differ, such as `{intensity: i, ring: channel}`.

    Raises:
        DataError: if an option is unknown, the file is not a whole PCD file or lacks a field.
    """
    _refuse_unknown_keys(options, FIELDS, "format_options of a pcd file")
    try:
        header, columns = parse_pcd(_content(path))
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path} cannot be read as a PCD file: {error}.") from error
    grid = (header.height, header.width) if min(header.height, header.width) > 1 else None
    return _from_fields(columns, names_in(columns, options, path), path, grid)


def _content(path: Path) -> bytes:
    try:
        return read_plain_file(path, _MAX_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"There is no scan file {path}.") from error
    except OSError as error:
        raise DataError(f"The scan {path} cannot be read: {reason_of(error)}.") from error


def _check_columns(content: bytes, stated: int, options: Mapping[str, Any], path: Path) -> None:
    if options.get("check_columns", True) is not True:
        return
    if looks_like_float64(content):
        raise WrongOptionsError(
            f"{path} is read as float32, but its values look like float64: state 'dtype: float64' in "
            "format_options. `check_columns: false` reads the file as stated.",
            {**options, "dtype": "float64"},
        )
    likely = likely_columns(content, stated)
    if likely is None:
        return
    raise WrongOptionsError(
        f"{path} is read as {stated} numbers for each point, but its values look like {likely}: are there "
        f"{likely}? Name them all: in format_options.columns of dataset.yaml, such as [x, y, z, intensity, "
        "ring], or for `hwnas infer --columns x,y,z,intensity,ring`; `_` skips one. "
        "`check_columns: false` in format_options reads the file as stated.",
        _options_for(content, likely, options),
    )


def _options_for(content: bytes, likely: Optional[int], options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return options that read float32 records of this many numbers: a fifth or later one may be the ring."""
    if likely is None or likely < len(DEFAULT_COLUMNS) or len(content) % (4 * likely):
        return {}
    values = np.frombuffer(content, "<f4").reshape(-1, likely)
    columns = list(DEFAULT_COLUMNS)
    for column in values[:, len(columns) :].T:
        is_ring = "ring" not in columns and bool(np.isin(column, np.arange(_MOST_RINGS)).all())
        columns.append("ring" if is_ring and column.min() < column.max() else SKIPPED_COLUMN)
    return {**options, "columns": columns}


def _record_dtype(options: Mapping[str, Any]) -> np.dtype[np.void]:
    _refuse_unknown_keys(options, _OPTIONS_OF_RECORDS, "format_options of a bin file")
    if not isinstance(options.get("check_columns", True), bool):
        raise DataError(
            f"format_options.check_columns is {shown(options['check_columns'])}; expected true or false."
        )
    return np.dtype(_fields(options))


def _fields(options: Mapping[str, Any]) -> list[tuple[str, np.dtype[Any]]]:
    """Return name and type of the columns that options name."""
    columns = options.get("columns", DEFAULT_COLUMNS)
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise DataError(
            f"format_options.columns is {shown(columns)}; expected a list such as [x, y, z, intensity]."
        )
    fields: list[tuple[str, np.dtype[Any]]] = []
    for position, column in enumerate(columns):
        name, dtype = _column(column, options.get("dtype", "<f4"))
        fields.append((f"_{position}" if name == SKIPPED_COLUMN else name, dtype))
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise DataError(f"format_options.columns names a column twice: {names}.")
    return fields


def _column(column: Any, default_dtype: Any) -> tuple[str, np.dtype[Any]]:
    name, dtype = column, default_dtype
    if isinstance(column, Mapping) and len(column) == 1:
        ((name, dtype),) = column.items()
    name = "time" if name in TIMES else name
    if name not in (*FIELDS, SKIPPED_COLUMN):
        raise DataError(
            f"format_options.columns holds {shown(column)}; expected {list(FIELDS)}, '_' or {{name: dtype}}."
        )
    try:
        parsed = np.dtype(dtype) if isinstance(dtype, str) else None
    except (TypeError, ValueError, SyntaxError):
        parsed = None
    if parsed is None or parsed.kind not in "fiu" or parsed.shape:
        raise DataError(f"format_options: {shown(dtype)} is not a number type; write for instance float32.")
    return str(name), parsed.newbyteorder("<") if parsed.byteorder == "=" else parsed


def _describe(record: np.dtype[np.void]) -> str:
    return ", ".join(f"{name} {record[name].name}" for name in record.names or ())


def _from_fields(
    values: Any, names: Mapping[str, str], path: Path, organised: tuple[int, int] | None = None
) -> RawScan:
    """Return a scan of columns: a structured array, or a mapping from names to arrays."""
    present = list(values) if isinstance(values, Mapping) else list(values.dtype.names or ())
    _refuse_missing_fields(present, names, path)
    columns = {name: values[names[name]] for name in FIELDS if names[name] in present}
    for name, column in columns.items():
        if column.ndim != 1:
            raise DataError(
                f"{path} has {column.shape[1]} numbers a point in the field {names[name]!r}; expected one."
            )
    with np.errstate(over="ignore", invalid="ignore"):
        dtype = np.float64 if any(_is_wide(columns[axis].dtype) for axis in "xyz") else np.float32
        points = np.stack([columns[axis].astype(dtype) for axis in "xyz"], axis=1)

        def whole(name: str, dtype: type, limits: tuple[int, int]) -> Any:
            return _whole(columns[name], points, dtype, name, limits, path) if name in columns else None

        return RawScan(
            points,
            columns["intensity"].astype(np.float32),
            whole("ring", np.int32, RING_LIMITS),
            whole("label", np.uint32, LABEL_LIMITS),
            organised,
            columns["time"].astype(np.float64) if "time" in columns else None,
        )


def _is_wide(dtype: np.dtype[Any]) -> bool:
    """Return whether float32 may round values of a type."""
    return dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize == 4)


def _refuse_missing_fields(present: Sequence[str], names: Mapping[str, str], path: Path) -> None:
    missing = [name for name in REQUIRED_FIELDS if names[name] not in present]
    if missing:
        raise DataError(
            f"{path} has no field for {missing[0]!r} (looked for {names[missing[0]]!r}); "
            f"it has {list(present)}. Name the field that holds it in "
            f"format_options{_example(present, missing[0])}."
        )


def _example(present: Sequence[str], missing: str) -> str:
    other = next((name for name in present if name not in FIELDS and not name.startswith("_")), None)
    return f", such as {{{missing}: {other}}}" if other is not None else ""


def _whole(
    column: Any, points: npt.NDArray[Any], dtype: type, what: str, limits: tuple[int, int], path: Path
) -> Any:
    """Return a column of whole numbers; those of points that are no measurements may be anything."""
    fits = is_whole_within(column, limits)
    if not fits.all():
        wrong = np.flatnonzero(~fits & np.isfinite(points).all(axis=1))
        if len(wrong):
            raise DataError(
                f"{path}: the {what} of point {wrong[0]} is {column[wrong[0]]:g}; {expected_within(limits)}. "
                "Are the columns or fields named rightly?"
            )
    return np.where(fits, column, 0).astype(dtype)


def _refuse_unknown_keys(options: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in options:
        if key not in known:
            raise DataError(
                f"Unknown key {shown(key)} in {where}; known are {list(known)}."
                f"{did_you_mean(str(key), known)}"
            )
