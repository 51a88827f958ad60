#!/usr/bin/env python3
"""What gradients through a supernet find, against uniform draws, on real scans.

    python scripts/benchmarks/gradient.py --data DIR --supernet DIR --out DIR [--steps 60] [--json]

`--data` is a SemanticKITTI directory, sequence 08 is validated on; `--supernet` what `estimators.py` trained
in its `--out`. The choices of the same part of `range-unet` are relaxed. So that the result does not hang on
one device, multiply-accumulates stand for the latency here. Then as many networks are drawn from the relaxed
choices, all weights in turn, as uniformly, and each is trained from scratch, briefly and by itself: the
supernet has no say in how they are evaluated. Everything stays in `--out`; the same command goes on with it.
Hypervolume is that of error and logarithm of the operations, up to error 1 and the largest network of both.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from estimators import CHOICES, SPACE

from hwnas.architecture import Architecture
from hwnas.estimators.base import EstimatorContext, make_estimator
from hwnas.files import write_json_atomically
from hwnas.models.cost import count_macs
from hwnas.pareto import hypervolume
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.tasks.base import Task, make_task
from hwnas.training.recipe import Recipe
from hwnas.training.relaxation import RelaxationSettings, relax
from hwnas.training.relaxed_choices import RelaxedChoices
from hwnas.training.supernet import load_supernet

MOST_GMAC = 5.0


def main() -> None:
    """Relax, draw, train, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": str(arguments.data.resolve()),
        "label_map": "merged-8",
        "widths": [arguments.width],
        "knn": {"cutoff_m": 2.0},
    }
    task, space = _made(settings)
    relaxed = _relaxed(task, space, arguments)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, probabilities in (("uniform", None), ("relaxed", relaxed)):
        networks = _drawn(space, probabilities, arguments.networks, arguments.seed)
        rows[name] = _trained(name, networks, settings, space, arguments)
    print(f"command: scripts/benchmarks/gradient.py {' '.join(sys.argv[1:])}")
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    _show(rows, relaxed, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60, help="of the relaxation")
    parser.add_argument("--networks", type=int, default=15, help="drawn and trained, for either")
    parser.add_argument("--train-steps", type=int, default=120)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _made(settings: dict[str, Any]) -> tuple[Task, SearchSpace]:
    task = make_task("lidar-segmentation", settings)
    return task, make_search_space(SPACE, task.contract, CHOICES)


def _gmac(space: SearchSpace, network: Architecture) -> float:
    return count_macs(space.build(network), network.input_shape) / 1e9


def _relaxed(task: Task, space: SearchSpace, arguments: argparse.Namespace) -> RelaxedChoices:
    known: dict[str, float] = {}

    def operations(networks: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        for network in networks:
            if network.id not in known:
                known[network.id] = _gmac(space, network)
        return np.array([known[network.id] for network in networks])

    def progress(step: int, steps: int, loss: float) -> None:
        print(f"[relaxation {step}/{steps}] loss {loss:.3f}", file=sys.stderr, flush=True)

    return relax(
        task,
        space,
        load_supernet(arguments.supernet, space, task),
        operations,
        Recipe.proxy(),
        RelaxationSettings(steps=arguments.steps, drawn=24),
        seed=arguments.seed,
        directory=arguments.out / "relaxed",
        provenance={"latencies": "multiply-accumulates"},
        progress=progress,
    )


def _drawn(space: SearchSpace, relaxed: RelaxedChoices | None, count: int, seed: int) -> list[Architecture]:
    rng, found = np.random.default_rng([seed, 1]), dict[Architecture, None]()
    while len(found) < count:
        if relaxed is None:
            choices = sample_choices(space, rng)
        else:
            turn = len(found) % len(relaxed.weights)
            choices = {
                gene: values[int(rng.choice(len(values), p=relaxed.probabilities[gene][turn]))]
                for gene, values in space.choices.items()
            }
        network = space.decode(choices)
        if _gmac(space, network) <= MOST_GMAC:
            found[network] = None
    return list(found)


def _trained(
    name: str,
    networks: Sequence[Architecture],
    settings: dict[str, Any],
    space: SearchSpace,
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
    files = [arguments.out / f"{network.id}-{arguments.train_steps}.json" for network in networks]
    missing = [(network, path) for network, path in zip(networks, files, strict=True) if not path.is_file()]
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(_train, network.to_json(), settings, arguments.train_steps, path)
            for network, path in missing
        ]
        for number, future in enumerate(as_completed(futures), start=1):
            print(f"[{name} {number}/{len(missing)}] {future.result():.3f}", file=sys.stderr, flush=True)
    return [
        {**json.loads(path.read_text(encoding="utf-8")), "gmac": _gmac(space, network)}
        for network, path in zip(networks, files, strict=True)
    ]


def _train(network: dict[str, Any], settings: dict[str, Any], steps: int, path: Path) -> float:
    torch.set_num_threads(1)
    task, space = _made(settings)
    estimator = make_estimator("training", EstimatorContext(task, space, {"steps": steps}))
    with tempfile.TemporaryDirectory() as scratch:
        reported = estimator.estimate(Architecture.from_json(network), seed=0, directory=Path(scratch))
    write_json_atomically(path, {**reported.to_json(), "error": reported.quality.error})
    return reported.quality.error


def _show(
    rows: dict[str, list[dict[str, Any]]], relaxed: RelaxedChoices, arguments: argparse.Namespace
) -> None:
    everything = [row for own in rows.values() for row in own]
    least, most = min(row["gmac"] for row in everything), max(row["gmac"] for row in everything)
    scale = math.log(most / least)
    print("| drawn | networks | GMAC, median | error, median | smallest error | hypervolume |")
    print("|---|---|---|---|---|---|")
    volumes = {}
    for name, own in rows.items():
        points = [(row["error"], math.log(row["gmac"] / least)) for row in own]
        volumes[name] = hypervolume(points, (1.0, scale)) / scale
        errors = [row["error"] for row in own]
        print(
            f"| {name} | {len(own)} | {np.median([row['gmac'] for row in own]):.2f} | "
            f"{np.median(errors):.3f} | "
            f"{min(errors):.3f} | {volumes[name]:.4f} |"
        )
    print("\n| weight of the latency | GMAC of its networks, mean | error, mean |")
    print("|---|---|---|")
    for turn, weight in enumerate(relaxed.weights):
        own = rows["relaxed"][turn :: len(relaxed.weights)]
        gmac, error = np.mean([row["gmac"] for row in own]), np.mean([row["error"] for row in own])
        print(f"| {weight:g} | {gmac:.2f} | {error:.3f} |")
    print(f"\nThe relaxation took {relaxed.provenance['seconds']} s for {arguments.steps} steps.")
    if arguments.json:
        print(json.dumps({"hypervolume": volumes, "rows": rows}))


if __name__ == "__main__":
    main()
