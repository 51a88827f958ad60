"""Reads a whole data set once and says what is in it and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.dataset import DataSource
from hwnas.data.projection import range_of
from hwnas.data.reading import Dropped
from hwnas.data.rings import recover_rings
from hwnas.data.scan import IGNORED_LABEL, Scan
from hwnas.errors import DataError

_MAX_RINGS = 1 << 16


@dataclass(frozen=True)
class Problem:
    """A scan that cannot be used, and why."""

    scan: str
    message: str


@dataclass
class Inspection:
    """What is in a data set. Memory does not grow with the number of scans, only with that of problems.

    Attributes:
        num_classes: classes of the label map.
        num_scans: usable scans.
        num_points: points in them.
        num_unlabelled_scans: usable scans without labels.
        points_of_class: [K + 1] points of each class; the last element counts ignored ones.
        scans_of_class: [K + 1] scans that hold the class.
        points_of_ring: points of each ring, over all ring-ordered scans.
        rings: number of rings -> number of scans.
        num_unordered_scans: scans whose rings are neither given nor recoverable.
        remission: smallest and largest remission.
        max_range_m: distance of the farthest point, metres.
        num_not_finite: points dropped since a coordinate is NaN or infinite.
        num_no_return: points dropped since they lie at the origin.
        problems: scans that cannot be used.
    """

    num_classes: int
    num_scans: int = 0
    num_points: int = 0
    num_unlabelled_scans: int = 0
    points_of_class: npt.NDArray[np.int64] = field(init=False)
    scans_of_class: npt.NDArray[np.int64] = field(init=False)
    points_of_ring: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rings: dict[int, int] = field(default_factory=dict)
    num_unordered_scans: int = 0
    remission: tuple[float, float] = (np.inf, -np.inf)
    max_range_m: float = 0.0
    num_not_finite: int = 0
    num_no_return: int = 0
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points_of_class = np.zeros(self.num_classes + 1, np.int64)
        self.scans_of_class = np.zeros(self.num_classes + 1, np.int64)

    def add(self, scan: Scan, dropped: Dropped) -> None:
        """Count one scan."""
        self.num_scans += 1
        self.num_points += len(scan)
        self.num_not_finite += dropped.not_finite
        self.num_no_return += dropped.no_return
        self.max_range_m = max(self.max_range_m, float(range_of(scan.points).max()))
        low, high = self.remission
        self.remission = (min(low, float(scan.remission.min())), max(high, float(scan.remission.max())))
        self._add_labels(scan.labels)
        self._add_rings(scan.ring if scan.ring is not None else recover_rings(scan.points))

    def _add_labels(self, labels: npt.NDArray[np.uint8] | None) -> None:
        if labels is None:
            self.num_unlabelled_scans += 1
            return
        counts = np.bincount(labels, minlength=256)
        counts = np.append(counts[: self.num_classes], counts[IGNORED_LABEL])
        self.points_of_class += counts
        self.scans_of_class += counts > 0

    def _add_rings(self, ring: npt.NDArray[np.int32] | None) -> None:
        if ring is None or int(ring.min()) < 0 or int(ring.max()) >= _MAX_RINGS:
            self.num_unordered_scans += 1
            return
        counts = np.bincount(ring).astype(np.int64)
        size = max(len(counts), len(self.points_of_ring))
        self.points_of_ring = _padded(self.points_of_ring, size) + _padded(counts, size)
        self.rings[len(counts)] = self.rings.get(len(counts), 0) + 1


def inspect_dataset(source: DataSource, progress: Callable[[int], None] | None = None) -> Inspection:
    """Read every scan of a data set; malformed ones become problems instead of errors.

    Args:
        source: the data set.
        progress: called with the number of scans looked at, after each.
    """
    found = Inspection(source.label_map.num_classes)
    found.problems += [Problem(one.path, one.message) for one in source.unreadable]
    scans = source.all_scans
    for number, files in enumerate(scans.files, start=1):
        try:
            found.add(*scans.reader.read(files))
        except DataError as error:
            found.problems.append(Problem(files.id, str(error)))
        if progress is not None:
            progress(number)
    return found


def inspection_json(source: DataSource, found: Inspection) -> dict[str, Any]:
    """Return an inspection as plain JSON values."""
    return {
        "schema_version": 1,
        "path": str(source.path),
        "name": source.name,
        "sensor": source.sensor,
        "frame": source.frame,
        "label_map": source.label_map.name,
        "scans": found.num_scans,
        "unlabelled_scans": found.num_unlabelled_scans,
        "points": found.num_points,
        "splits": {name: list(sequences) for name, sequences in source.sequences_of.items()},
        "classes": [
            {"name": name, "points": int(points), "scans": int(scans)}
            for name, points, scans in zip(
                (*source.label_map.class_names, "ignored"),
                found.points_of_class,
                found.scans_of_class,
                strict=True,
            )
        ],
        "rings": _rings_json(found),
        "intensity": {"stated": list(source.intensity_range), "found": _found_intensity(source, found)},
        "max_range_m": found.max_range_m,
        "dropped_points": {"not_finite": found.num_not_finite, "no_return": found.num_no_return},
        "problems": [{"scan": problem.scan, "message": problem.message} for problem in found.problems],
    }


def _rings_json(found: Inspection) -> dict[str, Any]:
    num_ordered = sum(found.rings.values())
    per_ring = found.points_of_ring / num_ordered if num_ordered else found.points_of_ring
    return {
        "scans_by_number_of_rings": {str(rings): scans for rings, scans in sorted(found.rings.items())},
        "scans_not_ring_ordered": found.num_unordered_scans,
        "mean_points_per_ring": [round(float(count), 1) for count in per_ring],
    }


def _found_intensity(source: DataSource, found: Inspection) -> list[float] | None:
    if not found.num_scans:
        return None
    low, high = source.intensity_range
    return [low + (high - low) * remission for remission in found.remission]


def _padded(counts: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    return np.pad(counts, (0, size - len(counts)))
