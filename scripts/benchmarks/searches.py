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
        points: error and latency of every trained network; with several fidelities of those trained longest.
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
        [(trial["error"], trial["latency_ms"]) for trial in own if trial["state"] == "COMPLETE"],
        {stage.stage: stage.seconds for stage in stage_costs(directory)},
        rungs_of_run(directory),
    )


def volumes(searches: Sequence[Searched]) -> list[float]:
    """Return the hypervolume of each: of error and logarithm of the latency, in the box of all of them.

    The box ends at error 1 and at the slowest network, and begins at error 0 and the fastest.
    """
    times = [latency for one in searches for _, latency in one.points]
    span = math.log(max(times) / min(times))
    found = []
    for one in searches:
        points = [(error, math.log(latency / min(times))) for error, latency in one.points]
        found.append(hypervolume(points, (1.0, span)) / span)
    return found


def config_on_scans(data: Path, *, width: int, steps: int, search: dict[str, Any]) -> RunConfig:
    """Return a run on SemanticKITTI scans, over the part of `range-unet` that estimators are compared on.

    Args:
        data: directory; sequence 08 is validated on.
        width: of the range images.
        steps: of each training.
        search: the section `search`.
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
            "objective": "latency_ms",
            "search": search,
            "training": {"proxy": {"steps": steps}},
            "measuring": {"search": {"processes": 1, "max_s": 2.0, "limit_s": 4.0}},
        }
    )
