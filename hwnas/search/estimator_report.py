"""How far a search can trust its estimator: what was found out about it before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.config import RunConfig
from hwnas.estimators.comparison import Compared, EstimatorBenchmark, read_estimator_report
from hwnas.estimators.report import EstimatorReport
from hwnas.search_spaces.base import SearchSpace
from hwnas.training.recipe import Recipe
from hwnas.training.trainers import TrainerSpec


def comparison_of_run(
    config: RunConfig, others: Sequence[str], *, networks: int, max_gmac: float | None
) -> EstimatorBenchmark:
    """Return the comparison of a run's estimator, and others, with its full training.

    Args:
        config: gives task, space, estimator and both recipes.
        others: names of further estimators, with their defaults.
        networks: to be trained in full.
        max_gmac: larger ones are passed over; None for none.
    """
    name, settings = estimator_of_run(config)
    own = Compared(f"{name} (of the search)", name, settings)
    return EstimatorBenchmark(
        task={"name": config.task.name, "settings": config.task.settings},
        space={"name": config.space.name, "choices": config.space.choices},
        trainer=TrainerSpec(config.training.trainer.name, config.training.trainer.options),
        full=Recipe(**config.training.full.recipe_fields()).to_json(),
        estimators=(own, *(Compared(other, other) for other in others)),
        networks=networks,
        max_gmac=max_gmac,
        seed=config.search.seed,
    )


def estimator_of_run(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """Return name and settings of the estimator that evaluates the candidates that a strategy proposes."""
    estimator = config.search.first_estimator or config.search.estimator
    name, settings = estimator.name, estimator.options
    if name == "training":
        settings = {**Recipe(**config.training.proxy.recipe_fields()).to_json(), **settings}
    return name, settings


def estimator_report_of_run(config: RunConfig, space: SearchSpace, task: str) -> EstimatorReport | None:
    """Return what is known of a run's estimator; None if the run names nothing.

    Args:
        config: `search.estimator_report` names the directory of a comparison.
        space: of the run.
        task: fingerprint of its task.

    Raises:
        ConfigError: if it is of another estimator, task or space.
    """
    if config.search.estimator_report is None:
        return None
    name, settings = estimator_of_run(config)
    return read_estimator_report(
        Path(config.search.estimator_report), estimator=name, settings=settings, space=space, task=task
    )
