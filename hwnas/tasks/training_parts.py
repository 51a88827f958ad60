"""What training takes of a task: samples and loss that name a task of a plug-in where they raise an error."""

from __future__ import annotations

from collections.abc import Sized
from functools import partial
from typing import cast

from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.plugins import blame_of_foreign
from hwnas.tasks.base import GROUP, LossFunction, LossSettings, Task
from hwnas.tasks.optional_parts import pretraining_dataset, set_epoch
from hwnas.tasks.trees import Tree


class TrainingSamples(Dataset[tuple[Tree, Tree]]):
    """The samples of a task to train on, or to begin with."""

    def __init__(
        self,
        task: Task,
        architecture: Architecture,
        *,
        augmentation: float,
        seed: int,
        is_pretraining: bool = False,
    ) -> None:
        """Ask the task for its samples.

        Args:
            task: that has them.
            architecture: see `Task.train_dataset`.
            augmentation: see there.
            seed: see there.
            is_pretraining: take the samples to begin a training with.

        Raises:
            PluginError: if a task of a plug-in raises an error of its own.
            ConfigError: if the task has no samples to begin with.
        """
        method = "pretraining_dataset" if is_pretraining else "train_dataset"
        self._blame = blame_of_foreign(GROUP, task.name, method)
        make = partial(pretraining_dataset, task) if is_pretraining else task.train_dataset
        with self._blame:
            self._own = make(architecture, augmentation=augmentation, seed=seed)

    def __len__(self) -> int:
        """Return how many there are."""
        with self._blame:
            return len(cast("Sized", self._own))

    def __getitem__(self, index: int) -> tuple[Tree, Tree]:
        """Return inputs and targets."""
        with self._blame:
            return self._own[index]

    def set_epoch(self, number: int) -> None:
        """Tell the samples of the pass, if they are random."""
        with self._blame:
            set_epoch(self._own, number)


def training_loss(task: Task, architecture: Architecture, settings: LossSettings) -> LossFunction:
    """Return the training loss of a task.

    Raises:
        PluginError: if a task of a plug-in raises an error of its own, here or in the loss.
    """
    blame = blame_of_foreign(GROUP, task.name, "loss")
    with blame:
        own = task.loss(architecture, settings)

    def loss(outputs: Tree, targets: Tree) -> Tensor:
        with blame:
            return own(outputs, targets)

    return loss
