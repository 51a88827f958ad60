"""Optional parts of the task contract: what a task may do besides, and what happens where it does not.

Evaluation of several networks at once is another, see `hwnas.tasks.batch_evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.scan import Scan
from hwnas.tasks.base import Task
from hwnas.tasks.trees import Tree


@runtime_checkable
class SupportsInputExpectations(Protocol):
    """A task whose bundles state what they expect of their input."""

    def expectations(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return plain JSON values about the raw input, such as those of `ScanExpectations`."""
        ...


def expectations(task: Task, architecture: Architecture) -> dict[str, Any]:
    """Return what a network of this task expects of its raw input; empty for tasks that do not say."""
    return dict(task.expectations(architecture)) if isinstance(task, SupportsInputExpectations) else {}


@runtime_checkable
class SupportsPinnedSettings(Protocol):
    """A task that can say what it derived from its data, so that it can be evaluated on other data."""

    def pinned_settings(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return settings that state outright what was derived from the data of this task.

        `make_task(name, {**settings, **pinned_settings, "data": other})` gives a task that treats other
        data as a network that was trained with this task expects, such as by its normalisation.
        """
        ...


def pinned_settings(task: Task, architecture: Architecture) -> dict[str, Any]:
    """Return the pinned settings of a task; empty for tasks that derive nothing from data."""
    return dict(task.pinned_settings(architecture)) if isinstance(task, SupportsPinnedSettings) else {}


@runtime_checkable
class SupportsPretraining(Protocol):
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
    if not isinstance(task, SupportsPretraining):
        raise ConfigError(
            f"The recipe asks for pre-training, but the task {task.name!r} has no data to train on "
            "first. Set pretraining_steps and pretraining_share to 0."
        )
    return task.pretraining_dataset(architecture, augmentation=augmentation, seed=seed)


@runtime_checkable
class SupportsEpochs(Protocol):
    """A set of training samples with random items, which differ from pass to pass."""

    def set_epoch(self, number: int) -> None:
        """Take note of the pass, from 0, before items of it are taken."""
        ...


def set_epoch(dataset: object, number: int) -> None:
    """Tell a set of training samples of the pass that begins; nothing where its items are the same in all."""
    if isinstance(dataset, SupportsEpochs):
        dataset.set_epoch(number)


@runtime_checkable
class SupportsEndToEndClock(Protocol):
    """A task whose pre- and post-processing the agent knows; `deployment` states their settings."""

    def end_to_end_sample(self, architecture: Architecture) -> Scan:
        """Return a typical scan, always the same one."""
        ...


def end_to_end_sample(task: Task, architecture: Architecture) -> Scan | None:
    """Return the scan that a task is clocked with; None for tasks whose network can only be clocked alone."""
    return task.end_to_end_sample(architecture) if isinstance(task, SupportsEndToEndClock) else None
