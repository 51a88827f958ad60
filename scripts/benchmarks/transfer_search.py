#!/usr/bin/env python3
"""What earlier searches are worth, on tables of trained and measured cells: another data set and device.

    python scripts/benchmarks/transfer_search.py --accuracy CSV --latency CSV [--devices A,B,...]
        [--seeds N] [--evaluations 25,50] [--results FILE] [--json]

Each data set on each device is searched once by itself (`cold`); with the fronts of earlier studies tried
first (`warm-start`); and with the strategy learning from the earlier studies (`learn-from`). Earlier studies
are those of all other data sets on all other devices, of 100 evaluations each with another seed. `misled`
learns from the same studies whose errors were exchanged among their networks. Files, scores and what a
strategy sees are those of `strategies.py`: hypervolume relative to that of the whole table; one training is
seen, the mean of all is scored.

Prints a table in Markdown, differences from `cold` with their standard errors, and with `--json` one object
as the last line: method -> evaluations -> mean hypervolume ratio. With `--results` a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import optuna
from played_studies import Results
from strategies import TableSpace, load
from warm_start import FLOORS, played, thinned

from hwnas.search.strategies import EarlierStudy

EARLIER, TAKEN = 100, 8
METHODS = ("cold", "warm-start", "learn-from", "misled")


@dataclass(frozen=True)
class End:
    """A data set on a device."""

    data: str
    device: str

    def __str__(self) -> str:
        """Return such as `c10_val_s1@pixel3`."""
        return f"{self.data}@{self.device}"


class Transfers:
    """Plays studies and remembers them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read the tables."""
        self.marks: list[int] = arguments.evaluations
        self.tables = {
            data: load(arguments.accuracy, arguments.latency, arguments.devices, data, floor)
            for data, floor in FLOORS.items()
        }
        self.ends = [End(data, device) for data in FLOORS for device in arguments.devices]
        settings = [arguments.accuracy.name, arguments.latency.name, arguments.devices, EARLIER, TAKEN]
        self.results = Results(arguments.results, settings)
        self.earlier_rows = cache(self._earlier_rows)

    def _earlier_rows(self, end: End, seed: int) -> list[int]:
        # Another seed, as another person's study would have.
        return played(self.tables[end.data], end.device, "surrogate", 1000 + seed, [EARLIER])[0]

    def sources(self, target: End) -> list[End]:
        """Return the ends of other data and other devices."""
        return [end for end in self.ends if end.data != target.data and end.device != target.device]

    def ratios(self, target: End, method: str, seed: int) -> Mapping[str, float]:
        """Return the hypervolume ratios of a study at the marks."""
        key = (str(target), method, seed)
        found = self.results.get(key, self.marks)
        if found is None:
            first = self._first(target, seed) if method == "warm-start" else []
            earlier = self._studies(target, seed, method) if method in {"learn-from", "misled"} else ()
            _, ratios = played(
                self.tables[target.data],
                target.device,
                "surrogate",
                seed,
                self.marks,
                first,
                earlier,
            )
            found = {"ratios": ratios, "proposal_s": 0.0}
            self.results.add(key, found)
        ratios = found["ratios"]
        return {str(mark): ratios[str(mark)] for mark in self.marks}

    def _first(self, target: End, seed: int) -> list[int]:
        sources = self.sources(target)
        taken = [
            row
            for end in sources
            for row in thinned(
                self.tables[end.data], end.device, self.earlier_rows(end, seed), max(TAKEN // len(sources), 2)
            )
        ]
        return list(dict.fromkeys(taken))

    def _studies(self, target: End, seed: int, method: str) -> list[EarlierStudy]:
        space, rng, found = TableSpace(), np.random.default_rng(seed), []
        for end in self.sources(target):
            table, rows = self.tables[end.data], self.earlier_rows(end, seed)
            cells = list(table.rows)
            errors = [1 - float(table.seen[row]) / 100 for row in rows]
            architectures = [space.decode(dict(zip(space.choices, cells[row], strict=True))) for row in rows]
            if method == "misled":
                errors = [float(error) for error in rng.permutation(errors)]
            found.append(EarlierStudy(str(end), end.data, tuple(architectures), tuple(errors)))
        return found


def rows_of(transfers: Transfers, seeds: int) -> Iterator[tuple[End, str, list[Mapping[str, float]]]]:
    """Yield the ratios of every target and method, over the seeds."""
    for target in transfers.ends:
        for method in METHODS:
            yield target, method, [transfers.ratios(target, method, seed) for seed in range(seeds)]


def main() -> None:
    """Play everything and print what earlier searches gain."""
    arguments = parsed()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    transfers = Transfers(arguments)
    marks = [str(mark) for mark in transfers.marks]
    print("| data @ device | method | " + " | ".join(f"{mark} evaluations" for mark in marks) + " |")
    print("|---|---|" + "---:|" * len(marks), flush=True)
    found: dict[str, list[Mapping[str, float]]] = {method: [] for method in METHODS}
    worse: dict[str, list[str]] = {method: [] for method in METHODS}
    for target, method, ratios in rows_of(transfers, arguments.seeds):
        found[method] += ratios
        cold = found["cold"][-len(ratios) :]
        print(f"| {target} | {method} | {cells(ratios, cold, marks)} |", flush=True)
        if method != "cold":
            lost = [mark for mark in marks if is_worse(differences(ratios, cold, mark))]
            worse[method] += [f"{target} after {mark}" for mark in lost]
    for method in METHODS:
        print(f"| **all** | {method} | {cells(found[method], found['cold'], marks)} |")
    for method in METHODS[1:]:
        where = ", ".join(worse[method]) or "none"
        print(f"\nWorse than cold by more than a standard error, {method}: {where}.")
    if arguments.json:
        means = {
            method: {mark: statistics.fmean(each[mark] for each in found[method]) for mark in marks}
            for method in METHODS
        }
        print(json.dumps(means))


def cells(
    ratios: Sequence[Mapping[str, float]], cold: Sequence[Mapping[str, float]], marks: Sequence[str]
) -> str:
    """Return the means at the marks, and what they are beside those of a cold start."""
    found = []
    for mark in marks:
        mean = statistics.fmean(each[mark] for each in ratios)
        gain = differences(ratios, cold, mark)
        beside = (
            ""
            if ratios is cold or not any(gain)
            else f" ({statistics.fmean(gain):+.3f} ± {error_of(gain):.3f})"
        )
        found.append(f"{mean:.3f}{beside}")
    return " | ".join(found)


def differences(
    ratios: Sequence[Mapping[str, float]], cold: Sequence[Mapping[str, float]], mark: str
) -> list[float]:
    """Return what each study gained over the cold one of its seed."""
    return [each[mark] - beside[mark] for each, beside in zip(ratios, cold, strict=True)]


def error_of(values: Sequence[float]) -> float:
    """Return the standard error of a mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def is_worse(gain: Sequence[float]) -> bool:
    """Return whether the mean is below 0 by more than its standard error."""
    return statistics.fmean(gain) < -error_of(gain)


def names(text: str) -> list[str]:
    """Return what a list separated by commas names."""
    return text.split(",")


def counts(text: str) -> list[int]:
    """Return numbers of evaluations."""
    return [int(each) for each in text.split(",")]


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--devices", type=names, default=["gold_6240", "pixel3", "1080ti_1"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=counts, default=[25, 50])
    parser.add_argument("--results", type=Path, help="file of finished studies, to go on with")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if len(arguments.devices) < 2:
        parser.error("earlier studies are of other devices: name at least two, as --devices A,B")
    return arguments


if __name__ == "__main__":
    main()
