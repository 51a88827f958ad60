"""Projection and k-NN point by point, straight from their description, for the compiled kernel to be compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.range_view.angles import angle_of, ground_distance_of, range_of
from hwnas.range_view.compiled import CompiledKernel, Projected


@dataclass(frozen=True, eq=False)
class Votes:
    """What `label_points` is given; H x W pixels, N points.

    Attributes:
        label_image: [H, W].
        ranges: [H, W].
        projected: valid [H, W], point index [H, W], row [N], column [N], range [N].
        weights: [window, window].
        settings: k, window and cutoff in metres.
        num_classes: that vote.
        only_lost: points that won their pixel keep its label.
    """

    label_image: npt.NDArray[np.uint8]
    ranges: npt.NDArray[np.float32]
    projected: tuple[npt.NDArray[np.bool_] | npt.NDArray[np.int32] | npt.NDArray[np.float32], ...]
    weights: npt.NDArray[np.float32]
    settings: tuple[int, int, float]
    num_classes: int
    only_lost: bool

    def by(self, kernel: CompiledKernel) -> npt.NDArray[np.uint8]:
        """Return the labels [N] that a kernel gives."""
        return kernel.label_points(
            self.label_image,
            self.ranges,
            self.projected,
            self.weights,
            self.settings,
            self.num_classes,
            only_lost=self.only_lost,
        )

    def plain(self) -> npt.NDArray[np.uint8]:
        """Return the labels [N] by the description."""
        _, index, row, column, range_m = self.projected
        labels = np.full(len(row), 255, np.uint8)
        for point in np.flatnonzero(np.isfinite(range_m) & (range_m > 0)):
            r, c = int(row[point]), int(column[point])
            if self.only_lost and index[r, c] == point:
                labels[point] = self.label_image[r, c]
            else:
                labels[point] = self._voted(r, c, np.float32(range_m[point]))
        return labels

    def _voted(self, row: int, column: int, range_m: np.float32) -> int:
        valid, (k, window, cutoff_m) = self.projected[0], self.settings
        height, width = self.label_image.shape
        distances, classes = [], []
        for place in range(window * window):
            r, c = row + place // window - window // 2, (column + place % window - window // 2) % width
            is_seen = 0 <= r < height and bool(valid[r, c])
            distance = np.float32(np.inf)
            if place == window * window // 2:
                distance = np.float32(0.0)  # the point itself, also where a nearer one has won its pixel
            elif is_seen:
                distance = np.abs(self.ranges[r, c] - range_m) * self.weights.flat[place]
                distance = np.float32(np.inf) if np.isnan(distance) else distance
            distances.append(distance)
            classes.append(int(self.label_image[r, c]) if is_seen else self.num_classes)
        limit = min(sorted(distances)[k - 1], np.float32(cutoff_m))
        votes = np.zeros(self.num_classes, np.int64)
        for distance, label in zip(distances, classes, strict=True):
            if distance <= limit and label < self.num_classes:
                votes[label] += 1
        return int(votes.argmax()) if votes.any() else 255


def projected_by_elevation(
    points: npt.NDArray[np.float32],
    remission: npt.NDArray[np.float32],
    size: tuple[int, int],
    fov_deg: tuple[float, float],
) -> Projected:
    """Return the image of points [N, 3] whose rows are found from their elevations."""
    height, width = size
    range_m, one = range_of(points), np.float32(1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        azimuth = angle_of(points[:, 1], points[:, 0]) * np.float32(1.0 / np.pi)
        elevation = angle_of(points[:, 2], ground_distance_of(points)) * np.float32(180.0 / np.pi)
        across = np.float32(0.5 * width) * (one - azimuth)
        span = np.float32(fov_deg[0]) - np.float32(fov_deg[1])
        down = (one - (elevation - np.float32(fov_deg[1])) / span) * np.float32(height)
    row, column = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    index = np.full(size, -1, np.int32)
    for point in np.flatnonzero(np.isfinite(range_m) & (range_m > 0)):
        r, c = (
            min(max(int(np.floor(value)), 0), most - 1)
            for value, most in ((down[point], height), (across[point], width))
        )
        row[point], column[point] = r, c
        if index[r, c] < 0 or range_m[point] < range_m[index[r, c]]:
            index[r, c] = point
    valid = index >= 0
    channels = np.zeros((5, *size), np.float32)
    channels[:, valid] = np.column_stack([range_m, points, remission])[index[valid]].T
    return channels, valid, index, row, column, range_m
