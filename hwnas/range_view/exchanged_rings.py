"""Given rings that elevations at the same azimuth contradict, and exchanged neighbours that are put right.

The mean elevation of a ring depends on what it hits, most of all where beams do not meet in the origin. At
the same azimuth, neighbouring beams mostly hit the same surface, and the upper one is above the lower one, in
a tilted frame as well. So each cell of azimuth that two neighbouring rings share votes on which is the upper.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import numpy as np

from hwnas.arrays import IntArray, LongArray
from hwnas.range_view.ring_cells import RingCells
from hwnas.range_view.shifted_rings import are_shifted_in_part

# Cells that two rings must share to be judged.
_FEWEST_VOTES = 5
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
        contradicts: whether too many neighbours are the wrong way round to be put right, too many points
            lie in other rings than theirs, or rings are shifted in a part of the turn.
        is_clear: whether elevations tell the order of all neighbours that can be judged, at least of half.
    """

    number: Optional[IntArray] = None
    contradicts: bool = False
    is_clear: bool = False


def renumbering(cells: RingCells, present: LongArray, order: int) -> Renumbering:
    """Return how rings are to be numbered so that each is above the next.

    Args:
        cells: of the points, for all rings up to the highest, also of points without a direction.
        present: rings that have points, ascending.
        order: 1 where rings count from the top, -1 where they count from the bottom.
    """
    if len(present) < 2:
        return Renumbering()
    votes = _Votes(cells)
    from_top = present[::order]
    shared, right, wrong = votes.of(from_top[:-1], from_top[1:])
    is_judged = shared >= _FEWEST_VOTES
    are_wrong = is_judged & (_FEW * right < shared)
    judged, num_wrong = int(is_judged.sum()), int(are_wrong.sum())
    unclear = int((is_judged & ~are_wrong & (_FEW * wrong >= shared)).sum())
    is_clear = not unclear and 2 * judged >= len(shared)
    if num_wrong and _MOST * unclear >= judged:
        return Renumbering()
    found: Optional[LongArray] = from_top
    if num_wrong:
        found = None if num_wrong > max(1, judged // _MOST) else _sorted(from_top, votes)
    if found is None or votes.are_astray(found) or are_shifted_in_part(cells, found):
        return Renumbering(contradicts=True, is_clear=is_clear)
    if not num_wrong:
        return Renumbering(is_clear=is_clear)
    number = np.arange(len(cells.members), dtype=np.int32)
    number[found] = from_top
    return Renumbering(number, is_clear=is_clear)


class _Votes:
    """What cells of azimuth say of two rings, and of single points, by mean elevations."""

    def __init__(self, cells: RingCells) -> None:
        self._ring, self._sine, self._cell = cells.ring, cells.sine, cells.cell
        self._members, self._sums = cells.members, cells.sines

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
