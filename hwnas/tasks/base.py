"""The task contract: everything that search, training, export and verification need to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.arrays import FloatArray
from hwnas.io_spec import IoSpec, NetworkContract
from hwnas.plugins import made_by, refuse_other_name
from hwnas.tasks.trees import Tree
from hwnas.text import counted, one_line

GROUP = "hwnas.tasks"
Arrays = Mapping[str, FloatArray]
"""Arrays by the names of a network's inputs or outputs, each with a batch of 1 as its first axis."""

Predict = Callable[[Arrays], Arrays]
"""Runs a network in any runtime: maps its inputs by name to its outputs by name."""

LossFunction = Callable[[Tree, Tree], Tensor]
"""Maps what a network returned for a batch, and the batch of targets, to a scalar."""


@dataclass(frozen=True)
class MetricWords:
    """The terms of a task for reports and the command line, each in the singular.

    Attributes:
        metric: what the search maximises, such as `mIoU`.
        part: the same of one group, such as `IoU`.
        item: what is counted, such as `point`.
        sample: one input of the network, such as `scan`.
        group: what the figure is split by, such as `class`.
    """

    metric: str
    part: str
    item: str
    sample: str
    group: str

    def to_json(self) -> dict[str, str]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Quality:
    """How well a network does its task; a task's primary metric with its parts.

    Attributes:
        metric: name of the metric, such as `mIoU`.
        value: the metric, 0 (worst) to 1 (best).
        per_class: the metric of each class, or of each other group that the task splits it by; None where the
            ground truth has no such group.
        num_samples: samples evaluated, such as scans or images.
        num_items: items evaluated, such as points, pixels or boxes.
        items_per_class: ground-truth items of each group.
        confusion: [K, K] how many items of each class (rows) were taken for each (columns), in the order of
            `per_class`; None for tasks that count none.
    """

    metric: str
    value: float
    per_class: Mapping[str, float | None]
    num_samples: int
    num_items: int
    items_per_class: Mapping[str, int] = field(repr=False)
    confusion: tuple[tuple[int, ...], ...] | None = field(default=None, repr=False)

    @property
    def error(self) -> float:
        """1 - value, the objective to minimise."""
        return 1.0 - self.value

    @property
    def absent_classes(self) -> tuple[str, ...]:
        """Classes that the ground truth does not hold; they are left out of the mean."""
        return tuple(name for name, value in self.per_class.items() if value is None)

    @property
    def scope(self) -> str:
        """How many classes the mean covers, such as `over 6 of 10 classes`; empty if it covers all."""
        present = len(self.per_class) - len(self.absent_classes)
        return f"over {present} of {len(self.per_class)} classes" if self.absent_classes else ""

    @property
    def shown(self) -> str:
        """The metric for people, as `mIoU 0.2798 over 6 of 10 classes`."""
        return f"{self.metric} {self.value:.4f} {self.scope}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "metric": self.metric,
            "value": self.value,
            "per_class": dict(self.per_class),
            "num_samples": self.num_samples,
            "num_items": self.num_items,
            "items_per_class": dict(self.items_per_class),
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Quality:
        """Rebuild from `to_json`."""
        confusion = value.get("confusion")
        rows = None if confusion is None else tuple(tuple(int(count) for count in row) for row in confusion)
        return cls(**{**value, "confusion": rows})

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.shown,
            counted(self.num_samples, "sample"),
            counted(self.num_items, "item"),
        )


@dataclass(frozen=True)
class LossSettings:
    """Weights of the parts of a loss; zero leaves a part out, and a task without such a part ignores it."""

    cross_entropy: float = 1.0
    lovasz: float = 1.0


@dataclass(frozen=True)
class Picture:
    """A picture for people: what went in, what a network said, what was right."""

    title: str
    png: bytes


@runtime_checkable
class Task(Protocol):
    """A job that networks are searched for.

    The same `evaluate` serves PyTorch modules, ONNX files and engines: it hands the network
    input arrays and does all pre- and post-processing itself. A task may have any kind of input and any
    number of outputs: `contract` names these, and `words` the terms for reports.
    """

    @property
    def name(self) -> str:
        """The name under which the task is registered."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON settings from which `make_task` builds an equal task."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that networks distinguish; empty for tasks without classes."""
        ...

    @property
    def words(self) -> MetricWords:
        """Terms for reports; `words.metric` is `Quality.metric`."""
        ...

    @property
    def processor(self) -> str:
        """Name of the registered processor that turns raw input into network inputs, also on a vehicle.

        `arrays` takes the network's inputs as they are.
        """
        ...

    @property
    def contract(self) -> NetworkContract:
        """What every network must accept and return."""
        ...

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return names, static shapes (batch 1) and types of inputs and outputs.

        For networks with one input, `architecture.io_spec(input_name)` does this.
        """
        ...

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tree, Tree]]:
        """Return a map-style set of (inputs, targets), each a tree of tensors without a batch axis.

        Inputs of a network with one input are a tensor [C, H, W], float32. All items have the same form and
        shapes, so that they can be stacked.

        Args:
            architecture: gives the input size.
            augmentation: strength from 0 (none) to 1 (full).
            seed: together with the pass and the index, it determines everything random in an item.

        A set with random items is `SupportsEpochs`: it is told of a pass before items of it are taken, so
        that a resumed training sees what an uninterrupted one would have seen.
        """
        ...

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return the training loss, class weights from the training split included.

        It receives what the network returned (a tensor, a tuple or a mapping) and the batch of targets, and
        returns a finite scalar with a gradient.
        """
        ...

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Evaluate a network on a split, or on its first `limit` samples, with post-processing.

        `hwnas.tasks.evaluation.evaluate` calls it and refuses a value outside 0..1.
        """
        ...

    def decisions(self, outputs: Arrays) -> npt.NDArray[Any]:
        """Return the decisions that follow from the outputs for one sample, on which two runtimes must agree.

        For example the class of each pixel, or whether each cell contains an object. Any shape, the same for
        all samples; entries are compared for equality.
        """
        ...

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield network inputs, by name and with a batch of 1, made of real samples, in a fixed order."""
        ...

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Any]:
        """Yield the samples of `inputs` before processing, in the form that the processor's `read` returns.

        The processor must turn them into the same network inputs that `inputs` yields: a dry run compares the
        two.
        """
        ...

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what the processor must know to pre- and post-process, as plain JSON values."""
        ...

    def fingerprint(self) -> str:
        """Return a hash of the data and of every setting that affects quality."""
        ...

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw a few validation samples as PNG: input, prediction and ground truth."""
        ...


TaskFactory = Callable[[Mapping[str, Any]], Task]
"""What plug-ins register in `hwnas.tasks`: turns settings, as written in `run.yaml`, into a task."""


def make_task(name: str, settings: Mapping[str, Any]) -> Task:
    """Return the registered task `name` with `settings`.

    Raises:
        PluginError: if the name is unknown, or what is registered makes no task.
        ConfigError: if a setting is unknown or wrong.
        DataError: if the data cannot be used.
    """
    made: Task = made_by(GROUP, name, settings, expected="make a task of settings", interface=Task)
    refuse_other_name(GROUP, name, made.name)
    return made
