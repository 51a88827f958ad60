"""What a task offers for adaptation from few labelled samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.tasks.base import Predict, Quality, Task


@dataclass(frozen=True)
class EvaluatedQuality:
    """A quality and how far samples drawn anew would move it.

    Attributes:
        quality: quality on all samples.
        interval: 95 % bootstrap interval of its value over samples; None where there are too few.
    """

    quality: Quality
    interval: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        interval = None if self.interval is None else list(self.interval)
        return {"quality": self.quality.to_json(), "interval": interval}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvaluatedQuality:
        """Rebuild from `to_json`."""
        interval = value["interval"]
        return cls(
            Quality.from_json(value["quality"]),
            None if interval is None else (float(interval[0]), float(interval[1])),
        )


@runtime_checkable
class SupportsFewShots(Protocol):
    """A task whose networks can be adapted to few labelled samples."""

    def few_shot_settings(self, samples: int, *, seed: int) -> Mapping[str, Any]:
        """Return settings of this task that restrict its training split to so many samples.

        Args:
            samples: of the training split, at least 1.
            seed: of the draw.

        Raises:
            DataError: if there are fewer.
        """
        ...

    def fold_settings(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return settings of tasks that train on a part of the training split and validate on the rest.

        Args:
            count: parts to hold out in turn, at least 2; there may be fewer where samples are few.
        """
        ...

    def evaluate_with_interval(
        self, predict: Predict, architecture: Architecture, *, split: str = "val"
    ) -> EvaluatedQuality:
        """Return what `Task.evaluate` does, with its interval over samples."""
        ...


@runtime_checkable
class FewShotTask(Task, SupportsFewShots, Protocol):
    """A task that is adapted to few samples."""


def few_shot_task(task: Task) -> FewShotTask:
    """Return a task that supports few shots.

    Raises:
        ConfigError: if it does not.
    """
    if not isinstance(task, FewShotTask):
        raise ConfigError(
            f"The task {task.name!r} does not say how its networks are adapted: it lacks few_shot_settings, "
            "fold_settings or evaluate_with_interval, see hwnas.tasks.few_shot."
        )
    return task
