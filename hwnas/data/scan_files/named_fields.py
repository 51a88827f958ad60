"""Fields of npy and pcd files: which of them hold what.

A field that options name must be in the file; those that nobody names may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hwnas.errors import DataError, did_you_mean
from hwnas.text import shown

FIELDS = ("x", "y", "z", "intensity", "ring", "label", "time")
TIMES = ("time", "t", "timestamp")
"""What drivers call the time of a point."""
SKIPPED_COLUMN = "_"


def refuse_missing_columns(
    names: Sequence[str], fields: Iterable[str], options: Mapping[str, Any], path: Path
) -> None:
    """Refuse `columns` that an array with named fields does not have; it needs none.

    Raises:
        DataError: naming the first of them.
    """
    known = {"time" if field in TIMES else field for field in fields}
    for name in names:
        if not name.startswith(SKIPPED_COLUMN) and name not in options and name not in known:
            raise DataError(
                f"{path} has no field {shown(name)}, which format_options.columns names; it has "
                f"{list(fields)}. Name the fields that differ instead, as in {{intensity: reflectivity}}."
            )


def columns_of_fields(values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of an array with named fields: [N], or [N, COUNT] of fields with several numbers."""
    columns = {}
    for name in values.dtype.names or ():
        count = math.prod(values.dtype[name].shape)
        column = values[name].reshape(values.size, count)
        columns[name] = column[:, 0] if count == 1 else column
    return columns


def names_in(
    columns: Mapping[str, npt.NDArray[Any]], options: Mapping[str, Any], path: Path
) -> dict[str, str]:
    """Return what a file calls each of `FIELDS`: as options say, or as drivers call the time.

    Raises:
        DataError: if options name a field that the file does not have.
    """
    names = {name: name for name in FIELDS}
    names["time"] = next((name for name in TIMES if name in columns and columns[name].ndim == 1), "")
    for name in FIELDS:
        stated = options.get(name)
        if stated is None:
            continue
        if not isinstance(stated, str):
            raise DataError(f"format_options.{name} is {shown(stated)}; expected the name of a field.")
        if stated not in columns:
            raise DataError(
                f"{path} has no field {shown(stated)}, which format_options.{name} names; it has "
                f"{list(columns)}.{did_you_mean(stated, columns)}"
            )
        names[name] = stated
    return names
