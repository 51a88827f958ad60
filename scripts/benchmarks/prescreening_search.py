#!/usr/bin/env python3
"""What prescreening gains over plain search at the same cost, on real scans.

    python scripts/benchmarks/prescreening_search.py --data DIR --out DIR [--seeds 3] [--first 30] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. For every seed, prescreening trains
`--first` networks for `--first-steps` steps, predicts 10,000 by a model fitted on these, and trains the
best `--best` for `--steps`. Then a plain search trains networks that its strategy proposes, for `--steps`
each, until it has cost as many seconds of workers as it all took, predicting included; what ended
later does not count. Hypervolume is that of error and second objective, and of error and its logarithm, of
networks trained for `--steps`, in a box that is the same for all: it begins at error 0 and ends at error 1,
and reaches from the cheapest to the costliest of 1,000 networks drawn from the space. `--objective gmacs`,
the default, takes the noise of a shared machine's clock out of the comparison. Runs stay in `--out`; the
same command goes on with them. Prints Markdown, with `--json` one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from searches import Searched, config_on_scans, drawn_gmacs, searched, volume_in, within_cost

from hwnas.config import RunConfig
from hwnas.search.run_directory import RunDirectory

PRESCREENING = "prescreening"
SCALES = {"linear": "the cost", "log": "the logarithm of the cost"}
_START = 8
"""Plain search is begun with so many networks, to learn what one costs."""


def main() -> None:
    """Run what is missing, compare, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows = [_compared(arguments, seed) for seed in seeds]
    print(f"command: scripts/benchmarks/prescreening_search.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    print(
        "| seed | plain: trained | s | hypervolume | over log | prescreening: first | best | s "
        "| of prescreening | tau of the predictor | hypervolume | over log | ratio | over log |"
    )
    print("| ---: " * 14 + "|")
    for row in rows:
        plain, screened = row["plain"], row["prescreening"]
        print(
            f"| {row['seed']} | {plain['trained']} | {plain['seconds']:.0f} | {plain['linear']:.4f} "
            f"| {plain['log']:.4f} | {screened['first']} | {screened['trained']} | {screened['seconds']:.0f} "
            f"| {screened['stage_s']:.1f} | {screened['tau']:.2f} "
            f"| {screened['linear']:.4f} | {screened['log']:.4f} "
            f"| {row['ratio']['linear']:.3f} | {row['ratio']['log']:.3f} |"
        )
    found = {}
    for scale, name in SCALES.items():
        ratios = [row["ratio"][scale] for row in rows]
        spread = statistics.stdev(ratios) if len(ratios) > 1 else math.nan
        found[scale] = {"mean": statistics.mean(ratios), "stdev": spread}
        mean = found[scale]["mean"]
        print(
            f"\nRatio of hypervolumes over {name}, prescreening to plain: mean {mean:.3f}, "
            f"standard deviation {spread:.3f}."
        )
    if arguments.json:
        print(json.dumps({"rows": rows, "ratios": found}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=30, help="networks that prescreening learns from")
    parser.add_argument("--first-steps", type=int, default=120, help="of their trainings")
    parser.add_argument("--best", type=int, default=12, help="networks that prescreening chooses")
    parser.add_argument("--steps", type=int, default=500, help="of each training but the first")
    parser.add_argument("--strategy", default="surrogate", help="of the plain search")
    parser.add_argument(
        "--strategy-first", default="quasi-random", help="of the candidates that prescreening learns from"
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--objective", choices=("latency_ms", "gmacs"), default="gmacs")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _compared(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run both with a seed and return their figures."""
    screened = searched(_config(arguments, seed, prescreening=True), arguments.out / f"prescreening-{seed}")
    path, cost_s = arguments.out / f"plain-{seed}", screened.stages["total"]
    plain, trials = _plain(arguments, seed, path, _START), _START
    while plain.stages["total"] < cost_s:
        # A few at a time: what is trained beyond prescreening's cost is wasted.
        each_s = plain.stages["total"] / trials
        trials += max(1, round((cost_s - plain.stages["total"]) / each_s))
        plain = _plain(arguments, seed, path, trials)
    record = json.loads(
        RunDirectory(arguments.out / f"prescreening-{seed}").prescreening.read_text(encoding="utf-8")
    )
    points, spent_s = within_cost(path, cost_s)
    box = _box(arguments)
    result: dict[str, Any] = {
        "seed": seed,
        "plain": {"trained": len(points), "seconds": spent_s, "points": points},
        "prescreening": {
            "first": screened.rungs[0]["trained"],
            "trained": len(screened.points),
            "seconds": cost_s,
            "stage_s": screened.stages[PRESCREENING],
            "tau": record["predictor"]["rank_correlation"]["tau"],
            "points": screened.points,
        },
    }
    for name in ("plain", "prescreening"):
        for scale in SCALES:
            result[name][scale] = volume_in(box, result[name]["points"], is_log=scale == "log")
    result["ratio"] = {scale: result["prescreening"][scale] / result["plain"][scale] for scale in SCALES}
    return result


def _plain(arguments: argparse.Namespace, seed: int, path: Path, trials: int) -> Searched:
    return searched(_config(arguments, seed, prescreening=False, trials=trials), path)


def _config(arguments: argparse.Namespace, seed: int, *, prescreening: bool, trials: int = 0) -> RunConfig:
    section: dict[str, Any] = {
        "strategy": arguments.strategy_first if prescreening else arguments.strategy,
        "trials": arguments.first if prescreening else trials,
        "seed": seed,
    }
    if prescreening:
        section["prescreening"] = {"networks": 10_000, "train_best": arguments.best}
        section["first_estimator"] = {"name": "training", "steps": arguments.first_steps}
    return config_on_scans(
        arguments.data,
        width=arguments.width,
        steps=arguments.steps,
        search=section,
        objective=arguments.objective,
    )


def _box(arguments: argparse.Namespace) -> tuple[float, float]:
    """Return the least and the largest cost of networks drawn from the space, where that can be counted."""
    if arguments.objective == "gmacs":
        return drawn_gmacs(arguments.data, width=arguments.width)
    runs = [RunDirectory(path) for path in sorted(arguments.out.glob("*-[0-9]*"))]
    trials = [trial for run in runs for trial in run.read_front()["trials"]]
    costs = [trial["cost"] for trial in trials if trial["cost"] is not None]
    return min(costs), max(costs)


if __name__ == "__main__":
    main()
