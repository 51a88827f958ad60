#!/usr/bin/env python3
"""Latency of a device from few measurements, given tables of other devices: how well networks are ranked.

    python scripts/benchmarks/few_shot_latency.py --latencies CSV --train-devices a,b,c --test-devices d,e \
        --samples 10 --seeds 20 [--json]

CSV has one row a network: `index`, columns that describe it if there are any (such as `op_idx`), and one
column a device with milliseconds. The protocol is that of HELP (Lee et al., NeurIPS 2021): samples come from
the first networks, the ranking is evaluated on later ones, and of each the fastest and the slowest tenth of
the device in question are left out; unlike there, the samples are all that is measured. Beside the method
stand ridge regression on the logarithms of the other devices' latencies, with samples drawn at random and
with those that the method chose, and the mean of the other devices, which needs no sample.

Where nothing describes the networks and they are 15,625, they are taken for those of NAS-Bench-201, whose
order is known; `--description none` keeps it from that. With `--json` the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.errors import HwnasError, LatencyTableError, did_you_mean
from hwnas.latency.predict.few_shot import NetworkPool, choose_samples, learn_likeness, predict
from hwnas.one_thread import one_thread
from hwnas.rank_correlation import spearman_rho

Index = npt.NDArray[np.intp]

CELLS = 5**6
"""Networks of NAS-Bench-201: five operations on six edges."""
LEFT_OUT = 0.1
RIDGE = 1.0
PROTOCOL = (900, 1900)


@dataclass(frozen=True)
class Table:
    """Latencies by device, and what describes the networks."""

    latency_ms: dict[str, DoubleArray]
    choices: npt.NDArray[np.int64]
    description: str


def main() -> None:
    """Predict every test device, print, compare."""
    arguments = _arguments()
    try:
        table = _read(arguments.latencies, arguments.description)
        train, test = (_devices(table, names) for names in (arguments.train_devices, arguments.test_devices))
        both = sorted({*train} & {*test})
        if both:
            raise LatencyTableError(f"{both} stand among the train and the test devices.")
        with one_thread():
            summary = _benchmark(table, train, test, arguments)
    except HwnasError as error:
        sys.exit(f"Error: {error}")
    if arguments.json:
        print(json.dumps(summary))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latencies", type=Path, required=True, metavar="CSV")
    parser.add_argument("--train-devices", required=True, help="names of columns, separated by commas")
    parser.add_argument("--test-devices", required=True, help="names of columns, separated by commas")
    parser.add_argument(
        "--samples", type=int, default=10, help="networks measured on the test device, from 3"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--pool", type=int, help="networks to sample from, the first ones; 900, or four fifths of few"
    )
    parser.add_argument(
        "--query", type=int, help="networks to evaluate on, those after; 1000, or the other fifth"
    )
    parser.add_argument(
        "--description", default="auto", help="columns that describe networks; `auto`, or `none`"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.samples < 3 or arguments.seeds < 1:
        parser.error("there must be at least 3 samples and 1 seed")
    return arguments


def _read(path: Path, description: str) -> Table:
    """Read a CSV file.

    Raises:
        LatencyTableError: if it is no table of numbers, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream)
    except (OSError, ValueError) as error:
        raise LatencyTableError(f"{path} cannot be read as a CSV file: {error}") from error
    if not rows or any(len(row) != len(header) for row in rows):
        raise LatencyTableError(f"{path} needs a header and rows of {len(header)} values each.")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    index = columns.pop("index", None)
    if description == "auto":
        described = [name for name, values in columns.items() if _describes(values[0])]
    else:
        described = [] if description == "none" else description.split(",")
    for name in described:
        if name not in columns:
            raise LatencyTableError(f"{path} has no column {name!r}.{did_you_mean(name, list(columns))}")
    numbers = _numbers({name: values for name, values in columns.items() if name not in described})
    choices = _choices([columns[name] for name in described], len(rows))
    said = ", ".join(described) or "nothing"
    if description == "auto" and not described and len(rows) == CELLS and index is not None:
        order = np.array(index, np.int64)
        if sorted(order) == list(range(CELLS)):
            choices, said = _cells()[order], "the order of NAS-Bench-201"
    return Table(numbers, choices, said)


def _numbers(columns: Mapping[str, Sequence[str]]) -> dict[str, DoubleArray]:
    numbers = {}
    for name, values in columns.items():
        try:
            numbers[name] = np.array(values, np.float64)
        except ValueError as error:
            raise LatencyTableError(
                f"The column {name!r} is neither numbers nor named in --description: {error}."
            ) from error
    return numbers


def _describes(value: str) -> bool:
    """Return whether a value is a list of choices: no number, or more digits than a latency has."""
    return (
        re.fullmatch(r"[0-9.]+(e[+-]?[0-9]+)?", value.strip()) is None
        or re.fullmatch(r"[0-9]{10,}", value.strip()) is not None
    )


def _choices(columns: Sequence[Sequence[str]], rows: int) -> npt.NDArray[np.int64]:
    """Return categories [rows, places]: parts between separators, or single characters."""
    parts = []
    for values in columns:
        split = [re.findall(r"[^_,|+~\s-]+", value) for value in values]
        if all(len(each) == 1 for each in split):
            width = max(len(value) for value in values)
            split = [list(value.zfill(width)) for value in values]
        if len({len(each) for each in split}) != 1:
            raise LatencyTableError("Networks must be described by equally many parts each.")
        parts += list(zip(*split, strict=True))
    if not parts:
        return np.zeros((rows, 0), np.int64)
    # One numbering for all places: the same choice is the same operation wherever it stands.
    known = sorted({value for part in parts for value in part})
    codes = {value: code for code, value in enumerate(known)}
    return np.array([[codes[value] for value in part] for part in parts], np.int64).T


