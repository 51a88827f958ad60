#!/usr/bin/env python3
"""Cells found in a table of trained image classifiers, tried first by a search on LiDAR scans.

    python scripts/benchmarks/cell_transfer.py --data DIR --accuracy CSV --latency CSV --out DIR

A study is played on the table, as `strategies.py` plays it, with accuracies of CIFAR-10 and latencies of
`--device`. Cells of its front above 80 per cent, spread evenly, go to `cells.txt`. Then `hwnas search` runs
in the space `nas-cell` on `--data`, a SemanticKITTI directory of which 08 validates, twice a seed: with
`--initial-architectures cells.txt` and without, all else equal. The second objective is operations, since
these do not depend on what else the machine does; latencies are clocked in a moment and say little.
Hypervolume is relative to error 1 and `--limit-gmacs`. Prints Markdown and, as the last line, one JSON
object. The same command goes on with runs that were stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from strategies import load
from warm_start import FLOORS, played, thinned

from hwnas.search.warm_start import SHARE
from hwnas.search_spaces.cells import Cell
from hwnas.search_spaces.nas_cell_seeds import read_cells

HWNAS = str(Path(sys.executable).with_name("hwnas"))
SEEN = "c10_val_s1"
CHOICES = {
    "input_width": [256],
    "stem_width": [8, 16],
    "stem_stride": ["1x2"],
    "num_stages": [3],
    "cells": [1, 2],
    "stage1_stride": ["1x2", "2x2"],
    "stage2_stride": ["2x2"],
    "stage3_stride": ["2x2"],
    "decoder": ["bilinear-sum"],
    "decoder_width": [32],
    "cyclic_padding": [True],
}
"""Small networks that differ mostly in their cell."""
MOMENT = {
    "processes": 1,
    "warmup_s": 0.01,
    "max_warmup_s": 0.05,
    "block_s": 0.01,
    "reference_block_s": 0.01,
    "min_samples": 6,
    "max_s": 0.05,
    "limit_s": 0.2,
    "max_attempts": 1,
}
"""A protocol that costs little, since latency is no objective here."""
ARMS = ("unseeded", "seeded")


def main() -> None:
    """Find cells, search with and without them, compare."""
    arguments = parsed()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {platform.processor() or platform.machine()}, {platform.platform()}", flush=True)
    cells = arguments.out / "cells.txt"
    if not cells.exists():
        cells.write_text("\n".join(found_cells(arguments)) + "\n", encoding="utf-8")
    print(f"```text\n{cells.read_text(encoding='utf-8')}```", flush=True)
    cells_of_file = {cell.canonical() for cell in read_cells(cells)}
    began, busy = time.perf_counter(), processor_s()
    runs = {
        (seed, arm): searched(arguments, seed, arm, cells) for seed in range(arguments.seeds) for arm in ARMS
    }
    reported = {
        f"{arm} {seed}": figures(run, arguments.limit_gmacs, cells_of_file)
        for (seed, arm), run in runs.items()
    }
    print(
        f"{time.perf_counter() - began:.0f} s by the clock, {processor_s() - busy:.0f} s of processor time\n"
    )
    print_table(reported, arguments.seeds)
    print(json.dumps(reported))


def found_cells(arguments: argparse.Namespace) -> list[str]:
    """Return lines for a file of cells: some of the front of a study on the table, most accurate first."""
    table = load(arguments.accuracy, arguments.latency, [arguments.device], SEEN, FLOORS[SEEN])
    rows, _ = played(table, arguments.device, "surrogate", 0, [arguments.evaluations])
    cells = list(table.rows)
    worthy = [row for row in rows if table.seen[row] > table.floor and Cell(cells[row]).is_connected]
    chosen = thinned(table, arguments.device, worthy, max(arguments.trials // SHARE, 1))
    chosen.sort(key=lambda row: -float(table.seen[row]))
    return [
        f"{Cell(cells[row])}  # {table.seen[row]:.2f} % of CIFAR-10, "
        f"{table.latency_ms[arguments.device][row]:.2f} ms on {arguments.device}"
        for row in chosen
    ]


def searched(arguments: argparse.Namespace, seed: int, arm: str, cells: Path) -> Path:
    """Run one search, or go on with it, and return its directory."""
    run: Path = arguments.out / f"{arm}-{seed}"
    file = arguments.out / f"{arm}-{seed}.yaml"
    value = {
        "task": {
            "name": "lidar-segmentation",
            "data": str(arguments.data.resolve()),
            "label_map": "merged-8",
            "val_sequences": ["08"],
            "train_sequences": sorted(
                path.name for path in (arguments.data / "sequences").iterdir() if path.name != "08"
            ),
            "widths": CHOICES["input_width"],
        },
        "space": {"name": "nas-cell", "choices": CHOICES},
        "objective": "gmacs",
        "budget": {"objective": arguments.limit_gmacs},
        "search": {"trials": arguments.trials, "seed": seed, "workers": 1},
        "training": {"proxy": {"steps": arguments.steps}},
        "measuring": {"table": None, "search": MOMENT},
    }
    file.write_text(yaml.safe_dump(value), encoding="utf-8")
    resumed = (run / "run.yaml").exists()
    command = [str(run), "--resume"] if resumed else [str(file), "--out", str(run)]
    if arm == "seeded" and not resumed:
        command += ["--initial-architectures", str(cells)]
    print(f"$ hwnas search {' '.join(command)}", flush=True)
    subprocess.run([HWNAS, "search", *command, "--json"], check=True, stdout=subprocess.DEVNULL)
    return run


def figures(run: Path, limit_gmacs: float, seeds: set[Cell]) -> dict[str, Any]:
    """Return what a run found: hypervolume, best mIoU, and how networks with the cells of the file did."""
    front = json.loads((run / "front.json").read_text(encoding="utf-8"))
    trials = [
        {
            "cell": str(Cell.of(trial["architecture"]["genes"])),
            "is_seed": Cell.of(trial["architecture"]["genes"]) in seeds,
            "state": trial["state"],
            "error": trial["error"],
            "gmacs": trial["cost"],
        }
        for trial in front["trials"]
    ]
    trained = [trial for trial in trials if trial["state"] == "COMPLETE"]
    of_seeds = [1 - trial["error"] for trial in trained if trial["is_seed"]]
    return {
        "trained": len(trained),
        "over_limit": sum(trial["state"] == "PRUNED" for trial in trials),
        "seeds_trained": len(of_seeds),
        "hypervolume": front["hypervolume"] / limit_gmacs,
        "best_miou": 1 - min(trial["error"] for trial in trained),
        "mean_miou": statistics.fmean(1 - trial["error"] for trial in trained),
        "seeds_miou": statistics.fmean(of_seeds) if of_seeds else None,
        "trials": trials,
    }


def print_table(reported: dict[str, dict[str, Any]], seeds: int) -> None:
    """Print one line a run, and the mean difference between both arms."""
    keys = ("hypervolume", "best_miou", "mean_miou")
    print("| run | trained | over the limit | hypervolume | best mIoU | mean mIoU | of cells of the file |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for name, run in reported.items():
        cells = " | ".join(f"{run[key]:.3f}" for key in keys)
        own = f"{run['seeds_trained']}, mean mIoU {run['seeds_miou']:.3f}" if run["seeds_trained"] else "none"
        print(f"| {name} | {run['trained']} | {run['over_limit']} | {cells} | {own} |")
    gains = [
        statistics.fmean(
            reported[f"seeded {seed}"][key] - reported[f"unseeded {seed}"][key] for seed in range(seeds)
        )
        for key in keys
    ]
    print(f"| **gain, mean** | | | {' | '.join(f'{gain:+.3f}' for gain in gains)} | |\n")


def processor_s() -> float:
    """Return the processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="gold_6240")
    parser.add_argument("--evaluations", type=int, default=100, help="of the study on the table")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=6, help="networks that each search trains")
    parser.add_argument("--steps", type=int, default=60, help="of each training")
    parser.add_argument("--limit-gmacs", type=float, default=0.3, help="hard limit of operations")
    return parser.parse_args()


if __name__ == "__main__":
    main()
