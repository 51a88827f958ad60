"""Compares strategies on tables of architectures that were all trained and measured: NAS-Bench-201's cells.

`--accuracy` is a CSV with the columns `index`, `ops` (six digits, one an edge: 0 none, 1 skip_connect, 2
nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3) and validation accuracies in per cent; `--latency` one with
`index` and a column of milliseconds for every device. A strategy sees the accuracy of one training
(`--seen`) and is scored by the mean of all trainings: the area under the staircase of latency and accuracy,
above `--floor` per cent and up to the largest latency in the table, relative to that of the whole table.
Distinct architectures are counted; a latency is known before asking, as from a latency table.

A device, strategy and seed is one study; those in `--results` are not repeated, so that a run that was
stopped goes on. Prints a table in Markdown, and with `--json` one object as the last line: strategy ->
device -> evaluations -> mean hypervolume ratio.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import optuna
from peers import PEERS

from hwnas.architecture import Architecture
from hwnas.search.strategies import (
    LatencyPrediction,
    Limits,
    StrategyContext,
    distributions_of,
    make_sampler,
)
from hwnas.search_spaces.cells import ENCODING_PARTS, OPERATIONS, Cell, encode_cell

Floats = npt.NDArray[np.float64]
MAX_REPEATS = 1000
"""A strategy that proposes so many known architectures in a row gets a new one drawn for it."""


class TableSpace:
    """Six operations; every combination is an architecture of its own, as in the table."""

    name = "nas-bench-201"
    encoding_parts = ENCODING_PARTS
    choices: ClassVar[dict[str, tuple[str, ...]]] = {f"edge{number}": OPERATIONS for number in range(1, 7)}

    def decode(self, choices: dict[str, Any]) -> Architecture:
        """Return the cell with these operations."""
        return Architecture(self.name, choices, (3, 32, 32), 10)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return the features of its cell; edges that nothing depends on are as if there were none."""
        return encode_cell(Cell.of(architecture.genes).pruned())


@dataclass(frozen=True)
class Table:
    """Everything about 15,625 architectures; figures by the operations of an architecture."""

    rows: dict[tuple[str, ...], int]
    seen: Floats
    scored: Floats
    latency_ms: dict[str, Floats]
    floor: float

    def hypervolume(self, device: str, rows: list[int]) -> float:
        """Return the area under the staircase, in per cent times milliseconds."""
        latency_ms = self.latency_ms[device]
        gained, height, begin = 0.0, 0.0, 0.0
        for row in sorted(rows, key=lambda row: float(latency_ms[row])):
            gained += height * (float(latency_ms[row]) - begin)
            begin = float(latency_ms[row])
            height = max(height, float(self.scored[row]) - self.floor)
        return gained + height * (float(latency_ms.max()) - begin)


def load(accuracy: Path, latency: Path, devices: list[str], seen: str, floor: float) -> Table:
    """Read both files and join them by `index`."""
    with accuracy.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with latency.open(newline="", encoding="utf-8") as file:
        times = {row["index"]: row for row in csv.DictReader(file)}
    trainings = [name for name in rows[0] if name.startswith(seen.rsplit("_s", 1)[0] + "_s")]
    scored = [statistics.fmean(float(row[name]) for name in trainings if row[name]) for row in rows]
    cells = [tuple(OPERATIONS[int(digit)] for digit in row["ops"].zfill(6)) for row in rows]
    return Table(
        {cell: number for number, cell in enumerate(cells)},
        np.array([float(row[seen]) for row in rows]),
        np.array(scored),
        {device: np.array([float(times[row["index"]][device]) for row in rows]) for device in devices},
        floor,
    )


class Played:
    """One strategy over the table: ours and Optuna's as a study, those of other libraries as they are."""

    def __init__(self, table: Table, device: str, strategy: str, seed: int, evaluations: int) -> None:
        """Begin a search."""
        self._space = TableSpace()
        self.rows, self._times = table.rows, np.maximum(table.latency_ms[device], 1e-3)
        self._seen = table.seen
        self._peer = PEERS[strategy](self._space.choices, evaluations, seed) if strategy in PEERS else None
        context = StrategyContext(self._space, self._predict, Limits(None, evaluations), seed)
        sampler = None if self._peer else make_sampler(strategy, context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)

    def step(self, row: int | None = None) -> tuple[int, float]:
        """Ask, train and tell one architecture; return its row and the seconds of asking.

        Args:
            row: what to take instead of asking a strategy that only repeats itself.
        """
        cells = list(self.rows) if row is not None else []
        given = dict(zip(self._space.choices, cells[row], strict=True)) if row is not None else None
        began = time.process_time()
        if self._peer is not None:
            choices = given or self._peer.propose()
            asked_s = time.process_time() - began
            row = self._row(choices)
            if given is None:
                self._peer.tell(choices, *self._values(row))
            return row, asked_s
        if given is not None:
            self._study.enqueue_trial(given)
        trial = self._study.ask(dict(distributions_of(self._space)))
        asked_s = time.process_time() - began
        row = self._row(trial.params)
        self._study.tell(trial, self._values(row))
        return row, asked_s

    def _values(self, row: int) -> tuple[float, float]:
        return 1 - float(self._seen[row]) / 100, float(self._times[row])

    def _row(self, choices: Mapping[str, Any]) -> int:
        return self.rows[tuple(str(choices[gene]) for gene in self._space.choices)]

    def _predict(self, architecture: Architecture) -> LatencyPrediction:
        latency_ms = float(self._times[self._row(architecture.genes)])
        return LatencyPrediction(latency_ms, (latency_ms, latency_ms))


