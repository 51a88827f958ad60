"""What a run minimises beside the error, and what its clocks need of the task."""

from __future__ import annotations

import numpy as np

from hwnas.architecture import Architecture
from hwnas.config import AUTO, RunConfig
from hwnas.errors import ConfigError
from hwnas.latency.measure.end_to_end import EndToEndJob
from hwnas.objectives import END_TO_END, LATENCY, Metric, Objectives
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.tasks.optional_parts import SupportsEndToEndClock, end_to_end_sample

_DRAWS = 200


def objectives_of_run(config: RunConfig, task: Task, space: SearchSpace) -> Objectives:
    """Return objective and limits of a run.

    The objective `auto` means `e2e_ms` where the space has networks of several input widths and the task can
    be clocked from scan to labels: a narrow image is cheap to run and costly to post-process, which the clock
    of the network alone does not see.

    Raises:
        ConfigError: if a metric has two limits, or `e2e_ms` is asked for and the task cannot be clocked so.
    """
    can_end_to_end = isinstance(task, SupportsEndToEndClock)
    objective = config.objective
    if objective == AUTO:
        objective = END_TO_END if can_end_to_end and len(input_widths(space)) > 1 else LATENCY
    objectives = config.budget.objectives(objective)
    if Metric(END_TO_END) in objectives.metrics and not can_end_to_end:
        raise ConfigError(
            f"{END_TO_END} needs a task that is clocked from scan to labels, which {task.name!r} is not; "
            f"use {LATENCY}."
        )
    return objectives


def end_to_end_job(
    task: Task, architecture: Architecture, objectives: Objectives, *, is_trained: bool
) -> EndToEndJob | None:
    """Return what the end-to-end clock needs; None where no metric of it is asked for."""
    if Metric(END_TO_END) not in objectives.metrics:
        return None
    scan = end_to_end_sample(task, architecture)
    return None if scan is None else EndToEndJob(task.deployment(architecture), scan, is_trained)


def input_widths(space: SearchSpace) -> set[int]:
    """Return the input widths that some random networks of a space have."""
    generator = np.random.default_rng(0)
    found = set()
    for _ in range(_DRAWS):
        drawn = {gene: values[int(generator.integers(len(values)))] for gene, values in space.choices.items()}
        found.add(int(space.decode(drawn).input_shape[-1]))
    return found
