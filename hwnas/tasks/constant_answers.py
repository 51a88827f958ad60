"""What a network reaches that gives the same answer everywhere: whoever is no better has learned nothing."""

from __future__ import annotations

from hwnas.tasks.base import Quality

_MEAN_IOU, _ACCURACY = "miou", "accuracy"
_ROUNDING = 1e-9


def best_constant_value(quality: Quality) -> float | None:
    """Return the metric of the best constant answer on the same data; None where it is not known.

    It is known of mIoU and of accuracy, if the ground truth holds several classes: one class everywhere has
    an IoU of its share of all items, and the other classes one of 0.
    """
    counts = [count for count in quality.items_per_class.values() if count > 0]
    metric = quality.metric.lower()
    if len(counts) < 2 or metric not in {_MEAN_IOU, _ACCURACY}:
        return None
    share = max(counts) / sum(counts)
    return share / len(counts) if metric == _MEAN_IOU else share


def has_learned_nothing(quality: Quality) -> bool:
    """Return whether a network is no better than a constant answer."""
    if quality.value <= 0.0:
        return True
    constant = best_constant_value(quality)
    return constant is not None and quality.value <= constant + _ROUNDING
