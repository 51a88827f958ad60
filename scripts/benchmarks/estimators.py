#!/usr/bin/env python3
"""What each accuracy estimator is worth on real scans: Kendall's tau with full training, and its cost.

    python scripts/benchmarks/estimators.py --data DIR --out DIR [--networks 32] [--steps 300] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. Networks are drawn uniformly from the part
of `range-unet` that stands below, those over `--most-gmac` are passed over, and each is trained in full
(`--steps`) with a seed of its own. Then every estimator judges the same networks, none of which it was fitted
to; a supernet is trained once for all of the part. Everything stays in `--out`, and the same command goes on
with it. Prints Markdown, and with `--json` ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.estimators.base import EstimatorContext, make_estimator
from hwnas.estimators.worth import judge_worth
from hwnas.files import write_json_atomically
from hwnas.models.cost import count_macs, count_parameters
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.tasks.base import Task, make_task
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import train_supernet

FULL = "full"
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


@dataclass(frozen=True)
class Job:
    """One estimator with its settings on one architecture; `label` names both."""

    label: str
    estimator: str
    settings: dict[str, Any]
    architecture: dict[str, Any]
    seed: int
    task: dict[str, Any]
    path: Path


def main() -> None:
    """Estimate what is missing, judge, print."""
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
    networks = list(islice(_drawn(space, arguments), arguments.networks))
    supernet = arguments.out / f"supernet-{arguments.supernet_steps}"
    labels: dict[str, tuple[str, dict[str, Any]]] = {FULL: ("training", {"steps": arguments.steps})}
    labels |= {f"training-{steps}-steps": ("training", {"steps": steps}) for steps in arguments.proxy_steps}
    labels |= {name: (name, {}) for name in arguments.estimators}
    supernet_s = 0.0
    if arguments.supernet_steps:
        labels["weight-sharing"] = ("weight-sharing", {"supernet": str(supernet)})
        supernet_s = _supernet(task, space, arguments, supernet)
    jobs = [
        Job(label, name, own, architecture.to_json(), number, settings, arguments.out)
        for number, architecture in enumerate(networks)
        for label, (name, own) in labels.items()
    ]
    _run([job for job in jobs if not _file_of(job).is_file()], arguments.workers)
    print(f"command: scripts/benchmarks/estimators.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    found = {job.label: [] for job in jobs}
    for job in jobs:
        found[job.label].append(json.loads(_file_of(job).read_text(encoding="utf-8")))
    summary = _judged(found, networks, space)
    if supernet_s:
        print(f"\nThe supernet was trained once, {arguments.supernet_steps} steps in {supernet_s:.0f} s.")
        summary["supernet_s"] = supernet_s
    if arguments.json:
        print(json.dumps(summary))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", type=int, default=32)
    parser.add_argument("--most-gmac", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=300, help="of full training")
    parser.add_argument("--proxy-steps", type=int, nargs="*", default=[30, 80], help="of brief trainings")
    parser.add_argument(
        "--estimators", nargs="*", default=["synflow", "snip", "grad-norm", "naswot", "jacob-cov"]
    )
    parser.add_argument("--supernet-steps", type=int, default=500, help="of weight sharing; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _drawn(space: SearchSpace, arguments: argparse.Namespace) -> Iterator[Architecture]:
    """Yield different architectures that are small enough."""
    rng = np.random.default_rng(arguments.seed)
    seen: set[str] = set()
    while True:
        architecture = space.decode(sample_choices(space, rng))
        macs = count_macs(space.build(architecture), architecture.input_shape)
        if architecture.id not in seen and macs <= arguments.most_gmac * 1e9:
            seen.add(architecture.id)
            yield architecture


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


def _run(jobs: list[Job], workers: int) -> None:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_estimate, job) for job in jobs]
        for number, future in enumerate(as_completed(futures), start=1):
            print(f"[{number}/{len(jobs)}] {future.result()}", file=sys.stderr, flush=True)


def _estimate(job: Job) -> str:
    """Do one job on one processor and write its file; a network that gets no score is told, not left out."""
    torch.set_num_threads(1)
    task = make_task("lidar-segmentation", job.task)
    space = make_search_space(SPACE, task.contract, CHOICES)
    architecture = Architecture.from_json(job.architecture)
    estimator = make_estimator(job.estimator, EstimatorContext(task, space, job.settings))
    with tempfile.TemporaryDirectory() as directory:
        try:
            told: dict[str, Any] = estimator.estimate(
                architecture, seed=job.seed, directory=Path(directory)
            ).to_json()
        except TrainingError as error:
            told = {"score": None, "cost_s": 0.0, "reason": str(error)}
    write_json_atomically(_file_of(job), told)
    return f"{job.label} {architecture.id}: {told['score']} in {told['cost_s']:.1f} s"


def _file_of(job: Job) -> Path:
    settings = "".join(f"-{Path(str(value)).name}" for value in job.settings.values())
    name = f"{Architecture.from_json(job.architecture).id}-{job.seed}-{job.estimator}{settings}.json"
    return job.path / name


def _judged(
    found: dict[str, list[dict[str, Any]]], networks: list[Architecture], space: SearchSpace
) -> dict[str, Any]:
    """Print a line for each estimator and return the same as JSON values."""
    modules = [space.build(architecture) for architecture in networks]
    macs = [
        count_macs(module, network.input_shape) for module, network in zip(modules, networks, strict=True)
    ]
    parameters = [count_parameters(module) for module in modules]
    truth = [entry["score"] for entry in found[FULL]]
    cost_s = np.mean([entry["cost_s"] for entry in found[FULL]])
    print(
        f"{len(networks)} networks of {min(macs) / 1e9:.2f} to {max(macs) / 1e9:.2f} GMAC; error after full "
        f"training {min(truth):.3f} to {max(truth):.3f}, {cost_s:.0f} s each.\n"
    )
    print("| estimator | Kendall tau | of MACs | of parameters | gain over MACs, at least | s a network |")
    print("|---|---|---|---|---|---|")
    summary: dict[str, Any] = {"networks": len(networks), "full_cost_s": float(cost_s), "estimators": {}}
    for label, entries in found.items():
        if label == FULL:
            continue
        kept = [index for index, entry in enumerate(entries) if entry["score"] is not None]
        worth = judge_worth(
            label,
            [entries[index]["score"] for index in kept],
            [truth[index] for index in kept],
            macs=[macs[index] for index in kept],
            parameters=[parameters[index] for index in kept],
            cost_s=float(np.mean([entries[index]["cost_s"] for index in kept])),
        )
        name = label if len(kept) == len(entries) else f"{label} ({len(kept)} networks)"
        print(
            f"| {name} | {worth.agreement} | {worth.macs} | {worth.parameters} | {worth.gain_low:+.2f} | "
            f"{worth.cost_s:.2f} |"
        )
        summary["estimators"][label] = worth.to_json()
    for worth in summary["estimators"].values():
        for warning in worth["warnings"]:
            print(f"\n{warning}")
    return summary


if __name__ == "__main__":
    main()
