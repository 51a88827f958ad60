"""Training samples in range view: scans, augmented as points and projected afresh in every pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.data.augmentation import augment_scan
from hwnas.data.mixing import mix_scans
from hwnas.errors import DataError
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.angles import range_of
from hwnas.range_view.projection import INPUT_CHANNELS, Normalisation, label_image, network_input, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan

MAX_SCANS_FOR_STATISTICS = 200
MIX_PROBABILITY = 0.5
"""How often a sample is made of two scans, at full augmentation."""
HIDE_PROBABILITY = 0.3
"""How often a sample keeps only range and remission, at full augmentation: where something stands is easily
learnt by heart when there are few places."""
_COORDINATES = [INPUT_CHANNELS.index(name) for name in ("x", "y", "z")]
_MIN_STD = 1e-3


class ScanCache(Sequence[Scan]):
    """Scans, kept in memory up to a bound, with what is done once for each, such as recovering rings."""

    def __init__(
        self, scans: Sequence[Scan], max_bytes: int, prepare: Callable[[Scan], Scan] | None = None
    ) -> None:
        self._scans, self._prepare = scans, prepare
        self._free_bytes = max_bytes
        self._kept: dict[int, Scan] = {}

    def __len__(self) -> int:
        return len(self._scans)

    def __getitem__(self, index: int) -> Scan:  # type: ignore[override]
        if index in self._kept:
            return self._kept[index]
        scan = self._scans[index]
        if self._prepare is not None:
            scan = self._prepare(scan)
        size = _bytes_of(scan)
        # The first scans stay: with a new order in every pass, replacing others would gain nothing.
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._kept[index] = scan
        return scan


def _bytes_of(scan: Scan) -> int:
    arrays = (scan.points, scan.remission, scan.ring, scan.labels)
    return sum(array.nbytes for array in arrays if array is not None)


class RangeViewSamples(Dataset[tuple[Tensor, Tensor]]):
    """Inputs [5, H, W] float32 and targets [H, W] int64 of the scans of a training split.

    What an item looks like is a function of the seed, the pass (`set_epoch`) and its index.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        spec: ProjectionSpec,
        normalisation: Normalisation,
        *,
        augmentation: float,
        seed: int,
    ) -> None:
        self._scans, self._spec, self._normalisation = scans, spec, normalisation
        self._augmentation, self._seed = augmentation, seed
        self._pass = 0

    def __len__(self) -> int:
        return len(self._scans)

    def set_epoch(self, number: int) -> None:
        """Choose the pass, from 0: every pass augments anew."""
        self._pass = number

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._seed, self._pass, index])
        scan = augment_scan(self._scans[index], self._augmentation, rng)
        if rng.random() < MIX_PROBABILITY * self._augmentation:
            other = self._scans[int(rng.integers(len(self._scans)))]
            scan = mix_scans(scan, augment_scan(other, self._augmentation, rng), rng)
        image = project(scan.points, scan.remission, self._spec, scan.ring)
        targets = label_image(labels_of(scan), image).astype(np.int64)
        pixels = network_input(image, self._normalisation)
        if rng.random() < HIDE_PROBABILITY * self._augmentation:
            pixels[_COORDINATES] = 0.0  # the mean of the training split
        return torch.from_numpy(pixels), torch.from_numpy(targets)


def labels_of(scan: Scan) -> npt.NDArray[np.uint8]:
    """Return the labels of a scan that must have some.

    Raises:
        DataError: if it has none.
    """
    if scan.labels is None:
        raise DataError(f"The scan {scan.id} has no labels; training and validation need them.")
    return scan.labels


@dataclass(frozen=True)
class TrainingStatistics:
    """What the training split says about inputs and classes.

    Attributes:
        normalisation: of the input channels over all points.
        items_per_class: labelled points of each class.
    """

    normalisation: Normalisation
    items_per_class: tuple[int, ...]


def training_statistics(scans: Sequence[Scan], num_classes: int) -> TrainingStatistics:
    """Return mean and deviation of the input channels and the points of each class.

    Large splits are evaluated on `MAX_SCANS_FOR_STATISTICS` scans spread evenly over them.

    Raises:
        DataError: if there are no scans, or none of their points has a class.
    """
    if not len(scans):
        raise DataError("The training split has no scans; name training sequences that have labels.")
    count, total, squares = 0, np.zeros(5), np.zeros(5)
    classes = np.zeros(num_classes, np.int64)
    for index in np.unique(np.linspace(0, len(scans) - 1, MAX_SCANS_FOR_STATISTICS).round().astype(int)):
        scan = scans[int(index)]
        channels = np.column_stack([range_of(scan.points), scan.points, scan.remission]).astype(np.float64)
        channels = channels[np.isfinite(channels).all(axis=1)]
        count += len(channels)
        total += channels.sum(axis=0)
        squares += np.square(channels).sum(axis=0)
        labels = labels_of(scan)
        classes += np.bincount(labels[labels != IGNORED_LABEL], minlength=num_classes)
    if not classes.sum():
        raise DataError("No point of the training split has a class; check the label map and the labels.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), _MIN_STD**2))
    # Rounded, so that machines which add up in another order still agree.
    normalisation = Normalisation(tuple(mean.round(4).tolist()), tuple(std.round(4).tolist()))
    return TrainingStatistics(normalisation, tuple(classes.tolist()))
