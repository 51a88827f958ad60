"""Tasks that can train on other data first, such as rendered scenes before few real ones."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.tasks.base import Task
from hwnas.tasks.trees import Tree


@runtime_checkable
class HasPretraining(Protocol):
    """A task with data to begin a training with."""

    def pretraining_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tree, Tree]]:
        """Return a set like that of `Task.train_dataset`, of the data to train on first.

        Raises:
            ConfigError: if the settings name no such data.
        """
        ...


def pretraining_dataset(
    task: Task, architecture: Architecture, *, augmentation: float, seed: int
) -> Dataset[tuple[Tree, Tree]]:
    """Return what a task trains on first.

    Raises:
        ConfigError: if it has nothing.
    """
    if not isinstance(task, HasPretraining):
        raise ConfigError(
            f"The recipe asks for pre-training, but the task {task.name!r} has no data to train on "
            "first. Set pretraining_steps and pretraining_share to 0."
        )
    return task.pretraining_dataset(architecture, augmentation=augmentation, seed=seed)
