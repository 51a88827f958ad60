"""Something odd about a data set, and what to write into `dataset.yaml` about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwnas.json_values import JsonObject

ERROR, WARNING, NOTE = "error", "warning", "note"
"""A network trained on such data is wrong; it may be; or it is only worth knowing."""


@dataclass(frozen=True)
class Finding:
    """Something odd.

    Attributes:
        kind: a short name, such as `origin`.
        severity: `error`, `warning` or `note`.
        message: what is odd, with figures.
        remedy: what to do.
        settings: keys of `dataset.yaml` that mend it; empty where none does.
        files: names and contents of files to write beside `dataset.yaml`, which `settings` name.
    """

    kind: str
    severity: str
    message: str
    remedy: str
    settings: JsonObject = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
            "dataset_yaml": dict(self.settings),
        }


@dataclass
class ContentFacts:
    """What is counted over all scans besides geometry.

    Attributes:
        num_scans: readable scans.
        intensity: smallest and largest intensity in the files.
        num_constant_intensity: scans whose points all have one intensity.
        points_of_class: [K + 1] points of each class; the last element counts ignored ones.
        points_of_split: by name of the split, the same for its scans alone.
        num_duplicates: scans with the same points as an earlier one.
        duplicates: some of them, each with the earlier one.
        second_return_share: points in the very direction of another, of all, 0..1.
        points_per_turn: mean points of the fullest ring; 0 where rings are not known.
        points_per_scan: mean number of points.
        max_range_m: distance of the farthest point.
        num_constant_ring: scans whose file gives all points the same ring.
        num_detailed: readable scans that were looked at in detail.
        num_instance_scans: of these, scans whose labels hold numbers of instances in the upper 16 bits.
        num_ring_like_intensities: of these, scans whose intensities are rings that the elevations confirm.
    """

    num_scans: int = 0
    intensity: tuple[float, float] = (np.inf, -np.inf)
    num_constant_intensity: int = 0
    points_of_class: Sequence[int] = ()
    points_of_split: Mapping[str, Sequence[int]] = field(default_factory=dict)
    num_duplicates: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    second_return_share: float = 0.0
    points_per_turn: float = 0.0
    points_per_scan: float = 0.0
    max_range_m: float = 0.0
    num_constant_ring: int = 0
    num_detailed: int = 0
    num_instance_scans: int = 0
    num_ring_like_intensities: int = 0
