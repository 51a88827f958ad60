"""Given rings that are shifted by one or more in a part of the turn.

The order of such rings is right everywhere, but where the part begins and where it ends, the elevations of
all rings step by whole spacings at once. What a scan holds changes elevations as well, where beams do not
meet in the origin: by an amount in proportion to 1 / range. That is taken out ring by ring, and so is an
inclination, by the middle one of the steps around, since it changes slowly with azimuth.

Scans that were corrected for the motion of a vehicle have one such place by right: where the turn ends, its
beginning was measured in another attitude. So one place alone proves nothing.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, LongArray
from hwnas.range_view.ring_cells import CELLS, RingCells

# Means of cells count in parts of the steps of their sums.
_PARTS = 16
# Squares of the steps of nearness of a ring add up to far more where they tell how elevation follows it: to
# this where each is 1 / 128 of the middle range's.
_STEADY = 1 << 18
# A step is seen from one cell to the next but one, since the part may begin within a cell.
_APART = 2
# Rings that must tell a step, and one in so many of those there are.
_FEWEST_RINGS, _SHARE_OF_RINGS = 5, 0.4
# Cells on both sides whose steps, with that of the cell itself, tell the inclination.
_AROUND = (5, 8)
# Cells to either side that belong to one place.
_PLACE = 4
# A step of more than this, in spacings, is one of rings: noise of real scans stays below 0.55, and shifts
# by one ring make 0.85 or more.
_SHIFTED = 0.7


def are_shifted_in_part(cells: RingCells, from_top: LongArray) -> bool:
    """Return whether elevations of all rings step by a spacing or more at two places of the turn.

    Args:
        cells: of the points.
        from_top: rings that have points, from the top.
    """
    if len(from_top) < _FEWEST_RINGS:
        return False
    step = np.abs(_steps(cells, from_top))
    first = int(step.argmax())
    step[(first + np.arange(-_PLACE, _PLACE + 1)) % CELLS] = 0.0
    # The largest of the others; if it is large, that one was, too.
    return bool(step.max() > _SHIFTED)


def _steps(cells: RingCells, from_top: LongArray) -> DoubleArray:
    """Return the steps [CELLS] of elevation, in spacings, that most rings have in common; 0 where unknown."""
    members = cells.members[from_top]
    is_there = members > 0
    members = np.maximum(members, 1)
    sine = _PARTS * cells.sines[from_top] // members
    near = _PARTS * cells.nearness[from_top] // members
    is_next = is_there & np.roll(is_there, -1, axis=1)
    up, nearer = (np.where(is_next, np.roll(of, -1, axis=1) - of, 0) for of in (sine, near))
    slope = (up * nearer).sum(axis=1) / (_STEADY + (nearer * nearer).sum(axis=1))
    up, nearer = (np.roll(of, -_APART, axis=1) - of for of in (sine, near))
    step = (up - slope[:, None] * nearer) / _spacings(sine, is_there)[:, None]
    step = np.where(is_there & np.roll(is_there, -_APART, axis=1), step, np.nan)
    around = [(np.roll(step, away, axis=1) + np.roll(step, -away, axis=1)) * 0.5 for away in _AROUND]
    step = step - np.median(np.stack([step, *around]), axis=0)  # NaN where one of these is
    is_known = ~np.isnan(step)
    least = max(_FEWEST_RINGS, int(_SHARE_OF_RINGS * len(from_top)))
    return np.where(np.count_nonzero(is_known, axis=0) >= least, _middle(step, is_known), 0.0)


def _spacings(sine: LongArray, is_there: npt.NDArray[np.bool_]) -> DoubleArray:
    """Return how far apart [rings] neighbours of each ring lie in the cells they share, per ring."""
    is_shared = is_there[1:] & is_there[:-1]
    apart = np.abs(np.where(is_shared, sine[:-1] - sine[1:], 0).sum(axis=1))
    gap = np.maximum(apart // np.maximum(np.count_nonzero(is_shared, axis=1), 1), 1)
    return np.asarray((np.append(gap[:1], gap) + np.append(gap, gap[-1:])) * 0.5, np.float64)


def _middle(values: DoubleArray, is_known: npt.NDArray[np.bool_]) -> DoubleArray:
    """Return the lower median [columns] of the known values of each column; infinite where none is."""
    known = np.sort(np.where(is_known, values, np.inf), axis=0)
    middle = np.maximum(np.count_nonzero(is_known, axis=0) - 1, 0) // 2
    return np.asarray(np.take_along_axis(known, middle[None], axis=0)[0], np.float64)
