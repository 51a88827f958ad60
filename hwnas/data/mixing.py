"""Scans made of parts of two others: new neighbourhoods for networks that see few places.

Both ways swap whole regions of the field of view, so every point stays on its own beam.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import numpy.typing as npt

from hwnas.scan import Scan

MIN_SECTOR_SHARE, MAX_SECTOR_SHARE = 0.125, 0.5
MIN_BANDS, MAX_BANDS = 2, 6


def mix_scans(first: Scan, second: Scan, rng: np.random.Generator) -> Scan:
    """Return `first` with a random azimuth sector, or with alternate bands of rings, of `second`.

    Scans without rings are mixed by sector only; where just one of the two has rings, nothing is mixed.

    Args:
        first: gives the frame and the id; stays as it is.
        second: from the same sensor.
        rng: the source of randomness.
    """
    if (first.ring is None) != (second.ring is None) or (first.labels is None) != (second.labels is None):
        return first
    if first.ring is not None and rng.random() < 0.5:
        return swap_bands(first, second, int(rng.integers(MIN_BANDS, MAX_BANDS + 1)))
    share = rng.uniform(MIN_SECTOR_SHARE, MAX_SECTOR_SHARE)
    return swap_sector(first, second, rng.uniform(-np.pi, np.pi), 2.0 * np.pi * share)


def swap_sector(first: Scan, second: Scan, start_rad: float, angle_rad: float) -> Scan:
    """Return `first` with the points of `second` in an azimuth sector.

    Source: Xiao et al., "PolarMix: A General Data Augmentation Technique for LiDAR Point Clouds",
    NeurIPS 2022, scene-level swapping.

    Args:
        first: gives the points outside the sector.
        second: gives the points inside it.
        start_rad: azimuth where the sector begins, counter-clockwise from the x axis.
        angle_rad: width of the sector, 0 to 2 pi.
    """
    return _join(
        first,
        ~_in_sector(first.points, start_rad, angle_rad),
        second,
        _in_sector(second.points, start_rad, angle_rad),
    )


def swap_bands(first: Scan, second: Scan, bands: int) -> Scan:
    """Return `first` with every other one of `bands` equal bands of rings, from the second on, of `second`.

    Source: Kong et al., "LaserMix for Semi-Supervised LiDAR Semantic Segmentation", CVPR 2023.

    Raises:
        ValueError: if a scan has no rings.
    """
    if first.ring is None or second.ring is None:
        raise ValueError("Bands of rings can be swapped only between scans that have rings.")
    rings = 1 + max(int(ring.max()) if ring.size else 0 for ring in (first.ring, second.ring))
    return _join(first, first.ring * bands // rings % 2 == 0, second, second.ring * bands // rings % 2 == 1)


def _in_sector(points: npt.NDArray[np.float32], start_rad: float, angle_rad: float) -> npt.NDArray[np.bool_]:
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    return np.asarray(np.mod(azimuth - start_rad, 2.0 * np.pi) < angle_rad)


def _join(
    first: Scan, of_first: npt.NDArray[np.bool_], second: Scan, of_second: npt.NDArray[np.bool_]
) -> Scan:
    def both(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.concatenate([one[of_first], other[of_second]])

    def maybe_both(
        one: Optional[npt.NDArray[np.generic]], other: Optional[npt.NDArray[np.generic]]
    ) -> Optional[npt.NDArray[np.generic]]:
        return None if one is None or other is None else both(one, other)

    return Scan(
        points=both(first.points, second.points),  # type: ignore[arg-type]
        remission=both(first.remission, second.remission),  # type: ignore[arg-type]
        ring=maybe_both(first.ring, second.ring),  # type: ignore[arg-type]
        labels=maybe_both(first.labels, second.labels),  # type: ignore[arg-type]
        id=first.id,
    )
