"""Which row of the sensor measured a point, recovered from the order of the points in the file.

Spinning LiDARs write ring by ring or column by column. Ring by ring, the azimuth runs once round
per ring and jumps at its end; counting the jumps gives the ring.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.data.angles import angle_of, ground_distance_of

MIN_RINGS, MAX_RINGS = 8, 128
_MIN_STEADY_SHARE = 0.8
_MIN_ORDERED_SHARE = 0.8


def recover_rings(points: npt.NDArray[np.float32]) -> Optional[npt.NDArray[np.int32]]:
    """Return the ring [N] int32 of points [N, 3] that come ring by ring, 0 = top; None for others.

    The points may turn either way and the rings may come from the top or from the bottom. Points
    count as ring-ordered if their azimuth wraps 7 to 127 times, otherwise mostly moves in one
    direction, and the elevation of the rings mostly falls (or mostly rises).
    """
    if len(points) < 2 * MIN_RINGS:
        return None
    with np.errstate(invalid="ignore"):
        step = np.diff(_azimuth(points))
    jumps = _jumps(step)
    if jumps is None:
        return None
    ring = np.zeros(len(points), np.int32)
    np.cumsum(jumps, out=ring[1:])
    return _top_first(ring, points)


def _azimuth(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # In [0, 2 pi): where a turn starts at x > 0, y = 0, its end is the jump.
    azimuth = angle_of(points[:, 1], points[:, 0])
    azimuth[azimuth < 0] += np.float32(2 * np.pi)
    return azimuth


def _jumps(step: npt.NDArray[np.float32]) -> Optional[npt.NDArray[np.bool_]]:
    """Return where a new ring starts, from the steps of azimuth, or None if the order is another."""
    for direction in (1.0, -1.0):
        turned = step * np.float32(direction)
        jumps = turned < -np.pi
        steady_share = np.count_nonzero((turned >= 0) & (turned < np.pi)) / len(step)
        if MIN_RINGS <= np.count_nonzero(jumps) + 1 <= MAX_RINGS and steady_share > _MIN_STEADY_SHARE:
            return np.asarray(jumps)
    return None


def _top_first(
    ring: npt.NDArray[np.int32], points: npt.NDArray[np.float32]
) -> Optional[npt.NDArray[np.int32]]:
    slope = points[:, 2] / np.maximum(ground_distance_of(points), np.float32(1e-3))
    num_rings = int(ring[-1]) + 1
    sums = np.bincount(ring, weights=slope, minlength=num_rings)
    change = np.diff(sums / np.bincount(ring, minlength=num_rings))
    falling, rising = np.mean(change < 0), np.mean(change > 0)
    if max(falling, rising) < _MIN_ORDERED_SHARE:
        return None
    return ring if falling >= rising else np.int32(num_rings - 1) - ring


def ring_counts(ring: npt.NDArray[np.int32]) -> Tuple[int, ...]:
    """Return the number of points of each ring, from the top one to the last that has any."""
    return tuple(int(count) for count in np.bincount(ring))
