"""Parts of a split: some of its scans, or the labels in some directions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from hwnas.data.datasets.reading import ScanFiles
from hwnas.errors import DataError
from hwnas.labels import IGNORED_LABEL
from hwnas.scan import Scan
from hwnas.text import shown


@dataclass(frozen=True)
class Subset:
    """What a split is restricted to.

    Attributes:
        scans: ids (`sequence/name`) of its scans, in place of those of whole sequences; None leaves them.
        azimuths_deg: sectors (from, to), -180 to 180 degrees counter-clockwise from x, whose points keep
            their labels; other points are there, but have none. None leaves all labels.
    """

    scans: tuple[str, ...] | None = None
    azimuths_deg: tuple[tuple[float, float], ...] | None = None

    def files(self, every: Sequence[ScanFiles], split: str) -> tuple[ScanFiles, ...]:
        """Return where its scans lie.

        Raises:
            DataError: if there is no such scan.
        """
        by_id = {files.id: files for files in every}
        missing = [name for name in self.scans or () if name not in by_id]
        if missing:
            raise DataError(
                f"The split {split!r} names the scan {shown(missing[0])}, which the data set does not have. "
                f"Names are `sequence/name`, such as {shown(next(iter(by_id), '00/000000'))}."
            )
        return tuple(by_id[name] for name in self.scans or ())

    def masked(self, scan: Scan) -> Scan:
        """Return a scan whose points have labels only where this subset has them."""
        if self.azimuths_deg is None or scan.labels is None:
            return scan
        azimuth_deg = np.degrees(np.arctan2(scan.points[:, 1], scan.points[:, 0]))
        azimuth_deg[azimuth_deg >= 180.0] -= 360.0  # straight behind is where the first sector begins
        inside = np.zeros(len(azimuth_deg), bool)
        for start_deg, end_deg in self.azimuths_deg:
            inside |= (azimuth_deg >= start_deg) & (azimuth_deg < end_deg)
        labels = np.where(inside, scan.labels, np.uint8(IGNORED_LABEL))
        return replace(scan, labels=labels.astype(np.uint8, copy=False))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "scans": None if self.scans is None else list(self.scans),
            "azimuths_deg": None if self.azimuths_deg is None else [list(pair) for pair in self.azimuths_deg],
        }


def refuse_shared_labels(train: Subset, val: Subset) -> None:
    """Refuse parts of which training and validation would see the same labels.

    Raises:
        DataError: naming a scan that both have, in directions that both have.
    """
    shared = sorted(set(train.scans or ()) & set(val.scans or ()))
    whole = ((-180.0, 180.0),)
    overlaps = any(
        max(start, other) < min(end, other_end)
        for start, end in train.azimuths_deg or whole
        for other, other_end in val.azimuths_deg or whole
    )
    if shared and overlaps:
        raise DataError(
            f"The subsets of 'train' and 'val' both hold the scan {shown(shared[0])}, in the same "
            "directions: validation would look at what was trained on. Take it out of one of them."
        )


def spread_choice(ids: Sequence[str], count: int, *, seed: int) -> tuple[str, ...]:
    """Return `count` of some ids, one drawn from each of as many equal parts, in their order.

    Neighbouring scans of a drive are nearly the same, so that a draw without parts may see one place only.

    Raises:
        DataError: if there are fewer.
    """
    if not 1 <= count <= len(ids):
        raise DataError(
            f"{count} labelled scans are wanted of the training split, which has {len(ids)}. Ask for 1 to "
            f"{len(ids)}, or label more."
        )
    edges = np.linspace(0, len(ids), count + 1).round().astype(int)
    rng = np.random.default_rng(seed)
    return tuple(ids[int(rng.integers(low, high))] for low, high in pairwise(edges))


def folds_of(ids: Sequence[str], count: int) -> list[tuple[Subset, Subset]]:
    """Divide few scans into pairs of what is trained on and what is held out.

    One scan is divided by its directions into six sectors, of which every other one is held out.

    Args:
        ids: of the scans.
        count: pairs, at least 2; fewer where there are fewer scans.
    """
    if len(ids) == 1:
        sectors = [(-180.0 + 60.0 * place, -120.0 + 60.0 * place) for place in range(6)]
        halves = [Subset(tuple(ids), tuple(sectors[first::2])) for first in (0, 1)]
        return [(halves[0], halves[1]), (halves[1], halves[0])]
    count = min(count, len(ids))
    parts = [tuple(ids[first::count]) for first in range(count)]
    return [(Subset(tuple(name for name in ids if name not in part)), Subset(part)) for part in parts]
