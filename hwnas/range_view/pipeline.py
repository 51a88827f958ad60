"""From points to labels through an image network, in three steps that can be clocked apart.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.angles import has_direction
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import Normalisation, RangeImage, classes_of_pixels, network_input, project
from hwnas.range_view.projection_spec import ProjectionSpec


@dataclass(frozen=True, eq=False)
class ProjectedScan:
    """A scan of N points on its way to a network.

    Attributes:
        has_direction: [N] bool; False for points that are not finite or lie at the origin, M are left.
        image: the range image of the other M points, in metres.
    """

    has_direction: npt.NDArray[np.bool_]
    image: RangeImage


@dataclass(frozen=True, eq=False)
class RangeView:
    """Pre- and post-processing around one network.

    Attributes:
        projection: how points become an image.
        normalisation: of its channels.
        knn: how points get their labels back.
        num_classes: that vote.
    """

    projection: ProjectionSpec
    normalisation: Normalisation
    knn: KnnSettings
    num_classes: int

    @classmethod
    def from_deployment(cls, deployment: Mapping[str, Any]) -> RangeView:
        """Read what a task or a bundle says about deployment; KeyError, TypeError or DataError otherwise."""
        return cls(
            ProjectionSpec.from_json(deployment["projection"]),
            Normalisation.from_json(deployment["normalisation"]),
            KnnSettings.from_json(deployment["knn"]),
            len(deployment["label_map"]["classes"]),
        )

    def project(
        self, points: FloatArray, remission: FloatArray, ring: Optional[npt.NDArray[np.int32]] = None
    ) -> ProjectedScan:
        """Project points [N, 3] in metres with remission [N] in 0..1 and, if known, their rings [N].

        Rings count from either end; see `hwnas.range_view.projection.project`.
        """
        # Data sets drop such points before anything else, so the network never saw their effect.
        keep = has_direction(points)
        if ring is None and self.projection.method == "ring" and not keep.all():
            ring = rings_of_grid(points)  # which its holes are part of
        ring = None if ring is None else ring[keep]
        return ProjectedScan(keep, project(points[keep], remission[keep], self.projection, ring))

    def network_input(self, scan: ProjectedScan) -> FloatArray:
        """Return the input [1, C, H, W] of the network."""
        return network_input(scan.image, self.normalisation)[None]

    def label_image(self, logits: FloatArray, scan: ProjectedScan) -> npt.NDArray[np.uint8]:
        """Return train ids [H, W] from the network's output [1, K, H, W]; 255 where no point fell.

        Raises:
            DataError: if it is not finite where a point fell.
        """
        return classes_of_pixels(logits[0], scan.image)

    def empty_label_image(self) -> npt.NDArray[np.uint8]:
        """Return an image [H, W] without any label: 255 everywhere."""
        return np.full((self.projection.height, self.projection.width), IGNORED_LABEL, np.uint8)

    def labels(self, label_image: npt.NDArray[np.uint8], scan: ProjectedScan) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of all points; 255 for those without a direction."""
        labels = np.full(len(scan.has_direction), IGNORED_LABEL, np.uint8)
        labels[scan.has_direction] = labels_of_points(label_image, scan.image, self.knn, self.num_classes)
        return labels
