"""Types of arrays, named by what an element is, and files of arrays. Python 3.8 syntax: travels to boards."""

from __future__ import annotations

import zlib
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
# What numpy, and the modules that it reads headers and archives with, raise on damaged files.
_DAMAGED = (
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    TypeError,
    SyntaxError,
    KeyError,
    AttributeError,
    RuntimeError,
    TokenError,
    BadZipFile,
    zlib.error,
)


class UnreadableArraysError(ValueError):
    """A file holds no arrays of numpy, or is damaged; the message is one short line."""


def load_array(source: str | IO[bytes]) -> Any:
    """Return the array of an `.npy` file; something else than an array for an archive of several.

    Args:
        source: path of the file, or a stream that can seek. Arrays of Python objects are refused: they could
            run code.

    Raises:
        OSError: if the file cannot be read.
        UnreadableArraysError: if it holds no array.
    """
    try:
        return np.load(source, allow_pickle=False)
    except _DAMAGED as error:
        raise UnreadableArraysError(_reason(error)) from error


def load_arrays(source: str | IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an `.npz` file by name.

    Raises:
        OSError: if the file cannot be read.
        UnreadableArraysError: if it is no archive of arrays.
    """
    try:
        with np.load(source, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except _DAMAGED as error:
        raise UnreadableArraysError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
