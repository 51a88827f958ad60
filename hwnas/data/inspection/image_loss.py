"""What a range image loses of scans: points outside it, points without a pixel, and what labels suffer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwnas.data.geometry.cloud_geometry import elevation_of
from hwnas.data.inspection.label_agreement import LabelAgreement
from hwnas.labels import IGNORED_LABEL
from hwnas.metrics.confusion import confusion_matrix, mean_iou
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import label_image, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan

DEFAULT_WIDTH = 2048


@dataclass
class ImageLoss:
    """What a projection loses, summed over scans.

    Attributes:
        spec: the projection.
        num_classes: of the labels.
        knn: how pixels give their labels to points.
        num_scans: scans that were projected.
        num_points: points in them.
        num_kept: points that won their pixel.
        num_above: points above the field of view.
        num_below: points below it.
        scans_of_method: scans by the method that was used.
        scans_of_remark: scans by what is remarked on their rows, see `RangeImage.remark`.
        matrix: [K + 1, K + 1] confusion of the labels with those that points get back from an image without
            any error; the last class counts points that get none.
        labels: how labels of neighbouring pixels agree.
        num_refused: scans that could not be projected.
        problem: why the first of them could not; empty if there is none.
    """

    spec: ProjectionSpec
    num_classes: int
    knn: KnnSettings = field(default_factory=KnnSettings)
    num_scans: int = 0
    num_points: int = 0
    num_kept: int = 0
    num_above: int = 0
    num_below: int = 0
    scans_of_method: dict[str, int] = field(default_factory=dict)
    scans_of_remark: dict[str, int] = field(default_factory=dict)
    matrix: npt.NDArray[np.int64] = field(init=False)
    labels: LabelAgreement = field(init=False)
    num_refused: int = 0
    problem: str = ""

    def __post_init__(self) -> None:
        self.labels = LabelAgreement(self.num_classes)
        self.matrix = np.zeros((self.num_classes + 1, self.num_classes + 1), np.int64)

    def add(self, scan: Scan) -> None:
        """Project one scan and count what is lost.

        Raises:
            DataError: if the scan cannot be projected so, such as for more rings than rows.
        """
        image = project(scan.points, scan.remission, self.spec, scan.ring)
        elevation = elevation_of(scan.points)
        self.num_scans += 1
        self.num_points += len(scan)
        self.num_kept += int(np.count_nonzero(image.point_index >= 0))
        if self.spec.fov_up_deg is not None and self.spec.fov_down_deg is not None:
            self.num_above += int(np.count_nonzero(elevation > self.spec.fov_up_deg))
            self.num_below += int(np.count_nonzero(elevation < self.spec.fov_down_deg))
        self.scans_of_method[image.method] = self.scans_of_method.get(image.method, 0) + 1
        if image.remark:
            self.scans_of_remark[image.remark] = self.scans_of_remark.get(image.remark, 0) + 1
        if scan.labels is not None and (scan.labels != IGNORED_LABEL).any():
            pixels = label_image(scan.labels, image)
            self.labels.add(scan, image, pixels)
            back = labels_of_points(pixels, image, self.knn, self.num_classes)
            # A point whose whole neighbourhood is ignored gets no label: a class that is never right.
            back = np.minimum(back, np.uint8(self.num_classes))
            self.matrix += confusion_matrix(scan.labels, back, self.num_classes + 1)

    @property
    def kept_share(self) -> float | None:
        """Share of points with a pixel of their own; None without a scan."""
        return self.num_kept / self.num_points if self.num_points else None

    @property
    def outside_share(self) -> float | None:
        """Share of points above or below the field of view; None without a scan."""
        return (self.num_above + self.num_below) / self.num_points if self.num_points else None

    @property
    def oracle_miou(self) -> float | None:
        """The mIoU of a network that labels every pixel rightly, k-NN included; None without labels."""
        return mean_iou(self.matrix) if self.matrix.sum() else None
