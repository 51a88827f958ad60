"""The contract of everything that says how good an architecture is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.plugins import load_plugin
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Quality, Task
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec


@dataclass(frozen=True)
class Estimate:
    """What an estimator says of an architecture, and what it cost.

    Attributes:
        score: less is better. Only the order counts, unless the estimator says in what unit it is.
        cost_s: wall-clock seconds spent on it.
    """

    score: float
    cost_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"score": self.score, "cost_s": self.cost_s}


@dataclass(frozen=True)
class EvaluatedEstimate(Estimate):
    """An estimate whose score is the error of a network that did the task.

    Attributes:
        quality: of that network.
    """

    quality: Quality

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**super().to_json(), "quality": self.quality.to_json()}


@runtime_checkable
class AccuracyEstimator(Protocol):
    """Says how good an architecture is."""

    @property
    def name(self) -> str:
        """Short name for tables, such as `training-400-steps`."""
        ...

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Estimate:
        """Evaluate one architecture.

        Args:
            architecture: what to evaluate.
            seed: for initial weights, order of the data and augmentation.
            directory: where intermediate files may go; exists and is the caller's to delete.

        Raises:
            TrainingError: if no number can be given, with the reason.
        """
        ...


@runtime_checkable
class SupportsPreparation(Protocol):
    """An estimator that something was trained or evaluated for beforehand, once for all architectures."""

    @property
    def prepared_s(self) -> float:
        """What that took, in seconds."""
        ...


@dataclass(frozen=True)
class EstimatorContext:
    """What estimators are made of.

    Attributes:
        task: gives data, loss and metric.
        space: builds the networks.
        settings: of the estimator, each has a default.
        trainer: that trains and evaluates networks.
    """

    task: Task
    space: SearchSpace
    settings: Mapping[str, Any] = field(default_factory=dict)
    trainer: TrainerSpec = BY_DEFAULT


EstimatorFactory = Callable[[EstimatorContext], AccuracyEstimator]
"""What plug-ins register in `hwnas.estimators`."""


def make_estimator(name: str, context: EstimatorContext) -> AccuracyEstimator:
    """Return the registered estimator `name`.

    Raises:
        PluginError: if the name is unknown.
        ConfigError: if a setting is unknown or wrong.
    """
    factory: EstimatorFactory = load_plugin("hwnas.estimators", name)
    return factory(context)
