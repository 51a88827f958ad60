"""Accuracy by inheriting weights: no training of the candidate, one training for all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import default_collate

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, did_you_mean
from hwnas.estimators.base import EVALUATION, AccuracyEstimator, EstimatorContext, EvaluatedEstimate, Returns
from hwnas.plugin_settings import takes_settings
from hwnas.tasks.base import Task
from hwnas.tasks.trees import Tree
from hwnas.training.shared_weights import SharedWeights
from hwnas.training.supernet import load_supernet, seconds_of_supernet
from hwnas.training.trainers import Trainer, evaluate_network

_SETTINGS = ("supernet", "calibration_batches", "batch_size", "limit")


@dataclass(frozen=True)
class WeightSharingEstimator:
    """Cuts a network out of a supernet, gives it batch statistics of its own and evaluates it.

    Attributes:
        task: gives the data.
        shared: trained weights.
        trainer: evaluates.
        calibration_batches: of training samples that the statistics are taken from.
        batch_size: samples in each.
        limit: validation samples to evaluate on; None for all.
        prepared_s: seconds that training the shared weights took.
    """

    task: Task
    shared: SharedWeights
    trainer: Trainer
    calibration_batches: int = 2
    batch_size: int = 2
    limit: int | None = None
    prepared_s: float = 0.0
    _known: dict[tuple[tuple[int, ...], int], list[Tree]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """`weight-sharing`."""
        return "weight-sharing"

    @property
    def returns(self) -> Returns:
        """The task's metric."""
        return EVALUATION

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> EvaluatedEstimate:
        """Evaluate one architecture; nothing is written into `directory`.

        Raises:
            TrainingError: if the network is not of the supernet's space, or there is nothing to evaluate on.
            PluginError: if task or trainer do not return a quality of 0..1.
        """
        del directory
        started_s = time.perf_counter()
        module = self.shared.inherit(architecture, self._batches(architecture, seed))
        quality = evaluate_network(self.trainer, module, architecture, seed=seed, limit=self.limit)
        return EvaluatedEstimate(quality.value, time.perf_counter() - started_s, quality)

    def _batches(self, architecture: Architecture, seed: int) -> list[Tree]:
        # Every candidate gets the same samples: reading them again would take as long as evaluating it.
        key = (architecture.input_shape, seed)
        if key not in self._known:
            self._known.clear()
            self._known[key] = self._read(architecture, seed)
        return self._known[key]

    def _read(self, architecture: Architecture, seed: int) -> list[Tree]:
        samples = self.task.train_dataset(architecture, augmentation=0.0, seed=seed)
        size = len(samples)  # type: ignore[arg-type]  # map-style sets have a length
        wanted = [index % size for index in range(self.calibration_batches * self.batch_size)]
        inputs = [samples[index][0] for index in wanted]
        return [
            default_collate(inputs[start : start + self.batch_size])
            for start in range(0, len(inputs), self.batch_size)
        ]


@takes_settings(inputs=("supernet",))
def make_weight_sharing(context: EstimatorContext) -> AccuracyEstimator:
    """Return the estimator; its setting `supernet` is the directory of a trained one.

    Raises:
        ConfigError: if a setting is unknown or `supernet` is missing.
        TrainingError: if there is no such supernet, or it is damaged or of another space or other data.
    """
    settings: dict[str, Any] = dict(context.settings)
    for name in settings:
        if name not in _SETTINGS:
            raise ConfigError(
                f"The estimator 'weight-sharing' has the settings {list(_SETTINGS)}, but got {name!r}."
                f"{did_you_mean(name, _SETTINGS)}"
            )
    if "supernet" not in settings:
        raise ConfigError(
            "The estimator 'weight-sharing' needs the setting 'supernet', the directory of a trained one; "
            "`hwnas supernet RUN.yaml --out DIR` trains it."
        )
    directory = Path(settings.pop("supernet"))
    shared = load_supernet(directory, context.space, context.task)
    trainer = context.trainer.make(context.task, context.space)
    return WeightSharingEstimator(
        context.task, shared, trainer, prepared_s=seconds_of_supernet(directory), **settings
    )
