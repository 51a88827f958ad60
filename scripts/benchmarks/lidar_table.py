#!/usr/bin/env python3
"""A table of networks trained on real scans: mIoU at every quarter of training, size, cost.

    python scripts/benchmarks/lidar_table.py --table TABLE.jsonl --data DIR [--jobs 2] [--rows N]
    python scripts/benchmarks/lidar_table.py --table TABLE.jsonl --show
    python scripts/benchmarks/lidar_table.py --table TABLE.jsonl --latency [--networks N] [--rounds 3]

`--data` is a SemanticKITTI directory; sequence 08 is validated on. Networks of `range-unet` are drawn from
strata of equal ratios of multiply-accumulate operations; hand-crafted networks and one of middle genes, each
at several widths, join them. Every network is trained with the same recipe in one thread, some with three
seeds. The same command goes on with a table, on another machine too; a table of other data or another recipe
is refused. `--show` prints what the table says so far; `--latency` clocks its networks in a file beside it,
on a calm machine.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from row_table import Row, RowTable
from stratified_networks import (
    BEYOND,
    Job,
    edges_of,
    hand_crafted_networks,
    middle_networks,
    ordered_jobs,
    sample_strata,
)

from hwnas.architecture import Architecture
from hwnas.errors import HwnasError, TrainingError
from hwnas.files import sha256_of_file
from hwnas.io_spec import NetworkContract
from hwnas.models.cost import count_macs, count_parameters
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Quality, Task, make_task
from hwnas.tasks.evaluation import evaluate
from hwnas.training.loop import TrainingLoop
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.samples import EndlessDataset, StepSampler, load_batches
from hwnas.version import __version__
from hwnas.worker_pool import worker_pool

SPACES = ("range-unet", "hand-crafted")
WIDTH = 256
QUARTERS = 4
RECIPE = Recipe(steps=200, learning_rate=1e-2, average=0.95, mixed_precision="no")
"""So few steps learn more at this rate than at the usual 2e-3. Precision is stated, since a table may be made
on several machines."""
SHAPING = (
    "steps",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "cross_entropy",
    "lovasz",
    "augmentation",
    "gradient_clip",
    "optimizer",
    "mixed_precision",
    "average",
)
"""Settings of the recipe that the rows depend on."""
TASK: Mapping[str, Any] = {
    "label_map": "merged-8",
    "widths": [WIDTH],
    "knn": {"k": 5, "window": 5, "sigma": 1.0, "cutoff_m": 2.0},
}
LEAST_GMAC, MOST_GMAC, STRATA = 0.02, 3.0, 20
ORDER_SEED = 0
PROTOCOL = 1
"""Changes with whatever changes the rows and is no setting."""
_SEEDS = 1 << 28


def main() -> None:
    """Train, clock or show."""
    arguments = _arguments()
    try:
        if arguments.show:
            from lidar_table_figures import show

            show(arguments.table)
        elif arguments.latency:
            from lidar_table_latency import clock

            clock(arguments.table, networks=arguments.networks, rounds=arguments.rounds)
        else:
            train_missing(arguments)
    except HwnasError as error:
        sys.exit(f"Error: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True, help="JSON lines; is begun or gone on with")
    parser.add_argument("--data", type=Path, help="SemanticKITTI directory, to train")
    parser.add_argument("--jobs", type=int, default=1, help="networks trained side by side, a thread each")
    parser.add_argument("--rows", type=int, help="stop after so many new rows")
    parser.add_argument("--networks-a-stratum", type=int, default=25)
    parser.add_argument("--show", action="store_true", help="print figures of the table")
    parser.add_argument("--latency", action="store_true", help="clock what has no latency yet")
    parser.add_argument("--networks", type=int, help="with --latency: of the table's first ones")
    parser.add_argument(
        "--rounds", type=int, default=3, help="with --latency: measurements of each, by turns"
    )
    arguments = parser.parse_args()
    if not (arguments.show or arguments.latency or arguments.data):
        parser.error("training needs --data; otherwise name --show or --latency")
    return arguments


def task_settings(data: Path) -> dict[str, Any]:
    """Return the settings of the task for scans in `data`."""
    return {"data": str(data.resolve()), **TASK}


def table_settings(task: Task, data: Path) -> dict[str, Any]:
    """Return what shapes the rows, but for the rounding of machines.

    Settings that are none yet are left out, so that a later version goes on with a table; whoever changes
    what a row says without a setting raises `PROTOCOL`.
    """
    recipe = RECIPE.to_json()
    return {
        "protocol": PROTOCOL,
        "task": TASK,
        "scans_sha256": scans_sha256(data),
        "class_names": list(task.class_names),
        "recipe": {name: recipe[name] for name in SHAPING},
        "evaluations": QUARTERS,
    }


def scans_sha256(data: Path) -> str:
    """Return a hash of names and contents of all scans and labels of a SemanticKITTI directory."""
    digest = hashlib.sha256()
    for path in sorted(data.glob("sequences/*/*/*")):
        if path.suffix in {".bin", ".label"}:
            digest.update(f"{path.relative_to(data).as_posix()} {sha256_of_file(path)}\n".encode("ascii"))
    return digest.hexdigest()


def session_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what rows are made on, without names or paths of the machine."""
    words = ["--data DIR", "--table TABLE", f"--jobs {arguments.jobs}"]
    return {
        "command": f"scripts/benchmarks/lidar_table.py {' '.join(words)}",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, one thread a network",
        "processor": _processor(),
        "versions": {
            "hwnas": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return found.group(1) if found else platform.processor()


def planned_jobs(contract: NetworkContract, networks_a_stratum: int) -> Iterator[Job]:
    """Yield all trainings of a table, in their order."""
    space, crafted = (make_search_space(name, contract) for name in SPACES)
    edges = edges_of(LEAST_GMAC, MOST_GMAC, STRATA)
    rng = np.random.default_rng(ORDER_SEED)
    strata = sample_strata(space, edges, networks_a_stratum, rng)
    others = [(network, "hand-crafted") for network in hand_crafted_networks(crafted, BEYOND * MOST_GMAC)]
    others += [(network, "scaled") for network in middle_networks(space, MOST_GMAC)]
    places = np.random.default_rng(ORDER_SEED).permutation(len(others))
    return ordered_jobs(strata, [others[int(place)] for place in places], ORDER_SEED)


def train_missing(arguments: argparse.Namespace) -> None:
    """Train what the table lacks, in the order of the plan, and append each row when it is done."""
    settings = task_settings(arguments.data)
    task = make_task("lidar-segmentation", settings)
    with RowTable(arguments.table, table_settings(task, arguments.data)) as table:
        known = table.keys
        jobs = [
            job
            for job in planned_jobs(task.contract, arguments.networks_a_stratum)
            if (job.architecture.id, job.seed) not in known
        ][: arguments.rows]
        session = table.add_session(session_of(arguments)) if jobs else ""
        print(f"{len(known)} rows are there, {len(jobs)} are to come", file=sys.stderr, flush=True)
        with worker_pool(arguments.jobs) as pool:
            futures = [pool.submit(train_row, job, json.dumps(settings)) for job in jobs]
            for number, future in enumerate(as_completed(futures), start=1):
                row = future.result() | {"session": session}
                table.append(row)
                print(f"[{number}/{len(jobs)}] {_line(row)}", file=sys.stderr, flush=True)


def _line(row: Row) -> str:
    what = f"{row['origin']} {row['id']} seed {row['seed']}, {row['macs'] / 1e9:.3f} GMAC"
    said = row["reason"] if row["miou"] is None else f"mIoU {row['miou_curve']}"
    return f"{what}: {said}, {row['cpu_s']:.0f} s of the processor, {row['wall_s']:.0f} s"


@functools.cache
def _task(settings: str) -> Task:
    """Return the task; a worker keeps it with the scans that it has read."""
    return make_task("lidar-segmentation", json.loads(settings))


def train_row(job: Job, settings: str) -> Row:
    """Do one training in one thread and return its row; what fails becomes a row with the reason."""
    torch.set_num_threads(1)
    return row_of(job, _task(settings), RECIPE)


def random_seed(architecture: Architecture, seed: int) -> int:
    """Return the seed of weights, order and augmentation: of no two trainings the same."""
    digest = hashlib.sha256(f"{architecture.id}-{seed}".encode("ascii")).hexdigest()
    return int(digest[:8], 16) % _SEEDS


def row_of(job: Job, task: Task, recipe: Recipe) -> Row:
    """Train and evaluate one network, and return its row without what the table adds."""
    architecture = job.architecture
    space = make_search_space(architecture.space, task.contract)
    module = space.build(architecture)
    row: Row = {
        "id": architecture.id,
        "origin": job.origin,
        "seed": job.seed,
        "space": architecture.space,
        "genes": dict(architecture.genes),
        "macs": count_macs(module, architecture.input_shape),
        "parameters": count_parameters(module),
        "steps": recipe.steps,
    }
    clock = Clock()
    try:
        curve = list(train_with_curve(task, space, architecture, recipe, job.seed, clock))
        figures: Row = _figures(curve)
    except (
        TrainingError,
        RuntimeError,
        MemoryError,
    ) as error:  # torch raises RuntimeError for what it cannot
        figures = {"miou": None, "miou_curve": None, "iou_curve": None, "reason": f"{error}"[:200]}
    return row | figures | {"cpu_s": round(clock.cpu_s, 2), "wall_s": round(clock.wall_s, 2)}


class Clock:
    """Adds up what trainings take, on the processor and on the wall."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0

    def __enter__(self) -> None:
        """Go on."""
        self._began = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stand still."""
        self.cpu_s += time.process_time() - self._began[0]
        self.wall_s += time.perf_counter() - self._began[1]


def train_with_curve(
    task: Task, space: SearchSpace, architecture: Architecture, recipe: Recipe, seed: int, clock: Clock
) -> Iterator[Quality]:
    """Train and yield the quality on the validation scans at every quarter; `clock` runs while it trains.

    Raises:
        TrainingError: if the loss is not finite.
    """
    number = random_seed(architecture, seed)
    torch.manual_seed(number)
    loop = TrainingLoop(space.build(architecture), task.loss(architecture, recipe.loss), recipe, number)
    samples = task.train_dataset(architecture, augmentation=recipe.augmentation, seed=number)
    sampler = StepSampler(first_step=0, steps=recipe.steps, batch_size=recipe.batch_size)
    batches = iter(load_batches(EndlessDataset(samples, number), sampler, workers=0))
    for quarter in range(1, QUARTERS + 1):
        with clock:
            while loop.step < recipe.steps * quarter // QUARTERS:
                loop.advance(*next(batches))
        predict = torch_predict(loop.result, task.io_spec(architecture))
        yield evaluate(task, predict, architecture)


def _figures(curve: list[Quality]) -> Row:
    """Return the columns of accuracy; of absent classes there are none."""
    last = np.array(curve[-1].confusion)
    hits = np.diag(last)
    return {
        "miou": round(curve[-1].value, 5),
        "miou_curve": [round(quality.value, 5) for quality in curve],
        "iou_curve": [[_rounded(value) for value in quality.per_class.values()] for quality in curve],
        "intersection": hits.tolist(),
        "union": (last.sum(axis=0) + last.sum(axis=1) - hits).tolist(),
        "reason": "",
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    main()
