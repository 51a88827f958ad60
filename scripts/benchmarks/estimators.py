#!/usr/bin/env python3
"""How well each accuracy estimator ranks on real scans: Kendall's tau with full training, and its cost.

    python scripts/benchmarks/estimators.py --data DIR --out DIR [--networks 32] [--steps 300] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. Networks are drawn uniformly from the part
of `range-unet` that stands below, those over `--max-gmac` are passed over, and each is trained in full
(`--steps`) with a seed of its own. Then every estimator evaluates the same networks, none of which it was
fitted to; a supernet is trained once for all of the part. Everything stays in `--out`, and the same command
goes on with it. Prints Markdown, and with `--json` ends in one line of JSON. For a space and a task of one's
own, `hwnas estimate` does the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas.estimators.comparison import Compared, EstimateStatus, EstimatorBenchmark
from hwnas.files import write_json_atomically
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import train_supernet

SPACE = "range-unet"
CHOICES: dict[str, list[Any]] = {
    "stem_width": [16, 24, 32],
    "stem_stride": ["1x2"],
    "activation": ["relu"],
    "num_stages": [2, 3, 4],
    "decoder": ["bilinear-sum", "concatenation", "pixel-shuffle"],
    "decoder_width": [32],
    "cyclic_padding": [True],
    "stage1_width": [16, 24, 32],
    "stage2_width": [24, 32, 48],
    "stage3_width": [32, 48, 64],
    "stage4_width": [48, 64, 96],
    "stage1_stride": ["1x1", "1x2"],
    **{
        f"stage{stage}_block": ["basic-residual", "inverted-bottleneck", "depthwise-separable"]
        for stage in (1, 2, 3, 4)
    },
    **{f"stage{stage}_kernel": [3, 5] for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_depth": [1, 2] for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_squeeze_excite": [False] for stage in (1, 2, 3, 4)},
}
"""Depth, width, kernels, strides and types of blocks vary; two cores train such networks in a minute."""


def main() -> None:
    """Estimate what is missing, evaluate, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": str(arguments.data.resolve()),
        "label_map": "merged-8",
        "widths": [arguments.width],
        "knn": {"cutoff_m": 2.0},
    }
    task = make_task("lidar-segmentation", settings)
    space = make_search_space(SPACE, task.contract, CHOICES)
    supernet = arguments.out / f"supernet-{arguments.supernet_steps}"
    compared = [
        Compared(f"training-{steps}-steps", "training", {"steps": steps}) for steps in arguments.proxy_steps
    ]
    for every in arguments.column_stride:
        steps = arguments.proxy_steps[-1]
        settings_of_proxy = {"steps": steps, "column_stride": every}
        label = f"training-{steps}-steps, one column in {every}"
        compared.append(Compared(label, "training", settings_of_proxy))
    for share in arguments.samples:
        steps = arguments.proxy_steps[-1]
        label = f"training-{steps}-steps, {share:g} of the scans"
        compared.append(Compared(label, "training", {"steps": steps, "samples": share}))
    if arguments.again:
        settings_of_full = {"steps": arguments.steps}
        compared.append(
            Compared("full training, another seed", "training", settings_of_full, other_seed=1000)
        )
    compared += [Compared(name, name) for name in arguments.estimators]
    supernet_s = 0.0
    if arguments.supernet_steps:
        compared.append(Compared("weight-sharing", "weight-sharing", {"supernet": str(supernet)}))
        supernet_s = _supernet(task, space, arguments, supernet)
        learned = {
            "over": "weight-sharing",
            "settings": {"supernet": str(supernet)},
            "networks": arguments.learned_networks,
            "cache": str(arguments.out / "learned"),
        }
        compared.append(Compared("learned, over weight sharing", "learned", learned))
    comparison = EstimatorBenchmark(
        task={"name": "lidar-segmentation", "settings": settings},
        space={"name": SPACE, "choices": CHOICES},
        full={"steps": arguments.steps},
        estimators=tuple(compared),
        networks=arguments.networks,
        max_gmac=arguments.max_gmac,
        seed=arguments.seed,
    )

    def show(status: EstimateStatus) -> None:
        print(f"[{status.finished}/{status.wanted}] {status.message}", file=sys.stderr, flush=True)

    found = comparison.run(arguments.out, workers=arguments.workers, progress=show).to_json()
    print(f"command: scripts/benchmarks/estimators.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    _show(found)
    if supernet_s:
        print(f"\nThe supernet was trained once, {arguments.supernet_steps} steps in {supernet_s:.0f} s.")
        found["supernet_s"] = supernet_s
    if arguments.json:
        print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=32)
    parser.add_argument("--max-gmac", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=300, help="of full training")
    parser.add_argument("--proxy-steps", type=int, nargs="*", default=[30, 80], help="of brief trainings")
    parser.add_argument(
        "--estimators", nargs="*", default=["synflow", "snip", "grad-norm", "naswot", "jacob-cov"]
    )
    parser.add_argument("--supernet-steps", type=int, default=500, help="of weight sharing; 0 leaves it out")
    parser.add_argument("--learned-networks", type=int, default=64, help="that the learned predictor sees")
    parser.add_argument(
        "--every-column",
        type=int,
        nargs="*",
        default=[2],
        help="of narrower inputs, with the last --proxy-steps",
    )
    parser.add_argument(
        "--samples",
        type=float,
        nargs="*",
        default=[0.25],
        help="share of the scans, with the last --proxy-steps",
    )
    parser.add_argument(
        "--again", action="store_true", help="train in full twice: how far do both trainings agree?"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _supernet(task: Task, space: SearchSpace, arguments: argparse.Namespace, directory: Path) -> float:
    """Train the supernet if it is not there, and return the seconds that its training took."""
    seconds = directory / "seconds.json"
    if not seconds.is_file():
        recipe = replace(Recipe.proxy(), steps=arguments.supernet_steps, average=0.0, checkpoint_every=50)
        started = time.monotonic()

        def progress(step: int, steps: int, loss: float) -> None:
            if step % 25 == 0:
                print(f"[supernet {step}/{steps}] loss {loss:.3f}", file=sys.stderr, flush=True)

        train_supernet(task, space, recipe, seed=arguments.seed, directory=directory, progress=progress)
        write_json_atomically(seconds, time.monotonic() - started)
    return float(json.loads(seconds.read_text(encoding="utf-8")))


def _show(found: dict[str, Any]) -> None:
    """Print a line for each estimator."""
    errors, gmacs = found["full"]["errors"], found["gmacs"]
    print(
        f"{len(errors)} networks of {min(gmacs):.2f} to {max(gmacs):.2f} GMAC; error after full training "
        f"{min(errors):.3f} to {max(errors):.3f}, {found['full']['cost_s']:.0f} s each.\n"
    )
    print("| estimator | Kendall tau | of MACs | of parameters | gain over MACs, at least | s a network |")
    print("|---|---|---|---|---|---|")
    for label, one in found["estimators"].items():
        name = f"{label} ({len(errors) - one['failed']} networks)" if one["failed"] else label
        report = one["report"]
        taus = " | ".join(
            f"{value['tau']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
            for value in (report["rank_correlation"], report["macs"], report["parameters"])
        )
        print(f"| {name} | {taus} | {report['gain_low']:+.2f} | {report['cost_s']:.2f} |")
    for one in found["estimators"].values():
        for warning in one["report"]["warnings"]:
            print(f"\n{warning}")


if __name__ == "__main__":
    main()
