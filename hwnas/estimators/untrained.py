"""Estimators that look at networks with fresh weights, and the sizes that any of them has to beat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import default_collate

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError, did_you_mean
from hwnas.estimators.base import SCORE, AccuracyEstimator, Estimate, EstimatorContext, Returns, returning
from hwnas.estimators.zero_cost import grad_norm, jacob_cov, naswot, snip, synflow
from hwnas.models.cost import count_macs, count_parameters
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import LossFunction, LossSettings, Task
from hwnas.tasks.trees import Tree, leaves

BATCH_SIZE = 8


@dataclass(frozen=True)
class Batch:
    """Training samples without augmentation: inputs and targets of a batch, and the task's loss."""

    inputs: Tree
    targets: Tree
    loss: LossFunction


Score = Callable[[nn.Module, Batch], float]
"""Of a network with fresh weights; more is better."""


def _of_ones(module: nn.Module, batch: Batch) -> float:
    return synflow(module, [tuple(leaf.shape[1:]) for leaf in leaves(batch.inputs)])


def _macs(module: nn.Module, batch: Batch) -> float:
    return float(count_macs(module, *(tuple(leaf.shape[1:]) for leaf in leaves(batch.inputs))))


SCORES: Mapping[str, Score] = {
    "synflow": _of_ones,
    "snip": lambda module, batch: snip(module, batch.inputs, batch.targets, batch.loss),
    "grad-norm": lambda module, batch: grad_norm(module, batch.inputs, batch.targets, batch.loss),
    "naswot": lambda module, batch: naswot(module, batch.inputs),
    "jacob-cov": lambda module, batch: jacob_cov(module, batch.inputs),
    "macs": _macs,
    "parameters": lambda module, _batch: float(count_parameters(module)),
}


@dataclass(frozen=True)
class UntrainedEstimator:
    """Builds a network and scores it with fresh weights.

    Attributes:
        name: of the score, one of `SCORES`.
        task: gives samples and loss.
        space: builds the networks.
        batch_size: training samples to look at.
    """

    name: str
    task: Task
    space: SearchSpace
    batch_size: int = BATCH_SIZE

    @property
    def returns(self) -> Returns:
        """A score, which orders networks and says nothing of the task's metric."""
        return SCORE

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Estimate:
        """Score one architecture; nothing is written into `directory`.

        Raises:
            TrainingError: if the score is no number, such as where two samples switch the same units.
        """
        del directory
        started_s = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.space.build(architecture)
            score = SCORES[self.name](module, self._batch(architecture, seed))  # dropout draws, too
        if not math.isfinite(score):
            raise TrainingError(
                f"{self.name} of {architecture.id} is {score}: a score must be a finite number to order "
                "networks by. Give other samples, or leave this network out."
            )
        return Estimate(score, time.perf_counter() - started_s)

    def _batch(self, architecture: Architecture, seed: int) -> Batch:
        samples = self.task.train_dataset(architecture, augmentation=0.0, seed=seed)
        count = min(self.batch_size, len(samples))  # type: ignore[arg-type]  # map-style sets have a length
        pairs = [samples[index] for index in range(count)]
        loss = self.task.loss(architecture, LossSettings())
        inputs, targets = default_collate(pairs)
        return Batch(inputs, targets, loss)


def _factory(name: str) -> Callable[[EstimatorContext], AccuracyEstimator]:
    def make(context: EstimatorContext) -> AccuracyEstimator:
        return UntrainedEstimator(name, context.task, context.space, **_settings(name, context.settings))

    make = returning(SCORE)(make)
    make.__doc__ = f"Return the estimator {name!r}; its setting is `batch_size`."
    return make


def _settings(name: str, settings: Mapping[str, Any]) -> dict[str, int]:
    for key in settings:
        if key != "batch_size":
            raise ConfigError(
                f"The estimator {name!r} has the setting 'batch_size', but got {key!r}."
                f"{did_you_mean(key, ['batch_size'])}"
            )
    size = settings.get("batch_size", BATCH_SIZE)
    if not isinstance(size, int) or isinstance(size, bool) or size < 2:
        raise ConfigError(f"'batch_size' of {name!r} must be a whole number from 2, but got {size!r}.")
    return {"batch_size": size}


make_synflow = _factory("synflow")
make_snip = _factory("snip")
make_grad_norm = _factory("grad-norm")
make_naswot = _factory("naswot")
make_jacob_cov = _factory("jacob-cov")
make_macs = _factory("macs")
make_parameters = _factory("parameters")
