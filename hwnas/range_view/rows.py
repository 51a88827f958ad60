"""Rows of a range image: from the ring of each point, or from its elevation and the table of beams.

Row 0 is the top row, whichever end a driver counts rings from: nuScenes and the drivers of Velodyne for ROS
count from the bottom, Ouster and SemanticKITTI from the top. Training, evaluation, the runner and the clock
all take their rows from here.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray, IntArray, LongArray
from hwnas.errors import DataError
from hwnas.range_view.compiled import wrong_rings
from hwnas.range_view.exchanged_rings import renumbering
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.ring_cells import RingCells
from hwnas.range_view.rings import SINE_STEPS, azimuth_of, middle_range, recover_rings, sines_of

RING, BEAMS = "ring", "beams"
"""How rows were found: from rings, given or recovered, or by the nearest beam of a table."""
REORDERED, DISAGREE, UNCONFIRMED, OTHER_BEAMS = 1, 2, 3, 4
"""Remarks on given rings: not numbered by elevation, so sorted by it; or their elevations overlap; or they
fit other beams than the numbers name. And on recovered ones: fewer than beams, and their elevations do not
confirm which of them they are."""
_BINS = 2 * SINE_STEPS
_LARGEST_RING = 1 << 16
# Noise may let elevations step the wrong way, in all by one part in so many of the steps the right way.
_CONTRARY = 10
# Points of a ring lie this near to its mean, in spacings of the rings, where rings are beams.
_TIGHT = 0.25
_NO_WAY = 1 << 40
# So many times nearer to the beams are rings that count from 1, or that other beams measured.
_CLEARLY = 4
# A quarter of a turn has a fifth of its points, or more.
_QUARTERS = 5
# Beams without a ring have hardly any point, and most points of a ring lie nearest to its beam.
_MOST_UNCLAIMED, _LEAST_NEAREST, _FEW_OF_RING, _NEAR_SHARE = 0.2, 0.7, 0.1, 0.25


class Rows(NamedTuple):
    """The row of each point.

    Attributes:
        row: [N] int32, 0 = top; None where neither rings nor a table tell it.
        method: `RING` or `BEAMS`; empty where there are no rows.
        remark: `REORDERED`, `DISAGREE`, `OTHER_BEAMS` or 0.
    """

    row: Optional[IntArray]
    method: str
    remark: int = 0


def rows_of(
    points: FloatArray, height: int, beams: Optional[IntArray] = None, ring: Optional[IntArray] = None
) -> Rows:
    """Return the rows of points in an image.

    Args:
        points: [N, 3], metres.
        height: rows of the image.
        beams: sines of the elevation of each row, see `sines_of_beams`; None where no table is known.
        ring: [N] as a file or driver numbers them, from either end, from 0 or 1, with or without gaps.
            When None, they are recovered. Where no table is known, row 0 is that of the top ring with points,
            given or recovered.

    Raises:
        DataError: if there are more given rings than rows.
    """
    num_rows = height if beams is None else len(beams)
    if ring is None:
        usable, sine, _ = sines_of(points)
        if not len(sine):
            return Rows(np.zeros(len(points), np.int32), RING)
        row = _rows_without_rings(points, num_rows, beams)
        if row is not None:
            return Rows(row, RING)
        ring = rings_of_grid(points)
        if ring is None or int(ring.max()) >= num_rows:
            if beams is None:
                return Rows(None, "")
            return Rows(_expanded(_nearest_rows(beams)[sine], usable), BEAMS)
    if not len(ring):
        return Rows(np.zeros(0, np.int32), RING)
    row, remark = _rows_of_given(points, ring, num_rows, beams)
    return Rows(row, RING, remark)


def sines_of_beams(elevation_deg: Sequence[float]) -> IntArray:
    """Return elevations as `rows_of` and the compiled kernel take them: sines -1..1 as 0..65535."""
    sines = np.sin(np.radians(np.asarray(elevation_deg, np.float64)))
    return np.asarray(np.clip(np.rint((sines + 1.0) * SINE_STEPS), 0, _BINS - 1), np.int32)


def _nearest_rows(beams: IntArray) -> IntArray:
    """Return for each sine of elevation the row of the nearest beam."""
    edges = (beams[:-1].astype(np.int64) + beams[1:] + 1) // 2
    return np.asarray(np.cumsum(np.bincount(edges, minlength=_BINS)[::-1])[::-1], np.int64).astype(np.int32)[
        np.minimum(np.arange(_BINS) + 1, _BINS - 1)
    ]


def _rows_without_rings(points: FloatArray, num_rows: int, beams: Optional[IntArray]) -> Optional[IntArray]:
    """Return the rows of recovered rings; None if there are none to be had, or more than rows."""
    ring = recover_rings(points)
    if ring is None or int(ring.max()) >= num_rows:
        return None
    num_rings = int(ring.max()) + 1
    if beams is None or num_rings == num_rows:
        return ring
    # They count from the top one that has points: which of the beams these are, their elevations tell.
    usable, sine, _ = sines_of(points)
    seen = ring if len(sine) == len(ring) else ring[usable]
    return _row_of_each(_means(seen, sine, num_rings), beams)[ring]


def _row_of_each(means: LongArray, beams: IntArray) -> IntArray:
    """Return the rows of rings with these elevations, from the top, when there are more beams than rings.

    Of all ways to skip beams, that with the least sum of differences between elevations of ring and beam.
    """
    least = np.zeros(len(beams) + 1, np.int64)  # of the rings so far in the first rows
    is_skipped = np.zeros((len(means), len(beams) + 1), np.bool_)
    for place, mean in enumerate(means):
        taken = least[:-1] + np.abs(mean - beams)
        least = np.minimum.accumulate(np.insert(taken, 0, _NO_WAY))
        is_skipped[place, 1:] = least[:-1] <= taken
    rows = np.zeros(len(means), np.int32)
    row = len(beams)
    for place in range(len(means) - 1, -1, -1):
        while is_skipped[place, row]:
            row -= 1
        row -= 1
        rows[place] = row
    return rows


def are_confirmed(points: FloatArray, row: IntArray, beams: IntArray) -> bool:
    """Return whether elevations bear out the rows of recovered rings, if these are fewer than beams.

    Where the order of the points lets two rings pass for one, its points lie on two beams, and one of these
    is left without a ring.

    Args:
        points: [N, 3].
        row: [N] as recovered.
        beams: sines of the elevation of each row, see `sines_of_beams`.
    """
    usable, sine, range_m = sines_of(points)
    row = row if len(sine) == len(row) else row[usable]
    is_claimed = np.bincount(row, minlength=len(beams)) > 0
    if not len(sine) or is_claimed.all():
        return True
    far = range_m >= np.float32(_NEAR_SHARE) * middle_range(range_m)
    row, nearest = row[far], _nearest_rows(beams)[sine[far]]
    members, around, agreeing = (
        np.bincount(rows, minlength=len(beams)) for rows in (row, nearest, row[row == nearest])
    )
    usual = float(np.median(members[is_claimed]))
    is_usual = members >= max(1.0, _FEW_OF_RING * usual)
    is_left_out = bool(around[~is_claimed].max() > _MOST_UNCLAIMED * usual)
    return not is_left_out and bool(np.all(agreeing[is_usual] >= _LEAST_NEAREST * members[is_usual]))


def _rows_of_given(
    points: FloatArray, ring: IntArray, num_rows: int, beams: Optional[IntArray]
) -> Tuple[IntArray, int]:
    number = _numbers(ring, num_rows)
    usable, sine, range_m = sines_of(points)
    if not len(sine):
        return number, 0
    seen = number if len(sine) == len(number) else number[usable]
    middle_m, count = middle_range(range_m), int(number.max()) + 1
    means = _means_of_far(seen, sine, range_m >= np.float32(0.5) * middle_m, count)
    present = np.flatnonzero(means >= 0)
    order = _order_of(means[present])
    if order == 0 and _are_tight(seen, sine, means[present], means):
        return _rows_by_elevation(number, means, num_rows, beams), REORDERED
    is_monotonic = order != 0
    if not is_monotonic:
        order = 1 if int(means[present[0]]) >= int(means[present[-1]]) else -1
    if len(present) == 1 and beams is not None:
        only = int(present[0])
        mean = int(means[only])
        order = -1 if abs(mean - int(beams[num_rows - 1 - only])) < abs(mean - int(beams[only])) else 1
    azimuth = azimuth_of(points if len(sine) == len(points) else points[usable])
    found = renumbering(RingCells(seen, azimuth, sine, range_m, middle_m, count), present, order)
    # An inclined sensor gives rings mean elevations in any order; at the same azimuth theirs is clear.
    remark = DISAGREE if found.contradicts or not (is_monotonic or found.is_clear) else 0
    if found.number is not None:
        number, remark = found.number[number], remark or REORDERED
        means = means[np.argsort(found.number)]
    first = 0
    if beams is not None and int(number.min()) >= 1 and _is_all_around(points[usable]):
        first = _base_of(present, means, beams, order)
    if beams is not None and is_monotonic and remark == 0:
        rows = _from_top(present.astype(np.int32), present, num_rows, order, first, is_known=True)
        remark = OTHER_BEAMS if _are_of_other_beams(means[present][::order], rows[::order], beams) else 0
    return _from_top(number, present, num_rows, order, first, is_known=beams is not None), remark


def _are_of_other_beams(means: LongArray, row: IntArray, beams: IntArray) -> bool:
    """Return whether elevations of rings, from the top, fit other rows than theirs far better.

    So it is where rings without points were left out when rings were numbered.
    """
    if len(row) == len(beams):
        return False
    apart = int(np.abs(means - beams[row]).sum())
    return _CLEARLY * int(np.abs(means - beams[_row_of_each(means, beams)]).sum()) < apart


def _from_top(
    number: IntArray, present: LongArray, num_rows: int, order: int, first: int, *, is_known: bool
) -> IntArray:
    """Return rows of rings that are numbered by elevation.

    Where beams are known, the ring `first` is the first of them. Else the first ring with points is, as for
    rings that are recovered, which may be fewer than the rows of the image.
    """
    if is_known:
        row = number - np.int32(first)
        return np.int32(num_rows - 1) - row if order < 0 else row
    row = number - np.int32(present[0]) if order > 0 else np.int32(present[-1]) - number
    return np.asarray(np.maximum(row, 0), np.int32)  # points without a direction may have other rings


def _is_all_around(points: FloatArray) -> bool:
    """Return whether points lie in all four directions: an inclined sensor then shows its mean elevations."""
    quadrant = 2 * (points[:, 0] >= 0) + (points[:, 1] >= 0)
    return bool(_QUARTERS * np.bincount(quadrant, minlength=4).min() >= len(points))


def _base_of(present: LongArray, means: LongArray, beams: IntArray, order: int) -> int:
    """Return whether rings count from 0 or 1, where neither 0 nor the number of beams is among them.

    Only elevations that fit far better make it 1, and only those of a whole turn: in a part of one, those of
    an inclined sensor are those of another beam.
    """
    from_0 = beams[present] if order > 0 else beams[len(beams) - 1 - present]
    from_1 = beams[present - 1] if order > 0 else beams[len(beams) - present]
    apart_0, apart_1 = (int(np.abs(means[present] - rows).sum()) for rows in (from_0, from_1))
    return 1 if _CLEARLY * apart_1 < apart_0 else 0


def _numbers(ring: IntArray, num_rows: int) -> IntArray:
    """Return rings as numbers of rows, from either end: less one, or counted where they have gaps."""
    lowest, highest = int(ring.min()), int(ring.max())
    if lowest >= 0 and highest < num_rows:
        return ring
    if lowest >= 1 and highest == num_rows:
        return ring - np.int32(1)
    if lowest >= 0 and highest < _LARGEST_RING:
        members = np.bincount(ring)
        if np.count_nonzero(members) <= num_rows:
            return (np.cumsum(members > 0) - 1).astype(np.int32)[ring]
    raise DataError(wrong_rings(ring, num_rows))


def _order_of(means: LongArray) -> int:
    """Return 1 where elevations fall from ring to ring, -1 where they rise, 0 where they do neither."""
    step = np.diff(means)
    fall, rise = int(-step[step < 0].sum()), int(step[step > 0].sum())
    if min(fall, rise) * _CONTRARY > max(fall, rise):
        return 0
    return 1 if fall >= rise else -1


def _are_tight(ring: IntArray, sine: IntArray, present: LongArray, means: LongArray) -> bool:
    """Return whether points of a ring lie near to its mean, as where rings are beams in any order."""
    apart = int(np.abs(sine - means[ring]).sum())
    spread = int(present.max() - present.min())
    return apart * (len(present) - 1) < _TIGHT * spread * len(sine)


def _rows_by_elevation(
    number: IntArray, means: LongArray, num_rows: int, beams: Optional[IntArray]
) -> IntArray:
    """Return rows of rings that are numbered in another order than that of their elevations."""
    present = np.flatnonzero(means >= 0)
    row_of = np.zeros(len(means), np.int32)
    by_elevation = present[np.argsort(-means[present], kind="stable")]
    if beams is not None and len(present) < num_rows:
        row_of[by_elevation] = _row_of_each(means[by_elevation], beams)
    else:
        row_of[by_elevation] = np.arange(len(present), dtype=np.int32)
    return row_of[number]


def _means_of_far(ring: IntArray, sine: IntArray, far: npt.NDArray[np.bool_], count: int) -> LongArray:
    """Return the mean sine of the farther points of each ring, of all where none is far; -1 without any."""
    means = _means(ring, sine, count)
    of_far = _means(ring[far], sine[far], count)
    return np.where(of_far >= 0, of_far, means)


def _means(ring: IntArray, sine: IntArray, count: int) -> LongArray:
    """Return the rounded mean sine of each ring; -1 where a ring has no point."""
    members = np.bincount(ring, minlength=count)
    sums = np.bincount(ring, weights=sine, minlength=count)
    return np.asarray(np.where(members > 0, np.rint(sums / np.maximum(members, 1)), -1), np.int64)


def _expanded(row: IntArray, usable: npt.NDArray[np.bool_]) -> IntArray:
    """Return rows of all points: 0 for those without a direction."""
    if len(row) == len(usable):
        return row
    rows = np.zeros(len(usable), np.int32)
    rows[usable] = row
    return rows
