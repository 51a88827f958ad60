"""Searches on real scans that benchmarks compare with each other."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimators import CHOICES, SPACE

from hwnas.config import RunConfig, parse_config
from hwnas.pareto import hypervolume
from hwnas.search.driver import search
from hwnas.search.progress import SearchStatus
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import rungs_of_run, stage_costs


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
    rungs: list[dict[str, int]]


def searched(config: RunConfig, path: Path) -> Searched:
    """Do one search, or go on with it; what happens is told on stderr."""
    directory = RunDirectory(path)
    last = ""

    def told(status: SearchStatus) -> None:
        nonlocal last
        if status.message != last:
            last = status.message
            print(f"[{path.name}, {status.trained}] {last}", file=sys.stderr, flush=True)

    search(config, path, resume=directory.exists, progress=told)
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
            "measuring": {"search": {"processes": 1, "max_s": 2.0, "limit_s": 4.0}},
        }
    )
