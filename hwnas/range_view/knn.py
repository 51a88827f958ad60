"""From the labels of pixels to the labels of points, by range-aware nearest neighbours.

Milioto et al., "RangeNet++: Fast and Accurate LiDAR Semantic Segmentation", IROS 2019, section
III-D: a point looks at the window of pixels around its own, weighs the difference in range with
an inverse Gaussian of the distance in the image, and the k nearest within a cutoff vote.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataError
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.compiled import compiled_kernel
from hwnas.range_view.projection import RangeImage

MAX_WINDOW = 31
_MIN_SIGMA = 1e-3
_FAR = np.float32(np.inf)


@dataclass(frozen=True)
class KnnSettings:
    """How neighbours vote.

    Attributes:
        k: how many neighbours vote, the point's own pixel included.
        window: width and height of the window in pixels, odd.
        sigma: standard deviation of the Gaussian in pixels.
        cutoff_m: weighted difference in range, in metres, above which a neighbour has no vote.

    Raises:
        DataError: if a value is outside its range.
    """

    k: int = 5
    window: int = 5
    sigma: float = 1.0
    cutoff_m: float = 1.0

    def __post_init__(self) -> None:
        if type(self.window) is not int or type(self.k) is not int:
            raise DataError(f"Expected whole numbers for window and k, found {self.window!r}, {self.k!r}.")
        if not 1 <= self.window <= MAX_WINDOW or self.window % 2 == 0:
            raise DataError(
                f"The k-NN window is {self.window}; expected an odd number of pixels up to {MAX_WINDOW}."
            )
        if not 1 <= self.k <= self.window**2:
            raise DataError(f"The k-NN k is {self.k}; expected 1 to window * window = {self.window**2}.")
        if not (_MIN_SIGMA <= self.sigma < _FAR and 0 < self.cutoff_m < _FAR):
            raise DataError(
                f"Expected a finite sigma of at least {_MIN_SIGMA} and a finite, positive cutoff_m, found "
                f"{self.sigma} and {self.cutoff_m}."
            )

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KnnSettings:
        """Rebuild from `to_json`; TypeError for other keys."""
        return cls(**value)


def labels_of_pixels(label_image: npt.NDArray[np.uint8], image: RangeImage) -> npt.NDArray[np.uint8]:
    """Return for every point [N] the label of its pixel, whoever won it (no post-processing)."""
    labels = label_image[image.row, image.column]
    labels[~_has_direction(image)] = IGNORED_LABEL
    return labels


def labels_of_points(
    label_image: npt.NDArray[np.uint8],
    image: RangeImage,
    settings: KnnSettings,
    num_classes: int,
    *,
    only_lost: bool = False,
) -> npt.NDArray[np.uint8]:
    """Label every point by a vote of its k nearest neighbours in the image.

    The image is cyclic in azimuth. Of classes with equally many votes the first wins.

    Args:
        label_image: [H, W], class of each pixel; those >= num_classes, and empty pixels, have no vote.
        image: the projection that the labels belong to.
        settings: window, k, sigma and cutoff.
        num_classes: number of classes K.
        only_lost: points that won their pixel keep its label; only the others are voted on.

    Returns:
        [N] classes; 255 where no neighbour has a vote, and for points without a direction.
    """
    kernel = compiled_kernel()
    if kernel is not None:
        projected = (image.valid, image.point_index, image.row, image.column, image.range_m)
        sizes = (settings.k, settings.window, settings.cutoff_m)
        weights = _window(settings)[1]
        return kernel.label_points(
            label_image, image.channels[0], projected, weights, sizes, num_classes, only_lost=only_lost
        )
    voting = image.valid & (label_image < num_classes)
    labels = labels_of_pixels(label_image, image)
    undecided = _has_direction(image)
    if only_lost:
        undecided &= ~image.kept
    # Where all that vote in a window agree, and the pixel itself votes, there is nothing to count.
    agree = _unanimous(label_image, voting, settings.window)[image.row, image.column]
    index = np.flatnonzero(undecided & ~agree)
    labels[index] = _votes(label_image, voting, image, settings, num_classes, index)
    return labels


def _has_direction(image: RangeImage) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(image.range_m) & (image.range_m > 0))


def _unanimous(
    label_image: npt.NDArray[np.uint8], voting: npt.NDArray[np.bool_], window: int
) -> npt.NDArray[np.bool_]:
    """Return where every voting pixel of the window has the label of the voting pixel in its centre."""
    lowest = _window_filter(np.where(voting, label_image, np.uint8(255)), window, np.minimum, 255)
    highest = _window_filter(np.where(voting, label_image, np.uint8(0)), window, np.maximum, 0)
    return np.asarray(voting & (lowest == highest))


def _window_filter(
    values: npt.NDArray[np.uint8], window: int, ufunc: np.ufunc, edge: int
) -> npt.NDArray[np.uint8]:
    padded = _pad(values, window // 2, edge)
    height, width = values.shape
    rows = ufunc.reduce([padded[shift : shift + height] for shift in range(window)])
    return np.asarray(ufunc.reduce([rows[:, shift : shift + width] for shift in range(window)]))


def _pad(values: npt.NDArray[Any], margin: int, edge: float) -> npt.NDArray[Any]:
    """Return the image with `margin` more pixels on each side: the sides wrap, above and below is `edge`."""
    sideways = np.pad(values, ((0, 0), (margin, margin)), mode="wrap")
    return np.pad(sideways, ((margin, margin), (0, 0)), constant_values=edge)


def _votes(
    label_image: npt.NDArray[np.uint8],
    voting: npt.NDArray[np.bool_],
    image: RangeImage,
    settings: KnnSettings,
    num_classes: int,
    index: npt.NDArray[np.intp],
) -> npt.NDArray[np.uint8]:
    """Return the class [M] that the neighbours of the points `index` [M] vote for."""
    offsets, weights = _window(settings)
    margin = settings.window // 2
    ranges = _pad(np.where(image.valid, image.channels[0], _FAR), margin, np.inf)
    classes = _pad(np.where(voting, label_image, np.uint8(num_classes)), margin, num_classes)
    stride = ranges.shape[1]
    corner = image.row[index] * np.intp(stride) + image.column[index]
    neighbours = corner + np.array([row * stride + column for row, column in offsets], np.intp)[:, None]
    own_range_m = image.range_m[index]
    distance_m = np.abs(ranges.ravel()[neighbours] - own_range_m)
    # The pixel of a point stands for the point itself, also where a nearer point has won it.
    distance_m[len(offsets) // 2] = 0.0
    distance_m *= weights[:, None]
    return _count(distance_m, classes.ravel()[neighbours], settings, num_classes)


def _window(settings: KnnSettings) -> Tuple[List[Tuple[int, int]], npt.NDArray[np.float32]]:
    """Return the offsets of the window's pixels from its corner, and 1 - Gaussian of each."""
    side = np.arange(settings.window) - settings.window // 2
    gaussian = np.exp(-(side[:, None] ** 2 + side[None, :] ** 2) / (2.0 * settings.sigma**2))
    gaussian /= gaussian.sum()
    offsets = [(row, column) for row in range(settings.window) for column in range(settings.window)]
    return offsets, (1.0 - gaussian).ravel().astype(np.float32)


def _count(
    distance_m: npt.NDArray[np.float32],
    classes: npt.NDArray[np.uint8],
    settings: KnnSettings,
    num_classes: int,
) -> npt.NDArray[np.uint8]:
    """Return the most frequent class among the k nearest of each column of [window^2, M]."""
    num_points = distance_m.shape[1]
    if not num_points:
        return np.zeros(0, np.uint8)
    limit = np.partition(distance_m, settings.k - 1, axis=0)[settings.k - 1]
    chosen = (distance_m <= limit) & (distance_m <= np.float32(settings.cutoff_m)) & (classes < num_classes)
    point = np.broadcast_to(np.arange(num_points), chosen.shape)[chosen]
    votes = np.bincount(point * num_classes + classes[chosen], minlength=num_points * num_classes)
    votes = votes.reshape(num_points, num_classes)
    winner = votes.argmax(axis=1)
    return np.where(votes.max(axis=1) > 0, winner, IGNORED_LABEL).astype(np.uint8)
