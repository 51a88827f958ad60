"""Rings of points whose elevations fall into separate groups, one for each beam of the sensor.

The order of the points plays no part. Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import IntArray, LongArray

MIN_BEAMS, MAX_BEAMS = 4, 256
_BINS = 1 << 16
_SAMPLES = 4096
# Beams of real sensors are unevenly spaced, but no spacing is three times the next smaller one.
_LEAST_CONTRAST = 3.0
_FEWEST_PER_BEAM = 4
# Of the middle number of points of a beam: groups with fewer are either rarely hit beams or strays.
_SMALL_SHARE = 0.02
_OUTSIDE_SHARE = 0.005


def grouped_rings(sine: IntArray, range_m: Optional[npt.NDArray[np.float32]] = None) -> Optional[IntArray]:
    """Return the ring [N] of each point, 0 = top; None where the elevations form no separate groups.

    Args:
        sine: [N] sine of elevation, from -1 to 1 as 0 to 65535.
        range_m: [N] distance, in any unit, to find the groups among the farther points only. Elevations of
            near points are the least exact, and such points get the nearest group.
    """
    counts = np.bincount(sine, minlength=_BINS)
    if range_m is None:
        groups = _groups(counts)
    else:
        far = range_m >= np.float32(0.5) * middle_range(range_m)
        groups = _groups(np.bincount(sine[far], minlength=_BINS))
        groups = groups if groups is not None and _cover(groups, counts) else None
    if groups is None:
        return None
    first, last = groups
    # Halfway between two groups a point belongs to the nearer one.
    edges = (last[:-1] + first[1:] + 1) // 2
    from_below = np.zeros(_BINS, np.int32)
    from_below[edges] = 1
    np.cumsum(from_below, out=from_below)
    return np.asarray((np.int32(len(first) - 1) - from_below)[sine])


def middle_range(range_m: npt.NDArray[np.float32]) -> np.float32:
    """Return the median of some distances [N], the upper one of two; N must be at least 1."""
    some = range_m[:: max(1, len(range_m) // _SAMPLES)]
    return np.float32(np.partition(some, len(some) // 2)[len(some) // 2])


def _groups(counts: LongArray) -> Optional[Tuple[LongArray, LongArray]]:
    """Return the first and the last bin of every group of a histogram, from below."""
    filled = np.flatnonzero(counts)
    gaps = np.diff(filled)
    widest = _gap_between_beams(gaps)
    if widest is None:
        return None
    cut = np.flatnonzero(gaps >= widest)
    first = filled[np.concatenate(([0], cut + 1))]
    last = filled[np.concatenate((cut, [len(filled) - 1]))]
    total = np.concatenate(([0], np.cumsum(counts)))
    members = total[last + 1] - total[first]
    keep = _beams_among(first, last, members)
    first, last, members = first[keep], last[keep], members[keep]
    if not MIN_BEAMS <= len(first) <= MAX_BEAMS or members.sum() < _FEWEST_PER_BEAM * len(first):
        return None
    space = first[1:] - last[:-1]
    width = last - first
    if np.any(space <= np.maximum(width[1:], width[:-1])):
        return None
    return first, last


def _cover(groups: Tuple[LongArray, LongArray], counts: LongArray) -> bool:
    """Return whether groups reach as far up and down as nearly all points do."""
    first, last = groups
    margin = int(np.min(first[1:] - last[:-1])) // 2
    outside = counts[: max(0, int(first[0]) - margin)].sum() + counts[int(last[-1]) + margin + 1 :].sum()
    return bool(outside <= _OUTSIDE_SHARE * counts.sum())


def _gap_between_beams(gaps: LongArray) -> Optional[int]:
    """Return the smallest gap between beams: sorted by size, gaps within beams are far smaller than this."""
    largest = np.sort(gaps)[::-1][: MAX_BEAMS + 1]
    if len(largest) < MIN_BEAMS - 1:
        return None
    outer = largest[MIN_BEAMS - 2 :]
    inner = np.append(largest[MIN_BEAMS - 1 :], 1)
    contrast = outer / inner
    best = int(np.argmax(contrast))
    return int(outer[best]) if contrast[best] >= _LEAST_CONTRAST else None


def _beams_among(first: LongArray, last: LongArray, members: LongArray) -> npt.NDArray[np.bool_]:
    """Return which groups are beams: small ones only where no beam with more points is too near."""
    middle = int(np.sort(members)[len(members) // 2])
    is_large = members >= max(1.0, _SMALL_SHARE * middle)
    if is_large.all():
        return is_large
    large_first, large_last = first[is_large], last[is_large]
    if len(large_first) < MIN_BEAMS:
        return is_large
    spacing = int(np.min(large_first[1:] - large_last[:-1]))
    above = np.append(large_first, np.iinfo(np.int64).max)[np.searchsorted(large_first, last)] - last
    below = first - np.insert(large_last, 0, -(1 << 40))[np.searchsorted(large_last, first)]
    return np.asarray(is_large | (np.minimum(above, below) * 4 >= spacing * 3))
