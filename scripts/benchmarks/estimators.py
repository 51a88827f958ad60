#!/usr/bin/env python3
"""What each accuracy estimator is worth on real scans: Kendall's tau with full training, and its cost.

    python scripts/benchmarks/estimators.py --data DIR --out DIR [--networks 32] [--steps 300] [--json]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. Networks are drawn uniformly from
`range-unet`, those of more than `--most-gmac` are passed over, and each is trained in full (`--steps`) with a
seed of its own. Then every estimator judges the same networks. Nothing of an estimator is fitted to them.
Everything stays in `--out`, and the same command goes on with it. Prints Markdown, and with `--json` ends in
one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
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
from hwnas.tasks.base import make_task

FULL = "full"
SPACE = "range-unet"


@dataclass(frozen=True)
class Job:
    """One estimator on one architecture; `steps` is None for those that train nothing."""

    label: str
    estimator: str
    steps: int | None
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
    space = make_search_space(SPACE, task.contract)
    networks = list(islice(_drawn(space, arguments), arguments.networks))
    labels = {FULL: ("training", arguments.steps)}
    labels |= {f"training-{steps}-steps": ("training", steps) for steps in arguments.proxy_steps}
    labels |= {name: (name, None) for name in arguments.estimators}
    jobs = [
        Job(label, name, steps, architecture.to_json(), number, settings, arguments.out)
        for number, architecture in enumerate(networks)
        for label, (name, steps) in labels.items()
    ]
    _run([job for job in jobs if not _file_of(job).is_file()], arguments.workers)
    print(f"command: scripts/benchmarks/estimators.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    found = {job.label: [] for job in jobs}
    for job in jobs:
        found[job.label].append(json.loads(_file_of(job).read_text(encoding="utf-8")))
    summary = _judged(found, networks, space)
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


def _run(jobs: list[Job], workers: int) -> None:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_estimate, job) for job in jobs]
        for number, future in enumerate(as_completed(futures), start=1):
            print(f"[{number}/{len(jobs)}] {future.result()}", file=sys.stderr, flush=True)


def _estimate(job: Job) -> str:
    """Do one job on one processor and write its file; a network that gets no score is told, not left out."""
    torch.set_num_threads(1)
    task = make_task("lidar-segmentation", job.task)
    space = make_search_space(SPACE, task.contract)
    settings = {} if job.steps is None else {"steps": job.steps}
    architecture = Architecture.from_json(job.architecture)
    estimator = make_estimator(job.estimator, EstimatorContext(task, space, settings))
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
    steps = "" if job.steps is None else f"-{job.steps}"
    name = f"{Architecture.from_json(job.architecture).id}-{job.seed}-{job.estimator}{steps}.json"
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
