#!/usr/bin/env python3
"""What a funnel gains over plain search at the same cost, on real scans.

    python scripts/benchmarks/funnel_search.py --data DIR --out DIR [--seeds 3] [--trained 36] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. For every seed, a plain search trains
`--trained` networks that its strategy proposes. The funnel trains a part of them, `--first`, looks at 10,000
networks by a predictor fitted on these, and trains the best; the seconds that its look takes are given to the
plain search as further trainings. Both are run in turn, with the same seed, recipe and clock. Hypervolume is
that of error and logarithm of the second objective, up to error 1 and the costliest network that either
trained with this seed. `--objective gmacs` takes the noise of a shared machine's clock out of the comparison.
Runs stay in `--out`; the same command goes on with them. Prints Markdown, with `--json` one line of JSON at
the end.
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

from searches import Searched, config_on_scans, searched, volumes

LOOK = "look"


def main() -> None:
    """Run what is missing, compare, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [_compared(arguments, seed) for seed in range(arguments.seeds)]
    print(f"command: scripts/benchmarks/funnel_search.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    print(
        "| seed | plain: trained | s | hypervolume | funnel: trained | s | of the look | hypervolume | ratio "
        "|"
    )
    print("| ---: " * 9 + "|")
    for row in rows:
        plain, funnel = row["plain"], row["funnel"]
        print(
            f"| {row['seed']} | {plain['trained']} | {plain['seconds']:.0f} | {plain['hypervolume']:.4f} "
            f"| {funnel['trained']} | {funnel['seconds']:.0f} | {funnel['look_s']:.0f} "
            f"| {funnel['hypervolume']:.4f} | {row['ratio']:.3f} |"
        )
    ratios = [row["ratio"] for row in rows]
    spread = statistics.stdev(ratios) if len(ratios) > 1 else math.nan
    mean = statistics.mean(ratios)
    print(f"\nRatio of hypervolumes, funnel to plain: mean {mean:.3f}, standard deviation {spread:.3f}.")
    if arguments.json:
        print(json.dumps({"rows": rows, "mean_ratio": mean, "stdev": spread}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trained", type=int, default=36, help="networks in all, for either")
    parser.add_argument("--first", type=int, default=24, help="of them, before the look")
    parser.add_argument("--steps", type=int, default=30, help="of each training")
    parser.add_argument("--strategy", default="surrogate", help="of the plain search")
    parser.add_argument("--strategy-first", default="surrogate", help="of the funnel, before the look")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--objective", choices=("latency_ms", "gmacs"), default="latency_ms")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _compared(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run both with a seed and return their figures."""
    funnel = _run(arguments, seed, funnel=True, trials=arguments.first)
    a_training_s = (funnel.stages["total"] - funnel.stages[LOOK]) / len(funnel.points)
    extra = round(funnel.stages[LOOK] / a_training_s)
    plain = _run(arguments, seed, funnel=False, trials=arguments.trained + extra)
    result: dict[str, Any] = {"seed": seed}
    for name, run, volume in zip(("plain", "funnel"), (plain, funnel), volumes((plain, funnel)), strict=True):
        result[name] = {
            "trained": len(run.points),
            "seconds": run.stages["total"],
            "hypervolume": volume,
            "points": run.points,
        }
    result["funnel"]["look_s"] = funnel.stages[LOOK]
    result["ratio"] = result["funnel"]["hypervolume"] / result["plain"]["hypervolume"]
    return result


def _run(arguments: argparse.Namespace, seed: int, *, funnel: bool, trials: int) -> Searched:
    """Do one search, or go on with it."""
    section: dict[str, Any] = {
        "strategy": arguments.strategy_first if funnel else arguments.strategy,
        "trials": trials,
        "seed": seed,
    }
    if funnel:
        section["funnel"] = {"look": 10_000, "train_best": arguments.trained - arguments.first}
    config = config_on_scans(
        arguments.data,
        width=arguments.width,
        steps=arguments.steps,
        search=section,
        objective=arguments.objective,
    )
    return searched(config, arguments.out / f"{'funnel' if funnel else 'plain'}-{seed}")


if __name__ == "__main__":
    main()
