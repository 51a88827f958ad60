"""Intervals of pooled figures, by drawing samples anew.

Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1), 1979.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.metrics.confusion import mean_iou

RESAMPLES = 1000


def mean_iou_interval(
    matrices: npt.NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the percentile interval of the mean IoU of pooled confusion matrices.

    Whole samples are drawn, since the points of one are not independent. With few samples the interval is too
    narrow: it does not know what other samples look like.

    Args:
        matrices: [n, K, K] counts of n samples, such as scans.
        resamples: draws of n samples, with replacement.
        seed: of the draws.
        level: share of the draws inside, between 0 and 1.

    Returns:
        Lower and upper end, 0..1; None for fewer than two samples, or if a draw may hold no labelled point.
    """
    counted = matrices.sum(axis=(1, 2)) > 0
    if len(matrices) < 2 or not counted.all():
        return None
    picks = np.random.default_rng(seed).integers(0, len(matrices), (resamples, len(matrices)))
    drawn = [mean_iou(matrices[pick].sum(axis=0)) for pick in picks]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
