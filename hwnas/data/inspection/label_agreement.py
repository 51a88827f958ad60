"""Whether labels belong to their points: neighbours in the range image at one distance have one label.

Labels of neighbouring pixels agree, far beyond chance (Cohen's kappa, Educational and Psychological
Measurement 20, 1960), and most where both are at the same distance, since things end where the distance
jumps. Labels in another order agree by chance; those of another scan, or shifted by some points, end
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwnas.arrays import LongArray
from hwnas.range_view.angles import range_of
from hwnas.range_view.projection import RangeImage
from hwnas.scan import Scan

_SAME_DISTANCE = 0.1
_WIDEST_GAP = 1.5
"""To the next pixel of a row, in usual gaps: an image may have more columns than the sensor fires."""
# Where nearly all neighbours are of one class, kappa says nothing.
_MOST_BY_CHANCE = 0.8
_FEWEST_PAIRS, _FEWEST_DIFFERENT = 2_000, 100


@dataclass
class LabelAgreement:
    """How often neighbouring pixels have the same label, summed over scans.

    Attributes:
        num_classes: of the labels.
        along: [K, K] labels of neighbours in a row.
        along_near: the same, of neighbours at the same distance.
        across_near: the same, of neighbours in a column.
    """

    num_classes: int
    along: LongArray = field(init=False)
    along_near: LongArray = field(init=False)
    across_near: LongArray = field(init=False)

    def __post_init__(self) -> None:
        self.along, self.along_near, self.across_near = (
            np.zeros((self.num_classes, self.num_classes), np.int64) for _ in range(3)
        )

    def add(self, scan: Scan, image: RangeImage, labels: npt.NDArray[np.uint8]) -> None:
        """Count the neighbours of a scan.

        Args:
            scan: the points.
            image: of them.
            labels: [H, W] of its pixels; those that are no class do not count.
        """
        index = image.point_index
        distance = np.where(index >= 0, range_of(scan.points)[np.maximum(index, 0)], np.float32(0))
        is_counted = (index >= 0) & (labels < self.num_classes)
        first, second = _neighbours(is_counted)
        one, other = labels.ravel()[first], labels.ravel()[second]
        near = _are_near(distance.ravel()[first], distance.ravel()[second])
        self.along += self._matrix(one, other)
        self.along_near += self._matrix(one[near], other[near])
        first, second = _neighbours(np.ascontiguousarray(is_counted.T), widest=1)
        labels, distance = labels.T.ravel(), distance.T.ravel()
        near = _are_near(distance[first], distance[second])
        self.across_near += self._matrix(labels[first[near]], labels[second[near]])

    def _matrix(self, one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> LongArray:
        size = self.num_classes
        pairs = one.astype(np.int64) * size + other
        return np.bincount(pairs, minlength=size * size).reshape(size, size)

    @property
    def kappa(self) -> float | None:
        """How far neighbours of one distance agree beyond chance, along rows or columns, whichever is less.

        About 0 for arbitrary labels, 1 for perfect ones; None for too few pairs, or nearly all of one class.
        """
        found = [_kappa(matrix, _MOST_BY_CHANCE) for matrix in (self.along_near, self.across_near)]
        return min((value for value in found if value is not None), default=None)

    @property
    def boundary_ratio(self) -> float | None:
        """Disagreement in a row at one distance, by that at any: small if labels end where things end.

        About 1 where they end anywhere; None where too few pairs disagree.
        """
        near, every = _kappa(self.along_near), _kappa(self.along)
        num_different = int(self.along.sum() - np.trace(self.along))
        if near is None or every is None or num_different < _FEWEST_DIFFERENT or every >= 1.0:
            return None
        return (1.0 - near) / (1.0 - every)


def _neighbours(
    is_counted: npt.NDArray[np.bool_], widest: int | None = None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return flat places of pixels that follow each other in a row, `widest` apart or as far as most are."""
    place = np.flatnonzero(is_counted)
    first, second = place[:-1], place[1:]
    if not len(first):
        return first, second
    width = is_counted.shape[1]
    most = widest or max(2.0, _WIDEST_GAP * float(np.median(second - first)))
    follows = (second - first <= most) & (first // width == second // width)
    return first[follows], second[follows]


def _are_near(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(one - other) < _SAME_DISTANCE * np.minimum(one, other))


def _kappa(matrix: LongArray, most_by_chance: float = 1.0) -> float | None:
    total = int(matrix.sum())
    if total < _FEWEST_PAIRS:
        return None
    by_chance = float(matrix.sum(axis=0) @ matrix.sum(axis=1)) / total**2
    if by_chance >= 1.0 or by_chance > most_by_chance:
        return None
    return (float(np.trace(matrix)) / total - by_chance) / (1.0 - by_chance)
