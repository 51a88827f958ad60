"""Searches on real scans that benchmarks compare with each other."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from estimators import CHOICES, SPACE

from hwnas.config import RunConfig, parse_config
from hwnas.models.cost import count_macs
from hwnas.pareto import hypervolume
from hwnas.search.driver import search
from hwnas.search.progress import SearchStatus
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import rungs_of_run, stage_costs
from hwnas.search_spaces.base import make_search_space, sample_choices
from hwnas.tasks.base import make_task

CLOCK: dict[str, Any] = {"processes": 1, "max_s": 2.0, "limit_s": 4.0}
BRIEFLY: dict[str, Any] = {
    "max_warmup_s": 0.1,
    "warmup_s": 0.05,
    "max_s": 0.2,
    "limit_s": 0.5,
    "max_attempts": 1,
}


@dataclass(frozen=True)
class Searched:
    """What a search found and cost.

    Attributes:
        points: error and second objective of every trained network; with several fidelities of those trained
            longest.
        stages: the cost of each, by name, in seconds; `total` among them.
        rungs: see `rungs_of_run`.
    """

    points: list[tuple[float, float]]
    stages: dict[str, float]
    rungs: list[dict[str, Any]]


def searched(config: RunConfig, path: Path) -> Searched:
    """Do one search, or go on with it; what happens is told on stderr."""
    directory = RunDirectory(path)
    last = ""

    def show(status: SearchStatus) -> None:
        nonlocal last
        if status.message != last:
            last = status.message
            print(f"[{path.name}, {status.trained}] {last}", file=sys.stderr, flush=True)

    search(config, path, resume=directory.exists, progress=show)
    own = [trial for trial in directory.read_front()["trials"] if trial["duplicate_of"] is None]
    return Searched(
        [(trial["error"], trial["cost"]) for trial in own if trial["state"] == "COMPLETE"],
        {stage.stage: stage.seconds for stage in stage_costs(directory)},
        rungs_of_run(directory),
    )


def volumes(searches: Sequence[Searched]) -> list[float]:
    """Return the hypervolume of each: of error and logarithm of the cost, in the box of all of them.

    The box ends at error 1 and at the costliest network, and begins at error 0 and the cheapest.
    """
    costs = [cost for one in searches for _, cost in one.points]
    span = math.log(max(costs) / min(costs))
    found = []
    for one in searches:
        points = [(error, math.log(cost / min(costs))) for error, cost in one.points]
        found.append(hypervolume(points, (1.0, span)) / span)
    return found


def volume_in(
    box: tuple[float, float], points: Sequence[tuple[float, float]], *, is_log: bool = True
) -> float:
    """Return the hypervolume of error and cost, as a share of a box.

    Args:
        box: least and largest cost; errors reach from 0 to 1. A cheaper network counts as the least.
        points: (error, cost) of networks.
        is_log: whether the logarithm of the cost counts: twice as fast is worth the same everywhere then.
    """

    def place(cost: float) -> float:
        return math.log(cost / box[0]) if is_log else cost - box[0]

    inside = [(error, max(0.0, place(cost))) for error, cost in points if cost <= box[1]]
    return hypervolume(inside, (1.0, place(box[1]))) / place(box[1]) if inside else 0.0


def within_cost(path: Path, seconds: float) -> tuple[list[tuple[float, float]], float]:
    """Return (error, cost) of what a plain search has trained for so many seconds of its workers, and these.

    Trials count in the order in which they ended; the one that goes beyond the seconds does not.
    """
    trials = RunDirectory(path).read_front()["trials"]
    own = [trial for trial in trials if trial["duplicate_of"] is None and trial["seconds"] is not None]
    points, spent_s = [], 0.0
    for trial in sorted(own, key=lambda trial: float(trial["elapsed_s"])):
        if spent_s + trial["seconds"] > seconds:
            break
        spent_s += trial["seconds"]
        if trial["state"] == "COMPLETE":
            points.append((trial["error"], trial["cost"]))
    return points, spent_s


def drawn_gmacs(data: Path, *, width: int, number: int = 1000) -> tuple[float, float]:
    """Return the least and the largest GMAC of networks drawn from the space of `config_on_scans`."""
    config = config_on_scans(data, width=width, steps=1, search={})
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    rng = np.random.default_rng(0)
    drawn = [space.decode(sample_choices(space, rng)) for _ in range(number)]
    counted = [count_macs(space.build(one), one.input_shape) / 1e9 for one in drawn]
    return min(counted), max(counted)


def config_on_scans(
    data: Path, *, width: int, steps: int, search: dict[str, Any], objective: str = "latency_ms"
) -> RunConfig:
    """Return a run on SemanticKITTI scans, over the part of `range-unet` that estimators are compared on.

    Args:
        data: directory; sequence 08 is validated on.
        width: of the range images.
        steps: of each training.
        search: the section `search`.
        objective: the second one. `gmacs` needs no clock: it is the same whatever else the machine does.
    """
    return parse_config(
        {
            "task": {
                "name": "lidar-segmentation",
                "data": str(data.resolve()),
                "label_map": "merged-8",
                "widths": [width],
                "knn": {"cutoff_m": 2.0},
            },
            "space": {"name": SPACE, "choices": CHOICES},
            "objective": objective,
            "search": search,
            "training": {"proxy": {"steps": steps}},
            # Where operations are the objective, the clock need not be exact.
            "measuring": {"search": CLOCK if objective == "latency_ms" else CLOCK | BRIEFLY},
        }
    )
