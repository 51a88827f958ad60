"""What a runner says about a scan. Python 3.8 syntax, numpy only: this module travels to boards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.projection import RangeImage
from hwnas.text import counted, one_line


class PointLabels(NamedTuple):
    """What a network says about N points.

    Attributes:
        labels: [N] uint8 train ids; 255 for points without a direction.
        scores: [N] float32 in 0..1, see `Segmentation.scores`.
    """

    labels: npt.NDArray[np.uint8]
    scores: FloatArray


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A labelled scan of N points, with the range image in between.

    Attributes:
        labels: [N] uint8 train ids; 255 for points without a direction.
        has_direction: [N] bool; False for points that are not finite or lie at the origin, M are left.
        image: the range image of the other M points, in metres.
        label_image: [H, W] uint8 train ids as the network gave them, 255 where no point fell.
        logits: [K, H, W] float32, the output of the network.
        warnings: what is unusual about the scan, or could not be checked; sentences.
    """

    labels: npt.NDArray[np.uint8]
    has_direction: npt.NDArray[np.bool_]
    image: RangeImage
    label_image: npt.NDArray[np.uint8]
    logits: FloatArray
    warnings: Tuple[str, ...] = ()

    @property
    def scores(self) -> FloatArray:
        """[N] float32: probability (softmax) that the network gives the label of a point in its pixel.

        It is low where the neighbours of a point outvoted its pixel, and 0 for points labelled 255.
        """
        scores = np.zeros(len(self.labels), np.float32)
        known = self.labels[self.has_direction]
        says = known != IGNORED_LABEL
        row, column, label = self.image.row[says], self.image.column[says], known[says]
        highest = self.logits.max(axis=0)
        total = np.exp(self.logits - highest).sum(axis=0)
        of_label = np.exp(self.logits[label, row, column] - highest[row, column]) / total[row, column]
        scores[np.flatnonzero(self.has_direction)[says]] = of_label
        return scores

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.labels), "point"),
            "image {}x{}".format(*self.label_image.shape),
            counted(len(self.warnings), "warning"),
        )
