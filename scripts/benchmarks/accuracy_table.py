"""Tables of architectures that were trained and measured: NAS-Bench-201's cells, read from two CSV files.

Not every cell needs to be there. What lacks the accuracy or the latency of a device is left out on that
device; how many these are is said on stderr.
"""

from __future__ import annotations

import csv
import math
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray
from hwnas.errors import did_you_mean
from hwnas.io_spec import dense_logits
from hwnas.search_spaces.cells import EDGES, ENCODING_PARTS, OPERATIONS, Cell, encode_cell

Rows = list[dict[str, str]]


class TableSpace:
    """Six operations; every combination is an architecture of its own, as in the table."""

    name = "nas-bench-201"
    encoding_parts = ENCODING_PARTS

    def __init__(self, cells: Iterable[tuple[str, ...]] = ()) -> None:
        """Offer what these cells have on each edge; everything without cells."""
        used = list(zip(*cells, strict=True)) or [OPERATIONS] * len(EDGES)
        self.choices: dict[str, tuple[str, ...]] = {
            f"edge{number}": tuple(name for name in OPERATIONS if name in names)
            for number, names in enumerate(map(set, used), start=1)
        }

    def decode(self, choices: dict[str, Any]) -> Architecture:
        """Return the cell with these operations."""
        return Architecture(self.name, choices, (3, 32, 32), dense_logits(10))

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return the features of its cell; edges that nothing depends on are as if there were none."""
        return encode_cell(Cell.of(architecture.genes).pruned())


@dataclass(frozen=True)
class Table:
    """Everything about up to 15,625 architectures, in the order of the file of accuracies.

    Attributes:
        rows: positions by the operations of an architecture.
        seen: accuracies of one training, NaN where there is none.
        scored: means of all trainings.
        latency_ms: by device; NaN where an architecture lacks it or the accuracy, so that it does not count.
        floor: accuracy that counts as nothing, per cent.
    """

    rows: dict[tuple[str, ...], int]
    seen: DoubleArray
    scored: DoubleArray
    latency_ms: dict[str, DoubleArray]
    floor: float

    def usable(self, device: str) -> list[int]:
        """Return the rows that count on a device."""
        return [int(row) for row in np.flatnonzero(np.isfinite(self.latency_ms[device]))]

    def hypervolume(self, device: str, rows: list[int]) -> float:
        """Return the area under the staircase, in per cent times milliseconds, of those rows that count."""
        latency_ms = self.latency_ms[device]
        counting = [row for row in rows if math.isfinite(latency_ms[row])]
        gained, height, begin = 0.0, 0.0, 0.0
        for row in sorted(counting, key=lambda row: float(latency_ms[row])):
            gained += height * (float(latency_ms[row]) - begin)
            begin = float(latency_ms[row])
            height = max(height, float(self.scored[row]) - self.floor)
        return gained + height * (float(np.nanmax(latency_ms)) - begin)


def load(accuracy: Path, latency: Path, devices: list[str], seen: str, floor: float) -> Table:
    """Read both files and join them by `index`; what cannot be used ends the program with a message."""
    rows, columns = _read(accuracy, "column", ["index", "ops", seen])
    measured, _ = _read(latency, "device", ["index", *devices])
    times = {row["index"]: row for row in measured}
    cells = [_cell(accuracy, row) for row in rows]
    _check_distinct(accuracy, "operations", (row["ops"].zfill(6) for row in rows))
    numbered = re.fullmatch(r"(.+_s)\d+", seen)
    trainings = [name for name in columns if numbered and re.fullmatch(rf"{re.escape(numbered[1])}\d+", name)]
    accuracies = {name: _numbers(accuracy, rows, name, 100.0) for name in {seen, *trainings}}
    untrained = np.isnan(accuracies[seen])
    joined = [times.get(row["index"], {"index": row["index"]}) for row in rows]
    num_unknown = len(times.keys() - {row["index"] for row in rows})
    latency_ms = {}
    for device in devices:
        found = _numbers(latency, joined, device, math.inf)
        unmeasured = np.isnan(found) & ~untrained
        found[untrained] = np.nan
        latency_ms[device] = found
        _tell_left_out(
            device, len(rows) + num_unknown, int(untrained.sum()) + num_unknown, int(unmeasured.sum())
        )
    table = Table(
        {cell: number for number, cell in enumerate(cells)},
        accuracies[seen],
        np.array(
            [
                _mean(values)
                for values in zip(*(accuracies[name] for name in trainings or [seen]), strict=True)
            ]
        ),
        latency_ms,
        floor,
    )
    for device in devices:
        usable = table.usable(device)
        if not usable or not table.hypervolume(device, usable) > 0:
            refuse(
                f"Expected architectures over {floor:g} per cent in {seen!r} with latencies on {device!r}, "
                f"but none of {len(usable):,} with both gains anything; check the files, or lower the floor."
            )
    return table


def refuse(message: str) -> NoReturn:
    """End the program as argparse does for wrong arguments."""
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    raise SystemExit(2)


def _read(path: Path, what: str, wanted: Sequence[str]) -> tuple[Rows, list[str]]:
    """Return the rows, blank where they end too early, and the names of the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        refuse(f"Expected a CSV file in UTF-8 with a header, but {path} cannot be read as one: {error}.")
    for name in wanted:
        if name not in columns:
            known = [each for each in columns if each != "index"]
            kind = what if name != "index" else "column"
            refuse(
                f"Expected a {kind} {name!r} in {path}, but it has {', '.join(known) or 'none'}; name one of "
                f"these or add it.{did_you_mean(name, known)}"
            )
    for number, row in enumerate(rows, start=1):
        if None in row:
            refuse(
                f"Expected {len(columns)} fields in row {number} of {path}, but got more; check its commas."
            )
    _check_distinct(path, "index", (row["index"] for row in rows))
    return rows, columns


