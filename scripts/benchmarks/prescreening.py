"""Times prescreening of 10,000 to 1,000,000 networks of `range-unet`, by stage, with peak memory.

Latencies come from `--table`, a file that `hwnas profile` wrote. Errors of the evaluated networks are made up
from their genes, with noise, since only the times are at stake here: how well a predictor ranks, a search on
data says. Every size runs in a process of its own, so that its peak memory is its own. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray
from hwnas.latency.predict.table import load_table
from hwnas.search.layers import picked
from hwnas.search.prescreening.predictions import CandidatePredictor, Evaluated
from hwnas.search.prescreening.selection import Predictions, Prescreening
from hwnas.search.strategies import Limits
from hwnas.search_spaces.base import make_search_space, sample_choices

NOISE = 0.02


class Clock:
    """Adds up processor and wall time of parts."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.parts: dict[str, list[float]] = {}

    def run(self, part: str, function: Any, *arguments: Any) -> Any:
        """Call a function and count its time."""
        wall, busy = time.perf_counter(), time.process_time()
        found = function(*arguments)
        total = self.parts.setdefault(part, [0.0, 0.0])
        total[0] += time.perf_counter() - wall
        total[1] += time.process_time() - busy
        return found


def made_up_error(network: Architecture, latency_ms: float, rng: np.random.Generator) -> float:
    """Return an error that falls with time and depth, with noise."""
    return float(0.9 - 0.08 * np.log(latency_ms) - 0.02 * network.genes["num_stages"] + rng.normal(0, NOISE))


def timed(table_path: Path, number: int, evaluated: int, train_best: int, limit_ms: float) -> dict[str, Any]:
    """Prescreen so many networks and return what it took."""
    clock, rng = Clock(), np.random.default_rng(0)
    table = load_table(table_path)
    space = make_search_space(table.space, table.contract)
    predictor = clock.run("latency table", table.predictor, space)

    def latencies(networks: Sequence[Architecture]) -> tuple[DoubleArray, DoubleArray]:
        found = clock.run("latency", predictor.predict, networks)
        return found.latency_ms, found.low_ms

    known = [space.decode(sample_choices(space, rng)) for _ in range(evaluated)]
    known_ms = latencies(known)[0]
    records = [
        Evaluated(network, made_up_error(network, ms, rng), ms)
        for network, ms in zip(known, known_ms, strict=True)
    ]
    limits = Limits(limit_ms, train_best)
    predictor = clock.run(
        "fit", lambda: CandidatePredictor(space, records, limits, latencies, is_latency=True)
    )
    clock.parts.pop("latency")

    def predict_timed(networks: Sequence[Architecture]) -> Predictions:
        found: Predictions = clock.run("latency and error", predictor, networks)
        return found

    prescreening = Prescreening(space, predict_timed, number=number, keep=10 * train_best, seed=0)
    kept = prescreening.nothing
    while kept.screened < prescreening.number:
        kept = clock.run("whole prescreening", prescreening.step, kept)
    best = clock.run("choice", picked, kept.points, kept.genes, train_best)
    return {
        "networks": kept.screened,
        "allowed": kept.allowed,
        "chosen": len(best),
        "tau": str(predictor.report.rank_correlation),
        "parts": clock.parts,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def row(found: dict[str, Any]) -> str:
    """Return one line of the table."""
    parts = found["parts"]
    both, ms = parts["latency and error"][1], parts["latency"][1]
    drawing = parts["whole prescreening"][1] - both
    wall = sum(parts[name][0] for name in ("fit", "whole prescreening", "choice"))
    busy = sum(parts[name][1] for name in ("fit", "whole prescreening", "choice"))
    return (
        f"| {found['networks']:,} | {parts['fit'][1]:.2f} | {drawing:.2f} | {ms:.2f} | {both - ms:.2f} | "
        f"{parts['choice'][1]:.2f} | {busy:.1f} | {wall:.1f} | {1e6 * busy / found['networks']:.0f} | "
        f"{found['peak_mib']:.0f} |"
    )


def main() -> None:
    """Run every size in a process of its own, and print the table."""
    arguments = parsed()
    if arguments.one is not None:
        found = timed(
            arguments.table, arguments.one, arguments.evaluated, arguments.train_best, arguments.limit_ms
        )
        print(json.dumps(found))
        return
    print(f"Machine: {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(
        "| networks | fit s | draw and keep s | latency s | error s | choice s | processor s | wall s | "
        "µs a network | peak MiB |\n|" + " ---: |" * 10
    )
    for number in arguments.networks:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(number)]
        reported = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(reported.splitlines()[-1])
        print(row(found), flush=True)
    print(
        f"\n{found['chosen']} chosen; {arguments.evaluated} evaluated networks, on whose made-up errors the "
        f"predictor has a Kendall tau of {found['tau']}."
    )


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True, help="latency table of range-unet")
    parser.add_argument(
        "--networks",
        type=lambda text: [int(each) for each in text.split(",")],
        default=[10_000, 100_000, 1_000_000],
    )
    parser.add_argument("--evaluated", type=int, default=200)
    parser.add_argument("--train-best", type=int, default=100)
    parser.add_argument("--limit-ms", type=float, default=100.0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
