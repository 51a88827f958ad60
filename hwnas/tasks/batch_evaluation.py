"""Evaluates several networks of one architecture side by side, on the same samples, by distance too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture
from hwnas.labels import IGNORED_LABEL
from hwnas.metrics.confusion import confusion_matrix, mean_iou
from hwnas.plugins import Blame, plugin_or_name
from hwnas.tasks.base import GROUP, Predict, Quality, Task
from hwnas.tasks.evaluation import checked_quality, evaluate

BANDS_M = ((0.0, 20.0), (20.0, 40.0), (40.0, math.inf))
"""Distances from the sensor that are evaluated apart: lower end included, upper end not."""


@dataclass(frozen=True)
class Evaluation:
    """How well one of several networks does.

    Attributes:
        quality: on all items.
        bands: the metric by distance, such as `0-20 m`; None for a band without labelled points. Empty for
            tasks that know no distance.
        same_decision_share: of all decisions, see `Task.decisions`, that it takes like the reference network,
            0..1. Tasks that evaluate together may compare what follows from them, such as labels of points.
    """

    quality: Quality
    bands: Mapping[str, float | None]
    same_decision_share: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "quality": self.quality.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """Rebuild from `to_json`."""
        return cls(
            Quality.from_json(value["quality"]), dict(value["bands"]), float(value["same_decision_share"])
        )


@runtime_checkable
class SupportsBatchEvaluation(Protocol):
    """A task that evaluates several networks in one pass over its samples."""

    def evaluate_together(
        self,
        predicts: Mapping[str, Predict],
        architecture: Architecture,
        *,
        reference: str,
        split: str = "val",
        limit: int | None = None,
    ) -> Mapping[str, Evaluation]:
        """Evaluate every network by name; labels are compared with those of `reference`, one of them."""
        ...


def evaluate_together(
    task: Task,
    predicts: Mapping[str, Predict],
    architecture: Architecture,
    *,
    reference: str,
    split: str = "val",
    limit: int | None = None,
) -> Mapping[str, Evaluation]:
    """Evaluate several networks, see `SupportsBatchEvaluation`.

    Tasks without it evaluate them in turn and compare decisions.

    Raises:
        PluginError: if the task returns anything but qualities of 0 to 1.
    """
    if isinstance(task, SupportsBatchEvaluation):
        with Blame(plugin_or_name(GROUP, task.name), "evaluate_together", own_errors=True):
            found = task.evaluate_together(
                predicts, architecture, reference=reference, split=split, limit=limit
            )
        for evaluation in found.values():
            checked_quality(evaluation.quality, task.name, method="evaluate_together", split=split)
        return found
    same = dict.fromkeys(predicts, 0)
    count = 0
    for arrays in task.inputs(architecture, split=split, limit=limit):
        decisions = {name: np.asarray(task.decisions(predict(arrays))) for name, predict in predicts.items()}
        count += decisions[reference].size
        for name, decided in decisions.items():
            same[name] += int(np.count_nonzero(decided == decisions[reference]))
    return {
        name: Evaluation(
            evaluate(task, predict, architecture, split=split, limit=limit), {}, same[name] / max(count, 1)
        )
        for name, predict in predicts.items()
    }


class PointTally:
    """Counts what a network made of the points of many scans, by distance."""

    def __init__(self, num_classes: int) -> None:
        """Begin with nothing."""
        self._num_classes = num_classes
        self._matrices = np.zeros((len(BANDS_M), num_classes, num_classes), np.int64)
        self._same = self._count = 0

    def add(
        self,
        truth: npt.NDArray[np.uint8],
        predicted: npt.NDArray[np.uint8],
        reference: npt.NDArray[np.uint8],
        range_m: npt.NDArray[np.floating[Any]],
    ) -> None:
        """Count one scan of N points.

        Args:
            truth: [N] train ids, 255 for unlabelled points.
            predicted: [N] train ids, 255 for points without a direction; these are not evaluated.
            reference: [N] likewise, of the reference network.
            range_m: [N] distances.
        """
        truth = np.where(predicted == IGNORED_LABEL, np.uint8(IGNORED_LABEL), truth)
        for index, (low, high) in enumerate(BANDS_M):
            inside = (low <= range_m) & (range_m < high)
            self._matrices[index] += confusion_matrix(truth[inside], predicted[inside], self._num_classes)
        self._same += int(np.count_nonzero(predicted == reference))
        self._count += len(predicted)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """The confusion matrix [K, K] over all distances."""
        total: npt.NDArray[np.int64] = self._matrices.sum(axis=0)
        return total

    @property
    def same_decision_share(self) -> float:
        """The share of points labelled like the reference."""
        return self._same / self._count if self._count else 1.0

    def bands(self) -> dict[str, float | None]:
        """Return the mIoU of each band, over the classes that its ground truth holds."""
        return {
            band_name(band): mean_iou(matrix) if matrix.any() else None
            for band, matrix in zip(BANDS_M, self._matrices, strict=True)
        }


def band_name(band: tuple[float, float]) -> str:
    """Return `0-20 m` or, without an upper end, `40+ m`."""
    low, high = band
    return f"{low:g}+ m" if math.isinf(high) else f"{low:g}-{high:g} m"