def _cells() -> npt.NDArray[np.int64]:
    """Return the operations on the six edges of every NAS-Bench-201 cell, in the order of the benchmark.

    0 none, 1 skip, 2 convolution 1x1, 3 convolution 3x3, 4 average pooling. Source: Dong & Yang,
    "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020; the order is
    that of a shuffle of all combinations with the seed that its code fixes.
    """
    cells = list(itertools.product(range(5), repeat=6))
    random.Random(88).shuffle(cells)  # noqa: S311 - no secret
    return np.array(cells, np.int64)


def _devices(table: Table, names: str) -> list[str]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise LatencyTableError("Name at least one device.")
    for name in chosen:
        if name not in table.latency_ms:
            known = list(table.latency_ms)
            raise LatencyTableError(
                f"There is no device {name!r}; there are {known}.{did_you_mean(name, known)}"
            )
        values = table.latency_ms[name]
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise LatencyTableError(f"Latencies of {name!r} must be finite and positive in every row.")
    return chosen


def _counts(choices: npt.NDArray[np.int64]) -> DoubleArray:
    """Return how often each choice occurs in a network: what it costs hardly depends on the place."""
    if not choices.shape[1]:
        return np.zeros((len(choices), 0))
    return np.stack([(choices == value).sum(axis=1) for value in range(choices.max() + 1)], axis=1).astype(
        float
    )


def _benchmark(
    table: Table, train: list[str], test: list[str], arguments: argparse.Namespace
) -> dict[str, object]:
    networks = len(table.choices)
    few = networks < 2 * PROTOCOL[1]
    pool_end = arguments.pool or (networks * 4 // 5 if few else PROTOCOL[0])
    query_end = min(
        networks, pool_end + (arguments.query or (networks if few else PROTOCOL[1] - PROTOCOL[0]))
    )
    known = NetworkPool(
        np.column_stack([table.latency_ms[name] for name in train]), _counts(table.choices), table.choices
    )
    started = time.monotonic()
    candidates = np.arange(pool_end)
    likeness = learn_likeness(known, candidates, arguments.samples, np.random.default_rng(0))
    print(f"networks are described by {table.description}; learnt from {len(train)} devices: {likeness}\n")
    found: dict[str, dict[str, list[float]]] = {}
    for device in test:
        truth_ms = table.latency_ms[device]
        pool, query = (
            _without_extremes(part, truth_ms) for part in (candidates, np.arange(pool_end, query_end))
        )
        scores: dict[str, list[float]] = {}
        for seed in range(arguments.seeds):
            rng = np.random.default_rng(seed)
            chosen = choose_samples(known, pool, arguments.samples, rng, likeness)
            drawn = rng.choice(pool, arguments.samples, replace=False)
            ours = predict(known, chosen, truth_ms[chosen], query, likeness).latency_ms
            for name, predicted in (
                ("few-shot", ours),
                ("ridge, random samples", _ridge(known, drawn, truth_ms[drawn], query)),
                ("ridge, chosen samples", _ridge(known, chosen, truth_ms[chosen], query)),
                ("mean of the other devices", known.devices[query].mean(axis=1)),
            ):
                score = spearman_rho(predicted, truth_ms[query])
                scores.setdefault(name, []).append(score)
        found[device] = scores
    return _printed(found, time.monotonic() - started)


def _without_extremes(networks: Index, truth_ms: DoubleArray) -> Index:
    """Leave out the fastest and the slowest tenth."""
    order = networks[np.argsort(truth_ms[networks], kind="stable")]
    cut = int(LEFT_OUT * len(order))
    return np.sort(order[cut : len(order) - cut])


def _ridge(pool: NetworkPool, samples: Index, measured_ms: DoubleArray, query: Index) -> DoubleArray:
    """Return what ridge regression on the other devices' standardised log-latencies predicts."""
    features, values = pool.devices[samples], np.log(measured_ms)
    centre = features.mean(axis=0)
    centred = features - centre
    gram = centred.T @ centred + RIDGE * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (values - values.mean()))
    return np.asarray((pool.devices[query] - centre) @ weights + values.mean())


def _printed(found: dict[str, dict[str, list[float]]], seconds: float) -> dict[str, object]:
    """Print Spearman's rank correlation by device, mean and deviation over seeds; return the figures."""
    methods = list(next(iter(found.values())))
    print(f"| device | {' | '.join(methods)} |\n|---{'|---' * len(methods)}|")
    for device, scores in found.items():
        cells = [f"{np.mean(scores[name]):.3f} ± {np.std(scores[name]):.3f}" for name in methods]
        print(f"| {device} | {' | '.join(cells)} |")
    means = {name: float(np.mean([np.mean(scores[name]) for scores in found.values()])) for name in methods}
    print(f"| **mean** | {' | '.join(f'**{means[name]:.3f}**' for name in methods)} |\n")
    seeds = len(next(iter(found.values()))[methods[0]])
    print(
        f"Spearman's rank correlation, mean ± standard deviation over {seeds} seeds; {seconds:.0f} s in all."
    )

    def by_device(name: str) -> dict[str, float]:
        return {device: round(float(np.mean(scores[name])), 4) for device, scores in found.items()}

    return {
        "mean_spearman": round(means[methods[0]], 4),
        "per_device": by_device(methods[0]),
        "baselines": {
            name: {"mean_spearman": round(means[name], 4), "per_device": by_device(name)}
            for name in methods[1:]
        },
    }


if __name__ == "__main__":
    main()
