"""The trainer `supervised`: gradient steps on the training split, figures of the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Quality, Task
from hwnas.tasks.evaluation import evaluate
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainer import train
from hwnas.training.trainers import SUPERVISED, Progress, Trainer, TrainerContext


@dataclass(frozen=True)
class SupervisedTrainer:
    """See the module.

    Attributes:
        task: gives samples, loss and metric.
        space: builds the networks.
    """

    task: Task
    space: SearchSpace
    name: str = SUPERVISED
    adapts: bool = False

    def train(
        self,
        architecture: Architecture,
        recipe: Recipe,
        *,
        seed: int,
        directory: Path,
        progress: Progress | None = None,
        is_stopped: Callable[[], bool] | None = None,
        start: Path | None = None,
    ) -> nn.Module:
        """Train an architecture, see `hwnas.training.trainer.train`."""
        return train(
            self.task,
            self.space,
            architecture,
            recipe,
            seed=seed,
            directory=directory,
            progress=progress,
            is_stopped=is_stopped,
            start=start,
        )

    def evaluate(
        self,
        module: nn.Module,
        architecture: Architecture,
        *,
        seed: int = 0,
        split: str = "val",
        limit: int | None = None,
    ) -> Quality:
        """Return what the task says of the network; nothing is random."""
        predict = torch_predict(module, self.task.io_spec(architecture))
        return evaluate(self.task, predict, architecture, split=split, limit=limit)


def make_supervised(context: TrainerContext) -> Trainer:
    """Return the trainer; it has no settings.

    Raises:
        ConfigError: if it is given some.
    """
    if context.settings:
        raise ConfigError(f"The trainer {SUPERVISED!r} has no settings, but got {sorted(context.settings)}.")
    return SupervisedTrainer(context.task, context.space)
