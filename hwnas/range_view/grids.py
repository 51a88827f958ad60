"""Rings of clouds that keep the grid of the sensor: every firing of every beam in its place, holes included.

Ouster's clouds, those that Velodyne's driver calls organised, and many files of packets are such grids, beam
by beam or column by column. Holes are points that are not finite or lie at the origin. What takes such points
out takes the grid away, so this must come first.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import IntArray
from hwnas.range_view.rings import MAX_RINGS, MIN_RINGS, middle_range, sines_of

_FEWEST_COLUMNS = 16
# Places at which layouts are tried: blocks long enough to hold several columns.
_BLOCKS, _BLOCK = 16, 512
# Of the variance of elevation, the share that the beam explains; less will do where the file states its grid.
_LEAST_EXPLAINED, _LEAST_EXPLAINED_OF_STATED = 0.9, 0.8
# Elevations of neighbouring beams that overlap may step the wrong way, where beams that fire in another order
# than that of their elevations step up and down alike.
_CONTRARY = 4


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
    far = range_m >= np.float32(0.5) * middle_range(range_m)
    place, elevation = np.flatnonzero(usable)[far], sine[far].astype(np.float64)
    some = _blocks(len(place))
    best: Optional[_Layout] = None
    most = _LEAST_EXPLAINED if shape is None else _LEAST_EXPLAINED_OF_STATED
    for layout in _layouts(len(points), shape):
        explained = _explained(layout.ring_at(place[some]), elevation[some], layout.num_rings)
        if explained >= most:
            best, most = layout, explained
            if shape is None:
                break  # twice as many beams would explain as much
    if best is None:
        return None
    number = _numbers_from_the_top(best.ring_at(place), elevation, best.num_rings)
    return None if number is None else number[best.ring_at(np.arange(len(points)))]


class _Layout(NamedTuple):
    """A way in which points may lie in a grid: which ring each belongs to.

    Attributes:
        num_rings: number of rings.
        per_ring: points of each ring if they lie ring by ring; 0 if they lie column by column.
    """

    num_rings: int
    per_ring: int

    def ring_at(self, place: npt.NDArray[np.intp]) -> IntArray:
        """Return the rings of points at some places of the file."""
        ring = place // self.per_ring if self.per_ring else place % self.num_rings
        return ring.astype(np.int32)


def _blocks(count: int) -> npt.NDArray[np.intp]:
    """Return places of a few blocks of neighbours, spread evenly over `count`; all where these are few."""
    if count <= _BLOCKS * _BLOCK:
        return np.arange(count)
    starts = np.linspace(0, count - _BLOCK, _BLOCKS).astype(np.intp)
    return np.asarray((starts[:, None] + np.arange(_BLOCK)).ravel())


def _layouts(count: int, shape: Optional[Tuple[int, int]]) -> List[_Layout]:
    """Return the ways in which points may lie in a grid."""
    if shape is not None:
        height, width = shape
        if height * width != count:
            return []
        both = [_Layout(height, width), _Layout(width, 0)]
        return [layout for layout in both if MIN_RINGS <= layout.num_rings <= MAX_RINGS]
    return [
        _Layout(number, 0)
        for number in range(MIN_RINGS, MAX_RINGS + 1)
        if count % number == 0 and count // number >= _FEWEST_COLUMNS
    ]


def _explained(ring: IntArray, elevation: npt.NDArray[np.float64], num_rings: int) -> float:
    members = np.bincount(ring, minlength=num_rings)
    means = np.bincount(ring, weights=elevation, minlength=num_rings) / np.maximum(members, 1)
    total = float(np.square(elevation - elevation.mean()).sum())
    return 1.0 - float(np.square(elevation - means[ring]).sum()) / total if total else 0.0


def _numbers_from_the_top(
    seen: IntArray, elevation: npt.NDArray[np.float64], num_rings: int
) -> Optional[IntArray]:
    """Return the place of each ring by elevation; None if one is unknown and the order does not tell it."""
    members = np.bincount(seen, minlength=num_rings)
    present = np.flatnonzero(members)
    means = np.bincount(seen, weights=elevation, minlength=num_rings)[present] / members[present]
    step = np.diff(means)
    fall, rise = float(-step[step < 0].sum()), float(step[step > 0].sum())
    if min(fall, rise) * _CONTRARY <= max(fall, rise):
        order = np.arange(num_rings, dtype=np.int32)
        return order if fall >= rise else order[::-1]
    if len(present) < num_rings:
        return None
    rank = np.empty(num_rings, np.int32)
    rank[np.argsort(-means, kind="stable")] = np.arange(num_rings, dtype=np.int32)
    return rank
