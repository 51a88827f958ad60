"""A task with less to learn from and to look at: fewer training samples, fewer columns of each.

Networks of this project are convolutional, so that one of any architecture also takes narrower inputs. They
see every n-th column; what they say of a column stands for those that follow it, and the evaluation is that
of the task, with all of its pixels and points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError
from hwnas.io_spec import IoSpec, NetworkContract
from hwnas.tasks.base import Arrays, LossFunction, LossSettings, MetricWords, Picture, Predict, Quality, Task
from hwnas.tasks.optional_parts import pretraining_dataset, set_epoch
from hwnas.tasks.trees import Tree

Sample = tuple[Tree, Tree]


@dataclass(frozen=True)
class ProxyTask:
    """A task seen through fewer samples and columns.

    Attributes:
        task: what it is a part of.
        every: one in this many columns is seen, from 1.
        samples: share of the training samples that are seen, above 0 to 1, spread evenly; at least one is.
    """

    task: Task
    every: int = 1
    samples: float = 1.0

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ConfigError: naming the setting, what it may be and what it is.
        """
        is_whole = isinstance(self.every, int) and not isinstance(self.every, bool)
        narrowest = min(self.task.contract.widths)
        if not is_whole or not 1 <= self.every <= narrowest:
            raise ConfigError(
                f"`column_stride` is a whole number from 1 to the narrowest input, {narrowest}, but is "
                f"{self.every!r}."
            )
        outputs = self.task.contract.outputs
        if self.every > 1 and [output.stride for output in outputs] != [1]:
            raise ConfigError(
                f"`column_stride` is for tasks whose networks return one map as large as the input, but "
                f"{self.task.name!r} asks for {[(output.name, output.stride) for output in outputs]} (name, "
                "stride). Leave it out; `samples` works for every task."
            )
        is_number = isinstance(self.samples, int | float) and not isinstance(self.samples, bool)
        if not is_number or not 0 < self.samples <= 1:
            raise ConfigError(f"`samples` is a share above 0, 1 at most, but is {self.samples!r}.")

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the task."""
        return self.task.settings

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the task."""
        return self.task.class_names

    @property
    def words(self) -> MetricWords:
        """Of the task."""
        return self.task.words

    @property
    def processor(self) -> str:
        """Of the task."""
        return self.task.processor

    @property
    def contract(self) -> NetworkContract:
        """Of the task: networks are those of the whole inputs."""
        return self.task.contract

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return that of the task."""
        return self.task.io_spec(architecture)

    def train_dataset(self, architecture: Architecture, *, augmentation: float, seed: int) -> Dataset[Sample]:
        """Return part of the training split, see `Task.train_dataset`."""
        whole = self.task.train_dataset(architecture, augmentation=augmentation, seed=seed)
        return _ProxyDataset(whole, self.every, self.samples)

    def pretraining_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[Sample]:
        """Return what the task trains on first, with fewer columns.

        Raises:
            ConfigError: if it has nothing.
        """
        whole = pretraining_dataset(self.task, architecture, augmentation=augmentation, seed=seed)
        return _ProxyDataset(whole, self.every, 1.0)

    def check(self, module: nn.Module, architecture: Architecture) -> None:
        """Refuse a network that cannot take the narrower inputs.

        Raises:
            TrainingError: naming their width.
        """
        channels, height, width = architecture.input_shape
        columns = math.ceil(width / self.every)
        probe = torch.zeros(1, channels, height, columns)
        was_training = module.training
        try:
            with torch.no_grad():
                module.eval()(probe)
        except RuntimeError as error:  # sizes that do not fit, such as those of skip connections
            raise TrainingError(
                f"{architecture.id} does not take inputs of {columns} columns, one in {self.every} of "
                f"{width}: {error}. Its strides must divide that: choose a smaller `column_stride`."
            ) from error
        finally:
            module.train(was_training)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return that of the task."""
        return self.task.loss(architecture, settings)

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Evaluate a network that sees few columns on all of them."""
        if self.every == 1:
            return self.task.evaluate(predict, architecture, split=split, limit=limit)

        def widened(inputs: Arrays) -> Arrays:
            width = next(iter(inputs.values())).shape[-1]
            found = predict(self._narrowed(inputs))
            return {name: np.repeat(array, self.every, axis=-1)[..., :width] for name, array in found.items()}

        return self.task.evaluate(widened, architecture, split=split, limit=limit)

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield inputs with fewer columns."""
        for inputs in self.task.inputs(architecture, split=split, limit=limit):
            yield self._narrowed(inputs)

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Any]:
        """Yield those of the task."""
        return self.task.raw_inputs(architecture, split=split, limit=limit)

    def decisions(self, outputs: Arrays) -> npt.NDArray[Any]:
        """Return those of the task, which here are fewer."""
        return self.task.decisions(outputs)

    def _narrowed(self, inputs: Arrays) -> Arrays:
        return {name: np.ascontiguousarray(array[..., :: self.every]) for name, array in inputs.items()}

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return that of the task: nothing smaller is ever deployed."""
        return self.task.deployment(architecture)

    def fingerprint(self) -> str:
        """Return one that differs from that of the whole task."""
        return f"{self.task.fingerprint()}-every-{self.every}-samples-{self.samples:g}"

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Return those of the task."""
        return self.task.pictures(predict, architecture, limit=limit)


class _ProxyDataset(Dataset[Sample]):
    """Some of the samples of a data set, and some of the columns of each."""

    def __init__(self, whole: Dataset[Sample], every: int, share: float) -> None:
        size = len(cast("Sized", whole))
        kept = math.ceil(size * share)
        self._whole, self._every = whole, every
        self._kept = [number * size // kept for number in range(kept)]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Sample:
        inputs, target = self._whole[self._kept[index]]
        if self._every == 1:
            return inputs, target
        return inputs[..., :: self._every].contiguous(), target[..., :: self._every].contiguous()

    def set_epoch(self, number: int) -> None:
        """Tell the data set of the pass, if it has random items."""
        set_epoch(self._whole, number)
