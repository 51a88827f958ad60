#!/usr/bin/env python3
"""What several fidelities save on real scans.

    python scripts/benchmarks/fidelities.py --data DIR --out DIR [--fidelities 15] \
        [--reduction-factor 9] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. For every seed, plain search trains
`--trained` networks for `--steps` steps. With fidelities, `--begun` networks are trained for fewer steps
first, and one of `--reduction-factor` of them is promoted to the next number. Both draw uniformly with the
same seed: the networks of one are among those of the other. Hypervolume is that of error and logarithm of the
latency, of networks trained for all steps, up to error 1 and the slowest network of both. The cost is the
time of all workers, with exporting and measuring. Runs stay in `--out`; the same command goes on with them.
Prints Markdown, with `--json` one line of JSON at the end.
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


def main() -> None:
    """Run what is missing, compare, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [_compared(arguments, seed) for seed in range(arguments.seeds)]
    print(f"command: scripts/benchmarks/fidelities.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    print(
        "| seed | plain: trained | s | hypervolume | fidelities: trained | s | hypervolume | cost | "
        "hypervolume, ratio |"
    )
    print("| ---: " * 9 + "|")
    for row in rows:
        plain, rungs = row["plain"], row["fidelities"]
        print(
            f"| {row['seed']} | {plain['trained']} | {plain['seconds']:.0f} | {plain['hypervolume']:.4f} "
            f"| {' → '.join(map(str, rungs['promoted']))} | {rungs['seconds']:.0f} "
            f"| {rungs['hypervolume']:.4f} | {row['share']:.2f} | {row['ratio']:.3f} |"
        )
    for name, key in (("cost", "share"), ("hypervolumes", "ratio")):
        values = [row[key] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else math.nan
        print(
            f"\nRatio of {name}, with fidelities to plain: mean {statistics.mean(values):.3f}, standard "
            f"deviation {spread:.3f}."
        )
    if arguments.json:
        print(json.dumps({"rows": rows}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trained", type=int, default=24, help="networks, by plain search")
    parser.add_argument("--begun", type=int, default=36, help="networks, with fidelities")
    parser.add_argument("--steps", type=int, default=300, help="of a whole training")
    parser.add_argument(
        "--fidelities", type=lambda text: [int(each) for each in text.split(",")], default=[15]
    )
    parser.add_argument("--reduction-factor", type=int, default=9)
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _compared(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run both with a seed and return their figures."""
    plain = _run(arguments, seed, arguments.trained, None)
    rungs = _run(
        arguments,
        seed,
        arguments.begun,
        {"steps": arguments.fidelities, "reduction_factor": arguments.reduction_factor},
    )
    result: dict[str, Any] = {"seed": seed}
    for name, run, volume in zip(
        ("plain", "fidelities"), (plain, rungs), volumes((plain, rungs)), strict=True
    ):
        result[name] = {
            "trained": len(run.points),
            "promoted": [rung["trained"] for rung in run.rungs],
            "seconds": run.stages["total"],
            "hypervolume": volume,
            "points": run.points,
        }
    result["share"] = rungs.stages["total"] / plain.stages["total"]
    result["ratio"] = result["fidelities"]["hypervolume"] / result["plain"]["hypervolume"]
    return result


def _run(
    arguments: argparse.Namespace, seed: int, trials: int, fidelities: dict[str, Any] | None
) -> Searched:
    """Do one search, or go on with it."""
    section: dict[str, Any] = {"strategy": arguments.strategy, "trials": trials, "seed": seed}
    if fidelities is not None:
        section["fidelities"] = fidelities
    config = config_on_scans(arguments.data, width=arguments.width, steps=arguments.steps, search=section)
    return searched(config, arguments.out / f"{'plain' if fidelities is None else 'fidelities'}-{seed}")


if __name__ == "__main__":
    main()