def play(table: Table, device: str, strategy: str, seed: int, marks: list[int]) -> dict[str, Any]:
    """Run one search, and return the hypervolume ratio at the marks and the seconds of a proposal."""
    played, rng = Played(table, device, strategy, seed, max(marks)), np.random.default_rng(seed)
    num_rows = len(table.seen)
    best = table.hypervolume(device, list(range(num_rows)))
    found: list[int] = []
    seconds, ratios, repeats = [], {}, 0
    while len(found) < max(marks):
        forced = None
        if repeats >= MAX_REPEATS:
            forced = int(rng.choice(sorted(set(range(num_rows)) - set(found))))
        row, asked_s = played.step(forced)
        seconds.append(asked_s)
        repeats = repeats + 1 if row in found else 0
        if not repeats:
            found.append(row)
            if len(found) in marks:
                ratios[str(len(found))] = table.hypervolume(device, found) / best
    return {"ratios": ratios, "proposal_s": statistics.fmean(seconds), "trials": len(seconds)}


def main() -> None:
    """Play what is asked for, and print it."""
    arguments = parsed()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = load(arguments.accuracy, arguments.latency, arguments.devices, arguments.seen, arguments.floor)
    results: dict[str, Any] = {}
    if arguments.results and arguments.results.exists():
        results = json.loads(arguments.results.read_text(encoding="utf-8"))
    key = f"{arguments.seen} {arguments.floor:g} {max(arguments.evaluations)}"
    for seed, device, strategy in itertools.product(
        seeds_of(arguments), arguments.devices, arguments.strategies
    ):
        name = f"{key} {strategy} {device} {seed}"
        if name not in results:
            results[name] = play(table, device, strategy, seed, arguments.evaluations)
            if arguments.results:
                part = arguments.results.with_suffix(".part")
                part.write_text(json.dumps(results), encoding="utf-8")
                part.replace(arguments.results)
    report(arguments, {name: results[name] for name in results if name.startswith(key)})


def report(arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    """Print means over seeds by device, and over all devices with their standard errors."""
    marks = [str(mark) for mark in arguments.evaluations]
    chosen: dict[str, dict[str, dict[str, float]]] = {}
    print(f"| strategy | device | {' | '.join(marks)} | ms a proposal |\n|{' --- |' * (3 + len(marks))}")
    for strategy in arguments.strategies:
        everywhere: list[dict[str, float]] = []
        cost_ms = []
        for device in arguments.devices:
            played = [
                value
                for name, value in results.items()
                if name.split()[3:5] == [strategy, device] and int(name.split()[5]) in seeds_of(arguments)
            ]
            everywhere += [one["ratios"] for one in played]
            cost_ms += [1e3 * one["proposal_s"] for one in played]
            means = {mark: statistics.fmean(one["ratios"][mark] for one in played) for mark in marks}
            chosen.setdefault(strategy, {})[device] = means
            figures = " | ".join(f"{means[mark]:.3f}" for mark in marks)
            print(f"| {strategy} | {device} | {figures} | |")
        figures = " | ".join(with_error([one[mark] for one in everywhere]) for mark in marks)
        print(f"| **{strategy}** | **all** | {figures} | {statistics.fmean(cost_ms):.1f} |")
    if arguments.plot:
        draw(arguments.plot, arguments.evaluations, chosen)
    if arguments.json:
        print(json.dumps(chosen))


def seeds_of(arguments: argparse.Namespace) -> range:
    """Return the seeds that are asked for."""
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def draw(path: Path, marks: list[int], means: dict[str, dict[str, dict[str, float]]]) -> None:
    """Write a picture of the mean over devices by evaluations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for strategy, devices in means.items():
        heights = [statistics.fmean(each[str(mark)] for each in devices.values()) for mark in marks]
        is_default = strategy == "surrogate"
        axes.plot(
            marks, heights, "o-", label=strategy, lw=3 if is_default else 1.2, ms=5 if is_default else 3
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(marks, [str(mark) for mark in marks])
    axes.set_xlabel("distinct architectures trained")
    axes.set_ylabel("hypervolume, share of the true front's")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def with_error(values: list[float]) -> str:
    """Return a mean with its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {error:.3f}"


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--devices", type=lambda text: text.split(","), required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--evaluations", type=lambda text: [int(each) for each in text.split(",")], default=[25, 50, 100, 200]
    )
    parser.add_argument(
        "--strategies", type=lambda text: text.split(","), default=["random", "tpe", "nsga2", "surrogate"]
    )
    parser.add_argument("--seen", default="c100_val_s1", help="column of the accuracy that strategies see")
    parser.add_argument("--floor", type=float, default=60.0, help="accuracy that counts as nothing, per cent")
    parser.add_argument("--results", type=Path, help="JSON file of finished studies; made if missing")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
