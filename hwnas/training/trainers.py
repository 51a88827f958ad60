"""The contract of trainers: what "trained" and "how good" mean for a network.

Search, full training and verification go through the same trainer. Estimators say how cheaply a network is
evaluated; trainers what is evaluated: the network itself, or what becomes of it when it is adapted first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from hwnas.architecture import Architecture
from hwnas.plugins import Blame, made_by, plugin_or_name, refuse_other_name
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Quality, Task
from hwnas.tasks.evaluation import checked_quality
from hwnas.training.recipe import Recipe

GROUP = "hwnas.trainers"
SUPERVISED = "supervised"

Progress = Callable[[int, int, float], None]
"""Is told after every step: steps done, steps in all, loss."""


@runtime_checkable
class Trainer(Protocol):
    """Trains networks of one space for one task, and says how good a trained one is."""

    @property
    def name(self) -> str:
        """The name under which the trainer is registered."""
        ...

    @property
    def adapts(self) -> bool:
        """Whether `evaluate` goes on training a copy of the network first.

        Its figures are then those of other weights than are exported: verification compares the figure that a
        bundle states with what `evaluate` says of its weights, not with what the exported file reaches alone.
        """
        ...

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
        """Train an architecture and return the network, on the CPU and in evaluation mode.

        Args:
            architecture: what to train.
            recipe: how long and how to train; a trainer may ignore what it has no use for.
            seed: of everything random: the same arguments give the same network.
            directory: where checkpoints and, in the end, `weights.safetensors` and `state.json` go, see
                `hwnas.training.checkpoint.save_result`; a finished or interrupted training goes on there.
            progress: is told after every step.
            is_stopped: is asked after every step whether the training is to end; its checkpoint is saved
                first.
            start: weights of the same architecture to begin with, safetensors; None for fresh ones.

        Raises:
            TrainingError: if training cannot go on, or `directory` holds another training.
            TrainingInterruptedError: if it was stopped.
        """
        ...

    def evaluate(
        self,
        module: nn.Module,
        architecture: Architecture,
        *,
        seed: int = 0,
        split: str = "val",
        limit: int | None = None,
    ) -> Quality:
        """Say how good a trained network is; adapts a copy of it first if that counts.

        Args:
            module: trained; stays as it is.
            architecture: of the network.
            seed: of everything random.
            split: of the data.
            limit: samples, or other units of the task, to evaluate on; None for all.
        """
        ...


@dataclass(frozen=True)
class TrainerContext:
    """What trainers are made of.

    Attributes:
        task: gives data, loss and metric.
        space: builds the networks.
        settings: of the trainer, each has a default.
    """

    task: Task
    space: SearchSpace
    settings: Mapping[str, Any] = field(default_factory=dict)


TrainerFactory = Callable[[TrainerContext], Trainer]
"""What plug-ins register in `hwnas.trainers`."""


@dataclass(frozen=True)
class TrainerSpec:
    """A trainer by its name, with its settings; what a run file and a bundle state."""

    name: str = SUPERVISED
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make(self, task: Task, space: SearchSpace) -> Trainer:
        """Return the trainer for a task and a space.

        Raises:
            PluginError: if the name is unknown, or what is registered makes no trainer.
            ConfigError: if a setting is unknown or wrong.
        """
        context = TrainerContext(task, space, self.settings)
        expected = "make a trainer of a context"
        made: Trainer = made_by(GROUP, self.name, context, expected=expected, interface=Trainer)
        refuse_other_name(GROUP, self.name, made.name)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainerSpec:
        """Rebuild from `to_json`."""
        return cls(str(value["name"]), dict(value["settings"]))


BY_DEFAULT = TrainerSpec()
"""The trainer of runs that name none."""


def evaluate_network(
    trainer: Trainer,
    module: nn.Module,
    architecture: Architecture,
    *,
    seed: int = 0,
    split: str = "val",
    limit: int | None = None,
) -> Quality:
    """Return what a trainer says of a trained network.

    Raises:
        PluginError: if trainer or task raise an error of their own, or return anything but a quality of 0..1.
        TrainingError: if there is nothing to evaluate on.
    """
    with Blame(plugin_or_name(GROUP, trainer.name), "evaluate", own_errors=True):
        quality = trainer.evaluate(module, architecture, seed=seed, split=split, limit=limit)
    return checked_quality(quality, trainer.name, group=GROUP, split=split)
