"""What a network reaches that gives the same answer everywhere: whoever is no better has learned nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hwnas.tasks.base import Quality

_MEAN_IOU, _ACCURACY = "miou", "accuracy"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConstantAnswer:
    """An answer that is the same for every item.

    Attributes:
        group: the class that is answered.
        value: the metric that this reaches, 0 to 1.
    """

    group: str
    value: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def best_constant_answer(quality: Quality) -> ConstantAnswer | None:
    """Return the best constant answer on the data that `quality` was found on; None where it is not known.

    It is known of mIoU and of accuracy, if the ground truth holds several classes: one class everywhere has
    an IoU of its share of all items, and the other classes one of 0.
    """
    counts = {group: count for group, count in quality.items_per_class.items() if count > 0}
    metric = quality.metric.lower()
    if len(counts) < 2 or metric not in {_MEAN_IOU, _ACCURACY}:
        return None
    group = max(counts, key=lambda name: counts[name])
    share = counts[group] / sum(counts.values())
    return ConstantAnswer(group, share / len(counts) if metric == _MEAN_IOU else share)


def has_learned_nothing(quality: Quality) -> bool:
    """Return whether a network is no better than a constant answer."""
    if quality.value <= 0.0:
        return True
    constant = best_constant_answer(quality)
    return constant is not None and quality.value <= constant.value + _ROUNDING
