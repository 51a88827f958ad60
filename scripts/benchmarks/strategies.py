"""Compares strategies on tables of architectures that were trained and measured: NAS-Bench-201's cells.

`--accuracy` is a CSV with the columns `index`, `ops` (six digits, one an edge: 0 none, 1 skip_connect, 2
nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3) and validation accuracies in per cent; `--latency` one with
`index` and a column of milliseconds for every device. A strategy sees the accuracy of one training
(`--seen`) and is scored by the mean of all trainings: the area under the staircase of latency and accuracy,
above `--floor` per cent and up to the largest latency in the table, relative to that of the whole table.
Distinct architectures are counted; a latency is known before asking, as from a latency table. Not all cells
need to be there: strategies choose among the operations that are, edge by edge, and one that proposes a cell
without accuracy or latency hears of a failure.

A device, strategy and seed is one study; those in `--results` are not repeated, so that a run that was
stopped goes on. Prints a table in Markdown, and with `--json` one object as the last line: strategy ->
device -> evaluations -> mean hypervolume ratio. Progress is on stderr.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import itertools
import json
import math
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from accuracy_table import Table, TableSpace, load, refuse
from optuna.trial import TrialState
from peers import PEERS
from played_studies import Results, Study

from hwnas.architecture import Architecture
from hwnas.errors import HwnasError, did_you_mean
from hwnas.plugins import plugin_names
from hwnas.search.strategies import (
    LatencyPrediction,
    Limits,
    StrategyContext,
    distributions_of,
    make_sampler,
)

MAX_REPEATS = 1000
"""A strategy that proposes nothing new so many times in a row gets a new architecture drawn for it."""
WORST = 1.0
"""Error that strategies of other libraries are told for what is not in the table: they know no failures."""

Ratios = dict[str, float]
"""Shares of the hypervolume of the whole table, by evaluations."""


class Played:
    """One strategy over the table: ours and Optuna's as a study, those of other libraries as they are."""

    def __init__(self, table: Table, device: str, strategy: str, seed: int, evaluations: int) -> None:
        """Begin a search."""
        self._space = TableSpace(table.rows)
        self.rows, self._times = table.rows, np.maximum(table.latency_ms[device], 1e-3)
        self._seen = table.seen
        self._peer = PEERS[strategy](self._space.choices, evaluations, seed) if strategy in PEERS else None
        context = StrategyContext(self._space, self._predict, Limits(None, evaluations), seed)
        sampler = None if self._peer else make_sampler(strategy, context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)

    def step(self, row: int | None = None) -> tuple[int | None, float]:
        """Ask, train and tell one architecture.

        Args:
            row: what to take instead of asking a strategy that only repeats itself.

        Returns:
            its row, None for what the table lacks; and the seconds of asking.
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
        if row is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, self._values(row))
        return row, asked_s

    def _values(self, row: int | None) -> tuple[float, float]:
        if row is None:
            return WORST, float(np.nanmax(self._times))
        return 1 - float(self._seen[row]) / 100, float(self._times[row])

    def _row(self, choices: Mapping[str, Any]) -> int | None:
        row = self.rows.get(tuple(str(choices[gene]) for gene in self._space.choices))
        return row if row is not None and math.isfinite(self._times[row]) else None

    def _predict(self, architecture: Architecture) -> LatencyPrediction | None:
        row = self._row(architecture.genes)
        if row is None:
            return None
        latency_ms = float(self._times[row])
        return LatencyPrediction(latency_ms, (latency_ms, latency_ms))


def play(table: Table, device: str, strategy: str, seed: int, marks: list[int]) -> dict[str, Any]:
    """Run one search, and return the hypervolume ratio at the marks and the seconds of a proposal."""
    played, rng = Played(table, device, strategy, seed, max(marks)), np.random.default_rng(seed)
    usable = table.usable(device)
    best = table.hypervolume(device, usable)
    found: list[int] = []
    seconds, ratios, repeats = [], {}, 0
    while len(found) < max(marks):
        forced = None
        if repeats >= MAX_REPEATS:
            forced = int(rng.choice(sorted(set(usable) - set(found))))
        row, asked_s = played.step(forced)
        seconds.append(asked_s)
        repeats = repeats + 1 if row is None or row in found else 0
        if row is not None and not repeats:
            found.append(row)
            if len(found) in marks:
                ratios[str(len(found))] = table.hypervolume(device, found) / best
    return {"ratios": ratios, "proposal_s": statistics.fmean(seconds), "trials": len(seconds)}


def main() -> None:
    """Play what is asked for, and print it."""
    arguments = parsed()
    quiet()
    check_names(arguments)
    table = load(arguments.accuracy, arguments.latency, arguments.devices, arguments.seen, arguments.floor)
    check_playable(arguments, table)
    marks = arguments.evaluations
    files = [
        hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in (arguments.accuracy, arguments.latency)
    ]
    results = Results(arguments.results, [*files, arguments.seen, arguments.floor, max(marks)])
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    studies = [
        (device, strategy, seed)
        for seed, device, strategy in itertools.product(seeds, arguments.devices, arguments.strategies)
    ]
    found = {study: known for study in studies if (known := results.get(study, marks)) is not None}
    if found:
        print(
            f"{len(found)} of {len(studies)} studies are in {arguments.results}", file=sys.stderr, flush=True
        )
    began = time.monotonic()

    def note(study: Study, one: dict[str, Any]) -> None:
        results.add(study, one)
        found[study] = one
        print(
            f"[{len(found)}/{len(studies)}] {study[1]} on {study[0]}, seed {study[2]}: "
            f"{one['ratios'][str(max(marks))]:.3f} at {max(marks)}; {time.monotonic() - began:.0f} s so far",
            file=sys.stderr,
            flush=True,
        )

    try:
        play_all(table, [study for study in studies if study not in found], marks, arguments.processes, note)
    except KeyboardInterrupt:
        print(f"Stopped after {len(found)} of {len(studies)} studies.", file=sys.stderr)
        raise SystemExit(130) from None
    report(arguments, found, seeds)


def play_all(
    table: Table,
    studies: list[Study],
    marks: list[int],
    processes: int,
    note: Callable[[Study, dict[str, Any]], None],
) -> None:
    """Play studies, one after the other or in several processes, and note each as soon as it is over."""
    if processes == 1 or len(studies) < 2:
        for study in studies:
            note(study, play(table, *study, marks))
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(
        min(processes, len(studies)), mp_context=spawn, initializer=begin_process
    ) as pool:
        try:
            waiting = {pool.submit(play, table, *study, marks): study for study in studies}
            for future in as_completed(waiting):
                note(waiting[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


def begin_process() -> None:
    """Leave it to the first process to be interrupted: it ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet()


