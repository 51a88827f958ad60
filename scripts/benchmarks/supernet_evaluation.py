#!/usr/bin/env python3
"""How long weight sharing takes to evaluate a candidate on real scans.

    python scripts/benchmarks/supernet_evaluation.py --data DIR --supernet DIR [--networks 20] [--json]

`--data` is a SemanticKITTI directory, sequence 08 is validated on; `--supernet` what `estimators.py` trained
in its `--out`. Candidates of `--least-gmac` to `--max-gmac` are drawn from the same part of `range-unet`;
each is cut out, gets statistics of its own and evaluates all validation scans, with one thread for every
processor. Prints Markdown, and with `--json` ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from estimators import CHOICES, SPACE

from hwnas.estimators.base import EstimatorContext, make_estimator
from hwnas.models.cost import count_macs
from hwnas.search_spaces.base import make_search_space, sample_choices
from hwnas.tasks.base import make_task


def main() -> None:
    """Evaluate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--least-gmac", type=float, default=0.0)
    parser.add_argument("--max-gmac", type=float, default=2.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings: dict[str, Any] = {
        "data": str(arguments.data.resolve()),
        "label_map": "merged-8",
        "widths": [arguments.width],
        "knn": {"cutoff_m": 2.0},
    }
    task = make_task("lidar-segmentation", settings)
    space = make_search_space(SPACE, task.contract, CHOICES)
    context = EstimatorContext(task, space, {"supernet": str(arguments.supernet)})
    estimator = make_estimator("weight-sharing", context)
    rng = np.random.default_rng(arguments.seed)
    gmacs, seconds, items = [], [], 0
    with tempfile.TemporaryDirectory() as scratch:
        while len(seconds) < arguments.networks:
            architecture = space.decode(sample_choices(space, rng))
            gmac = count_macs(space.build(architecture), architecture.input_shape) / 1e9
            if not arguments.least_gmac <= gmac <= arguments.max_gmac:
                continue
            reported = estimator.estimate(architecture, seed=0, directory=Path(scratch)).to_json()
            gmacs.append(gmac)
            seconds.append(float(reported["cost_s"]))
            items = int(reported["quality"]["num_items"])
    first, later = seconds[0], seconds[1:]
    print(f"command: scripts/benchmarks/supernet_evaluation.py {' '.join(sys.argv[1:])}")
    print(
        f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors, "
        f"{torch.get_num_threads()} threads\n"
    )
    print("| candidates | GMAC | points evaluated | median s | slowest s | the first, with reading s |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(later)} | {min(gmacs):.2f} to {max(gmacs):.2f} | {items:,} | {statistics.median(later):.2f} "
        f"| "
        f"{max(later):.2f} | {first:.2f} |"
    )
    if arguments.json:
        print(json.dumps({"seconds": seconds, "gmacs": gmacs, "median_s": statistics.median(later)}))


if __name__ == "__main__":
    main()
