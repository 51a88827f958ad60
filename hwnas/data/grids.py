"""Rings of clouds that keep the grid of the sensor: every firing of every beam in its place, holes included.

Ouster's clouds, those that Velodyne's driver calls organised, and many files of packets are such grids, beam
by beam or column by column. Holes are points that are not finite or lie at the origin. What takes such points
out takes the grid away, so this must come first.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.data.rings import MAX_RINGS, MIN_RINGS, middle_range, sines_of

_FEWEST_COLUMNS = 16
# Of the variance of elevation, the share that the beam explains; less will do where the file states its grid.
_LEAST_EXPLAINED, _LEAST_EXPLAINED_OF_STATED = 0.9, 0.8
# Elevations of neighbouring beams that overlap may step the wrong way, where beams that fire in another order
# than that of their elevations step up and down alike.
_CONTRARY = 4

IntArray = npt.NDArray[np.int32]


def rings_of_grid(
    points: npt.NDArray[np.float32], shape: Optional[Tuple[int, int]] = None
) -> Optional[IntArray]:
    """Return the ring [N] of points [N, 3], 0 = top; None if they are no grid.

    Args:
        points: in the order of their file or message, holes included.
        shape: height and width that an organised file states; None where it states none.
    """
    usable, sine, range_m = sines_of(points)
    if len(sine) < MIN_RINGS * _FEWEST_COLUMNS:
        return None
    # Near points are seen from another spot than the origin, and there are many on the vehicle itself.
    place = np.flatnonzero(usable)[range_m >= np.float32(0.5) * middle_range(range_m)]
    elevation = sine[range_m >= np.float32(0.5) * middle_range(range_m)].astype(np.float64)
    best: Optional[IntArray] = None
    most = _LEAST_EXPLAINED if shape is None else _LEAST_EXPLAINED_OF_STATED
    for ring, num_rings in _layouts(len(points), shape):
        explained = _explained(ring[place], elevation, num_rings)
        if explained >= most:
            best = _top_first(ring, ring[place], elevation, num_rings)
            if shape is None and best is not None:
                return best  # twice as many beams would explain as much
            most = explained
    return best


def _layouts(count: int, shape: Optional[Tuple[int, int]]) -> List[Tuple[IntArray, int]]:
    """Return the ways in which points may lie in a grid: the ring of each, and the number of rings."""
    index = np.arange(count, dtype=np.int32)
    if shape is not None:
        height, width = shape
        if height * width != count:
            return []
        both = [(index // np.int32(width), height), (index % np.int32(width), width)]
        return [(ring, number) for ring, number in both if MIN_RINGS <= number <= MAX_RINGS]
    numbers = [n for n in range(MIN_RINGS, MAX_RINGS + 1) if count % n == 0 and count // n >= _FEWEST_COLUMNS]
    return [(index % np.int32(number), number) for number in numbers]


def _explained(ring: IntArray, elevation: npt.NDArray[np.float64], num_rings: int) -> float:
    members = np.bincount(ring, minlength=num_rings)
    means = np.bincount(ring, weights=elevation, minlength=num_rings) / np.maximum(members, 1)
    total = float(np.square(elevation - elevation.mean()).sum())
    return 1.0 - float(np.square(elevation - means[ring]).sum()) / total if total else 0.0


def _top_first(
    ring: IntArray, seen: IntArray, elevation: npt.NDArray[np.float64], num_rings: int
) -> Optional[IntArray]:
    """Return rings numbered by elevation; None where one is unknown and the order does not tell its place."""
    members = np.bincount(seen, minlength=num_rings)
    present = np.flatnonzero(members)
    means = np.bincount(seen, weights=elevation, minlength=num_rings)[present] / members[present]
    step = np.diff(means)
    fall, rise = float(-step[step < 0].sum()), float(step[step > 0].sum())
    if min(fall, rise) * _CONTRARY <= max(fall, rise):
        return ring if fall >= rise else np.int32(num_rings - 1) - ring
    if len(present) < num_rings:
        return None
    rank = np.empty(num_rings, np.int32)
    rank[np.argsort(-means, kind="stable")] = np.arange(num_rings, dtype=np.int32)
    return rank[ring]
