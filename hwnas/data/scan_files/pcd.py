"""Reads PCD files (Point Cloud Library), ascii, binary and binary_compressed.

What the format's documentation makes optional is optional: VERSION, COUNT, VIEWPOINT, HEIGHT, comments, and
one of WIDTH and POINTS; as in PCL, SIZE and TYPE default to float32. Errors name the field of the header.

Source: https://pointclouds.org/documentation/tutorials/pcd_file_format.html and `pcl::PCDReader`.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.data.scan_files.whole_numbers import expected_within, is_whole_within
from hwnas.errors import DataError

_MAX_HEADER_BYTES = 1 << 16
_MAX_POINTS = 1 << 31
_MAX_COUNT = 1 << 16
_DTYPES = {
    ("F", 4): "<f4", ("F", 8): "<f8",
    ("I", 1): "<i1", ("I", 2): "<i2", ("I", 4): "<i4", ("I", 8): "<i8",
    ("U", 1): "<u1", ("U", 2): "<u2", ("U", 4): "<u4", ("U", 8): "<u8",
}  # fmt: skip
_WORDS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_ENCODINGS = ("ascii", "binary", "binary_compressed")
# LZF never packs more than this many bytes into one.
_MAX_LZF_RATIO = 264
_MICROSOFT_NAN = re.compile(rb"-?nan\(\w+\)|-?1\.#(?:QNAN|IND|SNAN)\d*", re.IGNORECASE)

Column = npt.NDArray[np.generic]


@dataclass(frozen=True)
class PcdHeader:
    """The header of a PCD file.

    Attributes:
        names: of the fields; `_` is padding.
        dtypes: number type of each field.
        counts: numbers that each field has for a point.
        width: points of a row.
        height: rows; 1 for a cloud that is not organised.
        encoding: ascii, binary or binary_compressed.
    """

    names: tuple[str, ...]
    dtypes: tuple[np.dtype[np.generic], ...]
    counts: tuple[int, ...]
    width: int
    height: int
    encoding: str

    @property
    def num_points(self) -> int:
        """Number of points."""
        return self.width * self.height

    @property
    def record(self) -> np.dtype[np.void]:
        """One point as it lies in a binary file, fields named by their position."""
        fields = zip(self.dtypes, self.counts)  # noqa: B905 - Python 3.8
        return np.dtype([(f"f{i}", dtype, (count,)) for i, (dtype, count) in enumerate(fields)])


def parse_pcd(content: bytes) -> tuple[PcdHeader, dict[str, Column]]:
    """Return the header of a PCD file and the columns of its fields, [N] each; padding is left out.

    Fields with several numbers a point are columns `NAME`, [N, COUNT].

    Raises:
        DataError: if this is no PCD file, or a damaged one; names the field of the header that is wrong.
    """
    header, start = parse_pcd_header(content)
    data = memoryview(content)[start:]
    if header.encoding == "ascii":
        columns = _ascii_columns(bytes(data), header)
    elif header.encoding == "binary":
        columns = _binary_columns(data, header)
    else:
        columns = _compressed_columns(data, header)
    found: dict[str, Column] = {}
    for name, column in zip(header.names, columns):  # noqa: B905 - Python 3.8
        if name != "_":
            found[name] = column[:, 0] if column.shape[1] == 1 else column
    return header, found


def parse_pcd_header(content: bytes) -> tuple[PcdHeader, int]:
    """Return the header of a PCD file, and where its data begin.

    Raises:
        DataError: as `parse_pcd`.
    """
    words, start = _words_of_header(content)
    names = tuple(words.get("FIELDS", ()))
    if not names:
        raise DataError("its header lacks FIELDS, the names of what a point has")
    real = [name for name in names if name != "_"]
    twice = sorted({name for name in real if real.count(name) > 1})
    if twice:
        raise DataError(f"FIELDS names {twice[0]!r} twice")
    sizes = _whole_numbers(words, "SIZE", len(names), default=4, most=8)
    counts = _whole_numbers(words, "COUNT", len(names), default=1, most=_MAX_COUNT)
    types = words.get("TYPE", ["F"] * len(names))
    if len(types) != len(names):
        raise DataError(f"TYPE has {len(types)} values for {len(names)} FIELDS")
    dtypes = []
    for name, kind, size in zip(names, types, sizes):  # noqa: B905 - Python 3.8
        if (kind, size) not in _DTYPES:
            raise DataError(
                f"TYPE {kind[:20]} with SIZE {size} of the field {name[:40]!r} is no number type; expected F "
                "with 4 or 8, or I or U with 1, 2, 4 or 8"
            )
        dtypes.append(np.dtype(_DTYPES[kind, size]))
    width, height = _shape(words)
    encoding = words["DATA"][0] if words["DATA"] else ""
    if encoding not in _ENCODINGS:
        raise DataError(f"DATA is {encoding[:40]!r}; expected one of {list(_ENCODINGS)}")
    return PcdHeader(names, tuple(dtypes), counts, width, height, encoding), start


def _words_of_header(content: bytes) -> tuple[Mapping[str, list[str]], int]:
    """Return the values of each line of the header, and where the data begin."""
    words: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in words:
        end = content.find(b"\n", start, _MAX_HEADER_BYTES)
        line = content[start : end if end >= 0 else _MAX_HEADER_BYTES]
        word, *values = line.decode("utf-8", "replace").split() or [""]
        word = "FIELDS" if word == "COLUMNS" else word
        if word in words:
            raise DataError(f"its header states {word} twice")
        if word in _WORDS:
            words[word] = values
        if end < 0 and "DATA" not in words:
            raise DataError("its header has no line DATA, so it is damaged or something else")
        start = end + 1 if end >= 0 else len(content)
    return words, start


def _whole_numbers(
    words: Mapping[str, list[str]], word: str, length: int, *, default: int, most: int
) -> tuple[int, ...]:
    if word not in words:
        return (default,) * length
    values = words[word]
    if len(values) != length:
        raise DataError(f"{word} has {len(values)} values for {length} FIELDS")
    return tuple(_whole_number(value, word, 1, most) for value in values)


def _whole_number(text: str, word: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise DataError(f"{word} is {text[:40]!r}; expected a whole number from {least} to {most}")
    return int(text)


def _shape(words: Mapping[str, list[str]]) -> tuple[int, int]:
    """Return width and height of the cloud."""
    found = {}
    for word in ("WIDTH", "HEIGHT", "POINTS"):
        if word in words:
            if len(words[word]) != 1:
                raise DataError(f"{word} has {len(words[word])} values; expected one")
            found[word] = _whole_number(words[word][0], word, 0, _MAX_POINTS)
    if "WIDTH" not in found and "POINTS" not in found:
        raise DataError("its header lacks WIDTH or POINTS, the number of points")
    height = found.get("HEIGHT", 1)
    points = found.get("POINTS", found.get("WIDTH", 0) * height)
    width = found.get("WIDTH", points // height if height else 0)
    if width * height != points:
        if "WIDTH" in found:
            raise DataError(f"WIDTH {width} x HEIGHT {height} is {width * height}, but POINTS is {points}")
        raise DataError(f"POINTS is {points}, which is no multiple of HEIGHT {height}")
    return width, height


def _ascii_columns(data: bytes, header: PcdHeader) -> list[Column]:
    num_columns = sum(header.counts)
    text = _MICROSOFT_NAN.sub(b"nan", data).decode("ascii", "replace")
    if header.num_points == 0 and not text.strip():
        values = np.zeros((0, num_columns))
    else:
        try:
            values = np.loadtxt(io.StringIO(text), np.float64, comments=None, ndmin=2)
        except ValueError as error:
            raise DataError(f"a line of its data is wrong: {str(error)[:120]}") from error
    if values.shape[1] != num_columns and len(values):
        raise DataError(f"its lines hold {values.shape[1]} numbers, but FIELDS and COUNT name {num_columns}")
    if len(values) != header.num_points:
        raise DataError(f"it states {header.num_points} points but holds {len(values)}; the file is cut off")
    columns: list[Column] = []
    at = 0
    fields = zip(header.names, header.dtypes, header.counts)  # noqa: B905 - Python 3.8
    for name, dtype, count in fields:
        part = values[:, at : at + count]
        if dtype.kind in "iu":
            _check_whole(part, dtype, name)
        with np.errstate(over="ignore"):
            columns.append(part.astype(dtype))
        at += count
    return columns


def _check_whole(values: npt.NDArray[np.float64], dtype: np.dtype[np.generic], name: str) -> None:
    info = np.iinfo(dtype)  # type: ignore[type-var]
    limits = (int(info.min), int(info.max))
    fits = is_whole_within(values, limits)
    if not fits.all():
        raise DataError(
            f"the field {name[:40]!r} with TYPE {dtype.kind.upper()} and SIZE {dtype.itemsize} holds "
            f"{values[~fits][0]:g}; {expected_within(limits)}"
        )


def _binary_columns(data: memoryview, header: PcdHeader) -> list[Column]:
    record = header.record
    if len(data) < header.num_points * record.itemsize:
        raise DataError(
            f"it states {header.num_points} points but holds {len(data) // record.itemsize}; "
            "the file is cut off"
        )
    values = np.frombuffer(data, record, header.num_points)
    return [values[name] for name in record.names or ()]


def _compressed_columns(data: memoryview, header: PcdHeader) -> list[Column]:
    """Return the columns of a compressed file, where each lies in one piece."""
    import lzf

    expected = header.num_points * header.record.itemsize
    if header.num_points == 0:
        return [
            np.zeros((0, count), dtype)
            for dtype, count in zip(header.dtypes, header.counts)  # noqa: B905 - Python 3.8
        ]
    if len(data) < 8:
        raise DataError("the sizes before its compressed data are missing; the file is cut off")
    packed, unpacked = struct.unpack("<II", data[:8])
    if packed > len(data) - 8:
        raise DataError(f"it states {packed} compressed bytes but holds {len(data) - 8}; the file is cut off")
    if unpacked != expected or unpacked > packed * _MAX_LZF_RATIO:
        raise DataError(
            f"its data unpack to {unpacked} bytes, but {header.num_points} points of "
            f"{header.record.itemsize} bytes are {expected}; it is damaged"
        )
    try:
        content = lzf.decompress(bytes(data[8 : 8 + packed]), unpacked)
    except ValueError as error:
        raise DataError(f"its compressed data are damaged: {error}") from error
    if content is None or len(content) != unpacked:
        raise DataError("its compressed data are damaged")
    columns: list[Column] = []
    at = 0
    for dtype, count in zip(header.dtypes, header.counts):  # noqa: B905 - Python 3.8
        columns.append(np.frombuffer(content, dtype, header.num_points * count, at).reshape(-1, count))
        at += dtype.itemsize * count * header.num_points
    return columns