def _check_distinct(path: Path, what: str, values: Iterable[str]) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        refuse(
            f"Expected every {what} once in {path}, but {twice[0]!r} is there again; remove one of the rows."
        )


def _cell(path: Path, row: dict[str, str]) -> tuple[str, ...]:
    # Spreadsheets drop zeros at the beginning.
    if not re.fullmatch(r"[0-4]{1,6}", row["ops"]):
        refuse(
            f"Expected six digits from 0 to 4 as `ops` of index {row['index']} in {path}, but got "
            f"{row['ops']!r}; correct it or remove the row."
        )
    return tuple(OPERATIONS[int(digit)] for digit in row["ops"].zfill(6))


def _numbers(path: Path, rows: Rows, column: str, most: float) -> DoubleArray:
    """Return a column as numbers from 0 to `most`, NaN where there is none."""
    return np.array([_number(path, row, column, most) for row in rows], np.float64)


def _number(path: Path, row: dict[str, str], column: str, most: float) -> float:
    text = row.get(column, "").strip()
    try:
        value = float(text or "nan")
    except ValueError:
        value = -1.0
    if not math.isfinite(value):
        return math.nan
    if not 0 <= value <= most:
        expected = f"a number from 0 to {most:g}" if math.isfinite(most) else "a number of at least 0"
        refuse(
            f"Expected {expected} as {column!r} of index {row['index']} in {path}, but got {text!r}; correct "
            "it, or blank it to leave the row out."
        )
    return value


def _mean(values: Iterable[float]) -> float:
    known = [float(value) for value in values if math.isfinite(value)]
    return statistics.fmean(known) if known else math.nan


def _tell_left_out(device: str, num_rows: int, untrained: int, unmeasured: int) -> None:
    if untrained + unmeasured:
        print(
            f"{device}: {untrained + unmeasured:,} of {num_rows:,} architectures are left out: {untrained:,} "
            f"lack the accuracy, {unmeasured:,} the latency.",
            file=sys.stderr,
        )
