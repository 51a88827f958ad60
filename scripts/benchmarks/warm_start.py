"""What a warm start gains, on tables of trained and measured cells: other data, other devices.

For every transfer `DATA@DEVICE>DATA@DEVICE` and seed, a study on the first is played with `--source` distinct
architectures; its front as the study saw it, thinned out evenly to `--taken`, is tried first by a study on
the second. Beside it the same study without that. Files, scores and what a strategy sees are those of
`strategies.py`: hypervolume relative to that of the whole table; one training is seen, the mean of all is
scored.
Prints a table in Markdown and, with `--json`, one object as the last line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from strategies import Table, TableSpace, load

from hwnas.architecture import Architecture
from hwnas.pareto import front_indices
from hwnas.search.strategies import (
    EarlierStudy,
    LatencyPrediction,
    Limits,
    StrategyContext,
    distributions_of,
    make_sampler,
)

FLOORS = {"c10_val_s1": 80.0, "c100_val_s1": 60.0, "in16_val_s1": 35.0}
"""Accuracy in per cent that counts as nothing, for each column that strategies see."""
MAX_REPEATS = 1000


def played(
    table: Table,
    device: str,
    strategy: str,
    seed: int,
    marks: list[int],
    first: Sequence[int] = (),
    earlier: Sequence[EarlierStudy] = (),
) -> tuple[list[int], dict[str, float]]:
    """Play one study until the last mark; return the rows in order of asking, and the ratios at the marks.

    Args:
        table: of one data set.
        device: whose latencies count.
        strategy: by name.
        seed: of the strategy.
        marks: distinct architectures after which to score.
        first: rows that are tried before the strategy is asked.
        earlier: studies that the strategy learns from.
    """
    space, times = TableSpace(), table.latency_ms[device]

    def row_of(architecture: Architecture) -> int:
        return table.rows[tuple(str(architecture.genes[gene]) for gene in space.choices)]

    def predict(architecture: Architecture) -> LatencyPrediction:
        latency_ms = max(float(times[row_of(architecture)]), 1e-3)
        return LatencyPrediction(latency_ms, (latency_ms, latency_ms))

    context = StrategyContext(space, predict, Limits(None, max(marks)), seed, earlier=earlier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(directions=["minimize"] * 2, sampler=make_sampler(strategy, context))
    cells = list(table.rows)
    for row in first:
        study.enqueue_trial(dict(zip(space.choices, cells[row], strict=True)))
    best = table.hypervolume(device, list(range(len(times))))
    found: list[int] = []
    ratios: dict[str, float] = {}
    asked = 0
    while len(found) < max(marks) and asked < max(marks) + MAX_REPEATS:
        trial = study.ask(dict(distributions_of(space)))
        asked += 1
        row = row_of(space.decode(trial.params))
        study.tell(trial, [1 - table.seen[row] / 100, max(float(times[row]), 1e-3)])
        if row not in found:
            found.append(row)
            if len(found) in marks:
                ratios[str(len(found))] = table.hypervolume(device, found) / best
    return found, ratios


def thinned(table: Table, device: str, rows: list[int], number: int) -> list[int]:
    """Return so many rows of the front that a study saw, spread evenly with both ends."""
    points = [(-float(table.seen[row]), float(table.latency_ms[device][row])) for row in rows]
    front = [rows[index] for index in front_indices(points)]
    if len(front) <= number:
        return front
    steps = [round(place * (len(front) - 1) / (number - 1)) for place in range(number)]
    return [front[step] for step in dict.fromkeys(steps)]


def main() -> None:
    """Play all transfers and print what the warm start gains."""
    arguments = parsed()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ends = {end for transfer in arguments.transfers for end in transfer.split(">")}
    devices = sorted({end.split("@")[1] for end in ends})
    tables = {
        data: load(arguments.accuracy, arguments.latency, devices, data, FLOORS[data])
        for data in sorted({end.split("@")[0] for end in ends})
    }
    marks = [str(mark) for mark in arguments.evaluations]
    columns = " | ".join(f"cold {mark} | warm {mark} | gain {mark}" for mark in marks)
    print(f"| from | to | {columns} |\n|{' --- |' * (2 + 3 * len(marks))}")
    reported: dict[str, Any] = {}
    gains: dict[str, list[float]] = {mark: [] for mark in marks}
    for transfer in arguments.transfers:
        pairs = [compared(tables, transfer, arguments, seed) for seed in range(arguments.seeds)]
        reported[transfer] = pairs
        cells = []
        for mark in marks:
            cold = statistics.fmean(pair["cold"][mark] for pair in pairs)
            warm = statistics.fmean(pair["warm"][mark] for pair in pairs)
            each = [pair["warm"][mark] - pair["cold"][mark] for pair in pairs]
            gains[mark] += each
            cells += [f"{cold:.3f}", f"{warm:.3f}", with_error(each)]
        print(f"| {transfer.replace('>', ' | ')} | {' | '.join(cells)} |", flush=True)
    means = "".join(f" | | {with_error(gains[mark])} |" for mark in marks)
    print(f"| **all** | |{means}")
    if arguments.json:
        print(json.dumps(reported))


def compared(
    tables: dict[str, Table], transfer: str, arguments: argparse.Namespace, seed: int
) -> dict[str, dict[str, float]]:
    """Return the ratios of a cold and of a warm study at the marks."""
    (source, source_device), (target, target_device) = (end.split("@") for end in transfer.split(">"))
    # Another seed, as another person's study would have.
    rows, _ = played(tables[source], source_device, arguments.strategy, 1000 + seed, [arguments.source])
    first = thinned(tables[source], source_device, rows, arguments.taken)
    marks = arguments.evaluations
    _, cold = played(tables[target], target_device, arguments.strategy, seed, marks)
    _, warm = played(tables[target], target_device, arguments.strategy, seed, marks, first)
    return {"cold": cold, "warm": warm}


def with_error(values: list[float]) -> str:
    """Return a mean difference with its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):+.3f} ± {error:.3f}"


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument(
        "--transfers",
        type=lambda text: text.split(","),
        default=[
            "c10_val_s1@gold_6240>c100_val_s1@gold_6240",
            "c100_val_s1@gold_6240>in16_val_s1@gold_6240",
            "c10_val_s1@1080ti_1>in16_val_s1@1080ti_1",
            "c100_val_s1@1080ti_1>c100_val_s1@pixel3",
            "c100_val_s1@pixel3>c100_val_s1@titan_rtx_1",
            "c10_val_s1@pixel3>in16_val_s1@gold_6240",
        ],
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strategy", default="surrogate")
    parser.add_argument("--source", type=int, default=100, help="evaluations of the earlier study")
    parser.add_argument("--taken", type=int, default=8, help="networks of its front that are tried first")
    parser.add_argument(
        "--evaluations", type=lambda text: [int(each) for each in text.split(",")], default=[25, 50]
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
