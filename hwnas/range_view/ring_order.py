"""Rings of points that come ring by ring, whatever the azimuth at which each ring starts.

Along such a file the azimuth grows (or falls) by one turn for each ring, and the elevation steps to the next
beam at the same azimuth every time: where the turn is cut. That azimuth is found as the one with the most
steps of elevation in one direction, over all turns.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, IntArray, LongArray

TURN = 1 << 22
"""Azimuths are whole numbers, this many to a turn."""
MIN_RINGS, MAX_RINGS = 4, 128
_MIN_STEADY_SHARE = 0.7
_MIN_ORDERED_SHARE = 0.8
# Lasers side by side and corrections of motion let the azimuth fall back, but by less.
_BACKWARD = TURN // 18
# Rings of a narrow sector may miss their ends: the next one then begins less than the sector further back.
_BACKWARD_PART = 4
_CELLS = 128
_CELL = TURN // _CELLS
_MARGIN = 6
_FINE = _CELL // 2
# A partial turn leaves out this many cells in a row; some stray points may be there.
_FEWEST_UNSEEN, _LEAST_SHARE_OF_CELL = 4, 0.02
# What a step to the next beam may be, in spacings of the beams there, and the share of turns that make one.
_SMALLEST_STEP, _LARGEST_STEP, _MIN_AGREEING, _MIN_CERTAIN = 0.5, 1.7, 0.4, 0.6
_SMALLEST_BREAK, _MIN_BREAKING = 0.2, 0.6
_LEAST_SPACING = 0.3
# Rings with less than this share of the points of a middle one may be a few points that cross the cut.
_FEW_SHARE = 0.05

# The ragged beginning of a first ring, or end of a last one, spans this many cells.
_NEAR_CELLS = 2


def ordered_rings(azimuth: IntArray, sine: IntArray) -> Optional[IntArray]:
    """Return the ring [N] of each point, 0 = top; None where the points do not come ring by ring.

    Args:
        azimuth: [N], `TURN` to a turn.
        sine: [N] sine of elevation, whole numbers.
    """
    run = _running_azimuth(azimuth)
    if run is None:
        return None
    cut = _cut(run, sine)
    if cut is None:
        return None
    turn = (run - cut) >> 22
    turn -= turn.min()
    return _top_first(_without_strays(turn.astype(np.int32), sine), sine)


def _without_strays(ring: IntArray, sine: IntArray) -> IntArray:
    """Count rings without empty ones, and without a first and last one of few points next to the cut."""
    members = np.bincount(ring)
    if len(members) < MIN_RINGS:
        return ring
    few = _FEW_SHARE * np.sort(members)[len(members) // 2]
    mean = np.bincount(ring, weights=sine) / np.maximum(members, 1)
    spacing = abs(mean[0] - mean[-1]) / len(members)
    kept = members > 0
    for edge, inner in ((0, 1), (len(members) - 1, len(members) - 2)):
        if members[edge] < few and (members[edge] < few / 5 or abs(mean[edge] - mean[inner]) < spacing / 2):
            kept[edge] = False
    if kept.all():
        return ring
    number = np.cumsum(kept) - 1
    return np.asarray(np.maximum(number, 0), np.int32)[ring]


def _running_azimuth(azimuth: IntArray) -> Optional[LongArray]:
    """Return how far the sensor has turned at each point, growing from 0; None if it turns unsteadily."""
    step = azimuth[1:] - azimuth[:-1]
    step += np.int32(TURN // 2)
    step &= np.int32(TURN - 1)
    step -= np.int32(TURN // 2)
    ahead, back = int(np.count_nonzero(step > 0)), int(np.count_nonzero(step < 0))
    if max(ahead, back) < _MIN_STEADY_SHARE * len(step):
        return None
    if back > ahead:
        np.negative(step, out=step)
    # A step far backwards is the way on to the next ring.
    seen = _CELLS - _widest_gap(azimuth)[1]
    step[step < -min(_BACKWARD, seen * _CELL // _BACKWARD_PART)] += np.int32(TURN)
    run = np.zeros(len(azimuth), np.int64)
    np.cumsum(step, out=run[1:])
    if int(run.min()) < -_MARGIN * _CELL or int(run.max()) >= (MAX_RINGS + 2) * TURN:
        return None
    return run if (MIN_RINGS - 1) * TURN < int(run[-1]) < (MAX_RINGS + 1) * TURN else None


def _cut(run: LongArray, sine: IntArray) -> Optional[int]:
    """Return the running azimuth at which turns are cut, up to whole turns; None if nothing shows it."""
    # A file begins after one cut and ends before another, so that the cut lies between these azimuths.
    last = int(run[-1] % TURN) // _CELL
    unseen = _unseen_sector(run, last)
    if unseen is None:
        low, high = last - _MARGIN, _CELLS + _MARGIN
        return _cut_within(run, sine, low, high) if high - low <= _CELLS // 2 else None
    # Where others see more of the sector than the file's first turn, or its last one, the cut may lie there.
    begin, end = unseen
    for low, high in ((end - 1, _CELLS + _NEAR_CELLS), (last - _NEAR_CELLS, begin + 1)):
        found = _cut_within(run, sine, low, high, certain=True) if high - low > 2 * _NEAR_CELLS + 1 else None
        if found is not None:
            return found
    return ((begin + end) * _CELL // 2) & (TURN - 1)


def _cut_within(
    run: LongArray, sine: IntArray, low: int, high: int, *, certain: bool = False
) -> Optional[int]:
    """Return the cut if it lies within some cells; None if nothing shows it.

    Args:
        run: [N] running azimuth.
        sine: [N] sine of elevation.
        low: first of the cells, of the turn that ends where the file begins.
        high: the cell after the last one.
        certain: whether most turns must make a step to the next beam at the cut.
    """
    # The rest of the turn tells at which elevation each beam lies.
    start = (low - _CELLS) * _CELL
    # A file's first points may lie before where the azimuth of its first turn begins.
    turn, phase = np.maximum((run - start) >> 22, 0), (run - start) & (TURN - 1)
    near = phase < (high - low) * _CELL
    if near.all():
        return None
    beam = _means_of(turn[~near], sine[~near])
    direction = 1 if beam[-1] > beam[0] else -1
    least = _LEAST_SPACING * abs(beam[-1] - beam[0]) / len(beam)
    # Before the cut, a point belongs to the beam of the turn before.
    near &= (turn > 0) & (turn < len(beam))
    if not least or not near.any():
        return None
    spacing = np.maximum(np.diff(beam) * direction, least) * direction
    turn, phase, sine = turn[near] - 1, phase[near], sine[near]
    is_break = False
    steps = _steps_over_cells(turn, phase, sine, spacing)
    is_step = (steps > _SMALLEST_STEP) & (steps < _LARGEST_STEP)
    cell = _most_frequent(is_step, steps, _MIN_CERTAIN if certain else _MIN_AGREEING)
    if cell is None and not certain:
        # The two ends of a turn were measured a tenth of a second apart. On a driving vehicle this can
        # outweigh the step to the next beam, but makes a step of its own.
        cell, is_break = _most_frequent(np.abs(steps) > _SMALLEST_BREAK, steps, _MIN_BREAKING), True
    if cell is None:
        return None
    near = (phase >= (cell - 1) * _FINE) & (phase < (cell + 2) * _FINE)
    place = _place_of_cut(turn[near], phase[near], sine[near], spacing, is_break=is_break)
    return start + (cell * _FINE + _FINE // 2 if place is None else place)


def _steps_over_cells(turn: LongArray, phase: LongArray, sine: IntArray, spacing: DoubleArray) -> DoubleArray:
    """Return the step of elevation over each inner cell [turns, cells - 2] in spacings; NaN where unknown."""
    cell = phase // _FINE
    shape = (len(spacing), int(cell.max()) + 1)
    place = turn * shape[1] + cell
    members = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(place, weights=sine, minlength=shape[0] * shape[1]).reshape(shape)
    mean = sums / np.maximum(members, 1)
    column = np.arange(shape[1])
    seen = members > 0
    before = np.maximum.accumulate(np.where(seen, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(seen, column, shape[1])[:, ::-1], axis=1)[:, ::-1]
    # The cut lies anywhere inside its cell, whose mean is therefore that of two beams: skip it.
    low, high = before[:, :-2], after[:, 2:]
    is_known = (low >= 0) & (high < shape[1])
    rows = np.arange(shape[0])[:, None]
    step = (mean[rows, np.minimum(high, shape[1] - 1)] - mean[rows, low]) / spacing[:, None]
    step[~is_known] = np.nan
    return step


def _most_frequent(is_step: npt.NDArray[np.bool_], steps: DoubleArray, share: float) -> Optional[int]:
    """Return the cell in which the most turns make a step; None if it is less than a share of them."""
    if not steps.shape[1]:
        return None
    votes, turns = np.count_nonzero(is_step, axis=0), np.count_nonzero(np.isfinite(steps), axis=0)
    best = int(np.argmax(votes))
    return best + 1 if votes[best] >= share * max(int(turns.max()), MIN_RINGS - 1) else None


def _place_of_cut(
    turn: LongArray, phase: LongArray, sine: IntArray, spacing: DoubleArray, *, is_break: bool
) -> Optional[int]:
    """Return the phase of the cut, which lies within the most of the steps that turns make near it."""
    pair = np.flatnonzero((turn[1:] == turn[:-1]) & (phase[1:] > phase[:-1]))
    if not len(pair):
        return None
    of = turn[pair]
    step = (sine[pair + 1] - sine[pair]) / spacing[of]
    if is_break:
        step = np.abs(step)
    # Sorted by turn and then by size of step; the last of each turn is its largest.
    order = np.lexsort((pair, step, of))
    best = pair[order[np.append(of[order][1:] != of[order][:-1], True)]]
    return _most_covered(phase[best], phase[best + 1])


def _most_covered(starts: LongArray, ends: LongArray) -> int:
    """Return the middle of the places that lie within the most of the intervals (start, end]."""
    places = np.concatenate((starts + 1, ends + 1))
    change = np.concatenate((np.ones(len(starts), np.int64), -np.ones(len(ends), np.int64)))
    order = np.lexsort((change, places))
    places = places[order]
    best = int(np.argmax(np.cumsum(change[order])))
    return int(places[best] + places[best + 1]) // 2


def _means_of(turn: LongArray, sine: IntArray) -> DoubleArray:
    """Return the mean sine of each turn from 0 to the last; that of the turn before where there is none."""
    members = np.bincount(turn)
    sums = np.bincount(turn, weights=sine)
    latest = np.maximum.accumulate(np.where(members > 0, np.arange(len(members)), 0))
    latest[latest == 0] = np.flatnonzero(members)[0]
    return np.asarray(sums[latest] / members[latest])


def _unseen_sector(run: LongArray, last: int) -> Optional[Tuple[int, int]]:
    """Return the first cell that a partial turn leaves out, and the one after; None for whole turns."""
    begin, size = _widest_gap(run)
    # A file begins and ends at a cut; elsewhere, something hides this sector from all beams.
    is_cut = size >= _FEWEST_UNSEEN and begin + size >= last
    return (begin, begin + size) if is_cut else None


def _widest_gap(azimuth: npt.NDArray[np.signedinteger[Any]]) -> Tuple[int, int]:
    """Return the first of the most cells in a row that hold hardly any azimuth [N], and their number."""
    members = np.bincount((azimuth >> 15) & (_CELLS - 1), minlength=_CELLS)
    seen = np.flatnonzero(members >= _LEAST_SHARE_OF_CELL * len(azimuth) / _CELLS)
    size = np.diff(np.append(seen, seen[0] + _CELLS)) - 1
    widest = int(np.argmax(size))
    return int(seen[widest]) + 1, int(size[widest])


def _top_first(ring: IntArray, sine: IntArray) -> Optional[IntArray]:
    num_rings = int(ring.max()) + 1
    if not MIN_RINGS <= num_rings <= MAX_RINGS:
        return None
    change = np.diff(np.bincount(ring, weights=sine) / np.bincount(ring))
    falling, rising = np.count_nonzero(change < 0), np.count_nonzero(change > 0)
    if max(falling, rising) < _MIN_ORDERED_SHARE * (num_rings - 1):
        return None
    return ring if falling >= rising else np.int32(num_rings - 1) - ring
