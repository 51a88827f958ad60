"""Arrays as callers give them: what numpy cannot read, or would read otherwise than meant, is refused.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, FloatArray, IntArray
from hwnas.errors import DataError

COLUMNS = ("x", "y", "z", "intensity")

_WHOLE = "a whole number"


def as_array(values: Any, what: str) -> npt.NDArray[Any]:
    """Return values as an array, of any shape and type.

    Args:
        values: an array, or what numpy makes one of.
        what: they are, for errors, such as "`ring`".

    Raises:
        DataError: if rows are of different lengths, numpy cannot read them, or some are masked.
    """
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise DataError(
                f"{what}: {np.count_nonzero(values.mask)} of {values.size} numbers are masked, which says "
                "nothing here. Leave these points out, or give NaN as their coordinates: "
                "`points.filled(numpy.nan)`."
            )
        return np.asarray(values.data)
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, and tensors that are elsewhere
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{what}: numpy can make no array of it: {reason}") from error


def _advice_on_columns(array: npt.NDArray[Any], columns: int) -> str:
    """Return what to do with an array that holds more of a point, or has its axes the other way round."""
    if array.ndim == 2 and array.shape[1] > columns == 3:
        return " Give the first three columns as points, and the others as `intensity=`, `ring=` and `time=`."
    if array.ndim == 2 and array.shape[1] > columns:
        return (
            " Give the first four columns as points and, if another one is the ring of each point, that as "
            "`ring=`, in whole numbers; `segment` takes times, too."
        )
    return " Transpose them." if array.ndim == 2 and array.shape[0] == columns else ""


def as_points(points: Any, columns: int) -> FloatArray:
    """Return `points` as float32 [N, columns].

    Raises:
        DataError: if they have another shape, or are no real numbers.
    """
    array = as_array(points, "Points")
    if array.ndim != 2 or array.shape[1] != columns:
        expected = ", ".join(COLUMNS[:columns])
        raise DataError(
            f"Points must have the shape [N, {columns}] ({expected}), but have {list(array.shape)}."
            + _advice_on_columns(array, columns)
        )
    if array.dtype.kind not in "fiu":
        raise DataError(f"Points must be real numbers, best float32, but are {array.dtype}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and so has no direction
        return array.astype(np.float32, copy=False)


def as_intensity(intensity: Any, num_points: int) -> FloatArray:
    """Return `intensity` as float32 [N].

    Raises:
        DataError: if it has another shape, or does not hold real numbers.
    """
    array = _one_for_each(intensity, "`intensity`", num_points)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        return array.astype(np.float32, copy=False)


def as_ring(ring: Any, num_points: int) -> IntArray:
    """Return `ring` as int32 [N]; whole numbers may be floats, as in a column of a table of float32.

    Raises:
        DataError: if it has another shape, or does not hold whole numbers.
    """
    array = _one_for_each(ring, "`ring`", num_points, what=_WHOLE)
    if array.dtype.kind == "f":
        others = array[~(np.isfinite(array) & (np.floor(array) == array))]
        if len(others):
            raise DataError(
                f"`ring` must hold {_WHOLE} for each of the {num_points} points, but holds {others[0]:g}."
            )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= np.iinfo(np.int32).max:
        raise DataError(f"Rings count from 0 or 1, but are {array.min()} to {array.max()}.")
    return array.astype(np.int32, copy=False)


def as_time(time: Any, num_points: int) -> DoubleArray:
    """Return `time` as float64 [N].

    Raises:
        DataError: if it has another shape, or does not hold real numbers.
    """
    return _one_for_each(time, "`time`", num_points).astype(np.float64, copy=False)


def _one_for_each(values: Any, name: str, num_points: int, *, what: str = "a number") -> npt.NDArray[Any]:
    """Return values [N] that are real numbers."""
    array = as_array(values, name)
    if array.shape != (num_points,) or array.dtype.kind not in "fiu":
        raise DataError(
            f"{name} must hold {what} for each of the {num_points} points, but has the shape "
            f"{list(array.shape)} and type {array.dtype}."
        )
    return array