def quiet() -> None:
    """Keep Optuna from telling of every study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def check_names(arguments: argparse.Namespace) -> None:
    """Refuse strategies that nobody knows and pictures that nobody can draw."""
    known = [*plugin_names("hwnas.strategies"), *PEERS]
    for strategy in arguments.strategies:
        if strategy not in known:
            refuse(
                f"Expected a strategy out of {', '.join(known)}, but got {strategy!r}; name one of these."
                f"{did_you_mean(strategy, known)}"
            )
    if arguments.plot and not importlib.util.find_spec("matplotlib"):
        refuse(
            "Expected matplotlib for --plot, but it is missing; install hwnas[benchmarks] or leave it out."
        )
    if arguments.plot and not arguments.plot.absolute().parent.is_dir():
        refuse(f"Expected a directory for --plot {arguments.plot}, but there is none; make it first.")


def check_playable(arguments: argparse.Namespace, table: Table) -> None:
    """Refuse more evaluations than there are architectures, and strategies that cannot begin."""
    most = max(arguments.evaluations)
    for device in arguments.devices:
        usable = len(table.usable(device))
        if most > usable:
            refuse(
                f"Expected --evaluations up to the {usable:,} architectures with accuracy and latency on "
                f"{device!r}, but got {most:,}; ask for fewer."
            )
    for strategy in arguments.strategies:
        try:
            Played(table, arguments.devices[0], strategy, 0, most)
        except ImportError as error:
            refuse(f"Expected what {strategy!r} needs, but got: {error}; install hwnas[benchmarks].")
        except HwnasError as error:
            refuse(f"Expected strategies that can play on a table, but {strategy!r} says: {error}")


def report(arguments: argparse.Namespace, results: Mapping[Study, dict[str, Any]], seeds: range) -> None:
    """Print means over seeds by device, and over all devices with their standard errors."""
    marks = [str(mark) for mark in arguments.evaluations]
    chosen: dict[str, dict[str, Ratios]] = {}
    print(f"| strategy | device | {' | '.join(marks)} | ms a proposal |\n|{' --- |' * (3 + len(marks))}")
    for strategy in arguments.strategies:
        everywhere: list[Ratios] = []
        cost_ms = []
        for device in arguments.devices:
            played = [results[device, strategy, seed] for seed in seeds]
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
        print(json.dumps(chosen, allow_nan=False))


def draw(path: Path, marks: list[int], means: dict[str, dict[str, Ratios]]) -> None:
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
    parser.add_argument(
        "--devices", type=names, required=True, help='a,b,...; a name with a comma in it as "a,b"'
    )
    parser.add_argument("--seeds", type=at_least(1), default=10)
    parser.add_argument("--evaluations", type=increasing, default=[25, 50, 100, 200])
    parser.add_argument("--strategies", type=names, default=["random", "tpe", "nsga2", "surrogate"])
    parser.add_argument("--seen", default="c100_val_s1", help="column of the accuracy that strategies see")
    parser.add_argument(
        "--floor", type=finite, default=60.0, help="accuracy that counts as nothing, per cent"
    )
    parser.add_argument("--results", type=Path, help="JSON file of finished studies; made if missing")
    parser.add_argument("--first-seed", type=at_least(0), default=0)
    parser.add_argument(
        "--processes", type=at_least(1), default=1, help="studies played at a time; results are the same"
    )
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def names(text: str) -> list[str]:
    """Return names between commas, each once."""
    found = next(csv.reader([text]), [])
    if not all(found) or not found:
        raise argparse.ArgumentTypeError(f"expected names between commas, such as a,b, but got {text!r}")
    return list(dict.fromkeys(found))


def increasing(text: str) -> list[int]:
    """Return numbers of evaluations."""
    found = [int(each) for each in text.split(",") if each.strip().isdecimal()]
    if len(found) <= text.count(",") or found[0] < 1 or sorted(set(found)) != found:
        raise argparse.ArgumentTypeError(
            f"expected increasing whole numbers from 1 on, such as 25,50, but got {text!r}"
        )
    return found


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads a whole number."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, but got {text!r}")
        return int(text)

    return read


def finite(text: str) -> float:
    """Return a number that is one."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, such as 60, but got {text!r}")
    return value


if __name__ == "__main__":
    main()
