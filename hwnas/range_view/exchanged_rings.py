"""Given rings that elevations at the same azimuth contradict: exchanged neighbours, points in other rings.

The mean elevation of a ring depends on what it hits, most of all where beams do not meet in the origin. At
the same azimuth, neighbouring beams mostly hit the same surface, and the upper one is above the lower one, in
a tilted frame as well. So each cell of azimuth that two neighbouring rings share votes on which is the upper.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import numpy as np

from hwnas.arrays import IntArray, LongArray
from hwnas.range_view.ring_order import TURN

# Cells to a turn, and how many two rings must share to be judged.
_CELLS, _FEWEST_VOTES = 256, 5
# Less than one vote in so many is for the order that is given, or for the other one: the order is clear.
_FEW = 4
# One pair in so many may be unclear, and one in so many wrong. Where more are unclear, points are in a frame
# in which elevations tell nothing, as with its origin on the ground.
_MOST = 10
# Where more than one point in so many is nearer to the ring two above or below, rings are no beams.
_STRAY = 5


class Renumbering(NamedTuple):
    """What elevations say of the order of given rings.

    Attributes:
        number: [highest + 1] what each ring is to be numbered; None where it keeps its number.
        contradicts: whether too many neighbours are the wrong way round to be put right, or too many points
            lie in other rings than theirs.
    """

    number: Optional[IntArray] = None
    contradicts: bool = False


def renumbering(
    ring: IntArray, azimuth: IntArray, sine: IntArray, present: LongArray, order: int, highest: int
) -> Renumbering:
    """Return how rings are to be numbered so that each is above the next.

    Args:
        ring: [N] as given.
        azimuth: [N], `TURN` to a turn.
        sine: [N] of the elevation, see `rings.sines_of`.
        present: rings that have points, ascending.
        order: 1 where rings count from the top, -1 where they count from the bottom.
        highest: the highest ring of all points, also of those without a direction.
    """
    if len(present) < 2:
        return Renumbering()
    votes = _Votes(ring, azimuth, sine, highest + 1)
    from_top = present[::order]
    shared, right, wrong = votes.of(from_top[:-1], from_top[1:])
    is_judged = shared >= _FEWEST_VOTES
    are_wrong = is_judged & (_FEW * right < shared)
    if not are_wrong.any():
        return Renumbering(contradicts=votes.are_astray(from_top))
    judged, num_wrong = int(is_judged.sum()), int(are_wrong.sum())
    unclear = int((is_judged & ~are_wrong & (_FEW * wrong >= shared)).sum())
    if _MOST * unclear >= judged:
        return Renumbering()
    found = None if num_wrong > max(1, judged // _MOST) else _sorted(from_top, votes)
    if found is None:
        return Renumbering(contradicts=True)
    number = np.arange(highest + 1, dtype=np.int32)
    number[found] = from_top
    return Renumbering(number)


class _Votes:
    """The mean elevation of each ring in each cell of azimuth, as sums and numbers of points."""

    def __init__(self, ring: IntArray, azimuth: IntArray, sine: IntArray, count: int) -> None:
        self._ring, self._sine = ring, sine
        self._cell = ((azimuth + TURN // 2) & (TURN - 1)) // (TURN // _CELLS)
        place = ring.astype(np.int64) * _CELLS + self._cell
        size = count * _CELLS
        self._members = np.bincount(place, minlength=size).reshape(count, _CELLS)
        sums = np.bincount(place, weights=sine, minlength=size)
        self._sums = sums.astype(np.int64).reshape(count, _CELLS)

    def are_astray(self, from_top: LongArray) -> bool:
        """Return whether many points lie, in their cell, nearer to the ring two above or below than theirs.

        The next ring does not count: where beams do not meet in the origin, elevations of neighbours overlap.
        """
        place = np.zeros(len(self._members), np.int64)
        place[from_top] = np.arange(len(from_top))
        # Rings that are there, from the top, with two without points at either end.
        members = np.pad(self._members[from_top], ((2, 2), (0, 0)))
        means = np.pad(self._sums[from_top], ((2, 2), (0, 0))) // np.maximum(members, 1)
        own = place[self._ring] + 2
        apart = np.abs(self._sine - means[own, self._cell])
        is_judged, is_astray = np.zeros((2, len(own)), np.bool_)
        for other in (own - 2, own + 2):
            is_there = members[other, self._cell] > 0
            is_judged |= is_there
            is_astray |= is_there & (np.abs(self._sine - means[other, self._cell]) < apart)
        return bool(_STRAY * np.count_nonzero(is_astray) > np.count_nonzero(is_judged))

    def of(self, upper: LongArray, lower: LongArray) -> tuple[LongArray, LongArray, LongArray]:
        """Return how many cells pairs share, in how many they lie so or equal, and the other way or equal."""
        above = self._sums[upper] * self._members[lower] - self._sums[lower] * self._members[upper]
        is_shared = (self._members[upper] > 0) & (self._members[lower] > 0)
        counts = [np.count_nonzero(is_shared & votes, axis=1) for votes in (True, above >= 0, above <= 0)]
        return counts[0], counts[1], counts[2]

    def are_wrong(self, upper: int, lower: int) -> bool:
        shared, right, _ = self.of(np.array([upper]), np.array([lower]))
        return bool(shared[0] >= _FEWEST_VOTES and _FEW * right[0] < shared[0])


def _sorted(from_top: LongArray, votes: _Votes) -> Optional[LongArray]:
    """Return the rings with wrong neighbours exchanged until there are none; None if there always are."""
    order: List[int] = from_top.tolist()
    for _ in order:
        has_changed = False
        for place in range(len(order) - 1):
            if votes.are_wrong(order[place], order[place + 1]):
                order[place : place + 2] = order[place + 1], order[place]
                has_changed = True
        if not has_changed:
            return np.array(order)
    return None
