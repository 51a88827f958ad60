"""The relaxation of a run's space: its task, its supernet and the latency table of its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture
from hwnas.config import RunConfig
from hwnas.errors import ConfigError
from hwnas.files import sha256_of_file
from hwnas.search.latency_filter import LatencyFilter, table_of_run
from hwnas.search.objectives import objectives_of_run
from hwnas.search.run_target import opened_meter
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.checkpoint import WEIGHTS_FILE
from hwnas.training.recipe import Recipe
from hwnas.training.relaxation import RelaxationSettings, relax
from hwnas.training.relaxed_choices import WEIGHTS, RelaxedChoices
from hwnas.training.supernet import load_supernet
from hwnas.training.trainers import Progress


def relax_run(
    config: RunConfig,
    supernet: Path,
    directory: Path,
    *,
    steps: int,
    weights: tuple[float, ...] = WEIGHTS,
    progress: Progress | None = None,
) -> RelaxedChoices:
    """Relax the choices of a run's space.

    Args:
        config: names task, space and target; `training.proxy` gives batch size, loss and augmentation.
        supernet: directory of shared weights for this space.
        directory: where the result goes.
        steps: each moves every set of choices once.
        weights: of the logarithm of the latency.
        progress: is told after every step.

    Raises:
        ConfigError: if no latency table fits target and space.
        TrainingError: if the supernet is missing or of another space or other data, or the relaxation fails.
        MeasurementError: if the target cannot be reached.
    """
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    shared = load_supernet(supernet, space, task)
    with opened_meter(config, final=False) as meter:
        found = table_of_run(config, space, meter)
    if found is None:
        raise ConfigError(
            f"A relaxation needs a latency table of {config.target} for the space {space.name!r}, but there "
            "is none. Make one with `hwnas profile --run RUN.yaml`, or name it: measuring.table."
        )
    latency_filter = LatencyFilter(found[1], space, objectives_of_run(config, task, space))

    def latencies(networks: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        predicted = latency_filter.predict_many(networks)
        return np.array([np.nan if one is None else one.latency_ms for one in predicted])

    return relax(
        task,
        space,
        shared,
        latencies,
        Recipe(**config.training.proxy.recipe_fields()),
        RelaxationSettings(steps=steps, weights=weights),
        seed=config.search.seed,
        directory=directory,
        provenance={
            "supernet_sha256": sha256_of_file(supernet / WEIGHTS_FILE),
            "table": found[0].name,
            "table_sha256": sha256_of_file(found[0]),
            "target": config.target,
        },
        progress=progress,
    )
