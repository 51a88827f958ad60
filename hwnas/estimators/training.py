"""Accuracy by training: fully, or briefly as a proxy that ranks candidates."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, did_you_mean
from hwnas.estimators.base import EVALUATION, AccuracyEstimator, EstimatorContext, EvaluatedEstimate, Returns
from hwnas.estimators.proxy_task import ProxyTask
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.training.recipe import Recipe
from hwnas.training.trainers import BY_DEFAULT, Progress, TrainerSpec, evaluate_network

_OWN = ("limit", "samples", "column_stride")


@dataclass(frozen=True)
class TrainingEstimator:
    """Trains every architecture from scratch and evaluates it on the validation split.

    Attributes:
        task: gives the data and the metric.
        space: builds the networks.
        recipe: how long and how to train.
        limit: validation samples to evaluate on; None for all.
        progress: is told after every step.
        trainer: that trains and evaluates.
    """

    task: Task
    space: SearchSpace
    recipe: Recipe
    limit: int | None = None
    progress: Progress | None = None
    trainer: TrainerSpec = BY_DEFAULT

    @property
    def name(self) -> str:
        """Such as `training-400-steps`."""
        return f"training-{self.recipe.steps}-steps"

    @property
    def returns(self) -> Returns:
        """The task's metric."""
        return EVALUATION

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> EvaluatedEstimate:
        """Train, resuming what `directory` may hold of it, and evaluate; weights stay in `directory`.

        Raises:
            TrainingError: if training fails, or there is nothing to evaluate on.
            PluginError: if task or trainer do not return a quality of 0..1.
        """
        started_s = time.perf_counter()
        if isinstance(self.task, ProxyTask):
            self.task.check(self.space.build(architecture), architecture)
        trainer = self.trainer.make(self.task, self.space)
        module = trainer.train(
            architecture, self.recipe, seed=seed, directory=directory, progress=self.progress
        )
        quality = evaluate_network(trainer, module, architecture, seed=seed, limit=self.limit)
        return EvaluatedEstimate(quality.value, time.perf_counter() - started_s, quality)


def make_training_estimator(context: EstimatorContext) -> AccuracyEstimator:
    """Return brief training.

    Settings are the fields of `Recipe.proxy()` that are to change, `limit` (validation samples to evaluate
    on), `samples` (share of the training samples) and `column_stride` (one in this many columns of the inputs
    is seen), see `ProxyTask`.

    Raises:
        ConfigError: if a setting is unknown or wrong.
    """
    settings = dict(context.settings)
    limit = settings.pop("limit", None)
    every, samples = settings.pop("column_stride", 1), settings.pop("samples", 1.0)
    recipe = Recipe.proxy()
    known = recipe.to_json()
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"The estimator 'training' has the settings {[*known, *_OWN]}, but got {name!r}."
                f"{did_you_mean(name, [*known, *_OWN])}"
            )
    is_whole = every == 1 and samples == 1
    task = context.task if is_whole else ProxyTask(context.task, every, samples)
    return TrainingEstimator(task, context.space, replace(recipe, **settings), limit, trainer=context.trainer)
