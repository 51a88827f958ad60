"""Pareto fronts, non-dominated sorting and hypervolume of points whose coordinates are all minimised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, LongArray

Member = TypeVar("Member")


def _checked(points: Sequence[Sequence[float]], dimensions: int | None = None) -> np.ndarray:
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0:
        return values.reshape(0, dimensions or 2)
    if values.ndim != 2 or (dimensions is not None and values.shape[1] != dimensions):
        raise ValueError(f"Points must form an [N, {dimensions or 'D'}] table, but got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(
            "Points must be finite; leave failed candidates out instead of telling NaN or infinity."
        )
    return values


def fronts(points: DoubleArray, *, share_ties: bool = False) -> Iterator[LongArray]:
    """Yield the positions of the points on each front: the best, that of all others, and so on.

    A point dominates another when it is nowhere worse and somewhere better. Positions of a front are in
    lexicographic order of their points.

    Args:
        points: [n, d], every coordinate minimised.
        share_ties: whether identical points share a front; otherwise each one after the first is dominated.

    Raises:
        ValueError: if a coordinate is not a number or the shape is wrong.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002.
    """
    values = np.asarray(points, np.float64)
    if values.ndim != 2 or np.isnan(values).any():
        raise ValueError(f"Points must be numbers in an [N, D] table, but got shape {values.shape}.")
    order = np.lexsort(values.T[::-1])
    while len(order):
        ordered = values[order]
        is_on_front = _is_on_front(ordered)
        if share_ties:
            # Identical points are neighbours in the order.
            group = np.cumsum(np.concatenate([[0], (ordered[1:] != ordered[:-1]).any(axis=1)]))
            is_on_front = np.isin(group, group[is_on_front])
        yield order[is_on_front]
        order = order[~is_on_front]


def _is_on_front(ordered: DoubleArray) -> npt.NDArray[np.bool_]:
    """Return which of some points are on their front, given in lexicographic order; of equal ones the first.

    A later point never dominates an earlier one, so that the first of those left is always on it.
    """
    if ordered.shape[1] == 2:
        second = ordered[:, 1]
        least_before = np.minimum.accumulate(np.concatenate([[np.inf], second[:-1]]))
        found = np.asarray(second < least_before)
        found[0] = True  # even where it is infinite
        return found
    found = np.zeros(len(ordered), bool)
    left = np.arange(len(ordered))
    while len(left):
        found[left[0]] = True
        left = left[1:][~(ordered[left[0]] <= ordered[left[1:]]).all(axis=1)]
    return found


def front_indices(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other point dominates, by first coordinate.

    Of identical points only the first is kept.

    Args:
        points: [N, D], finite, every coordinate minimised.

    Raises:
        ValueError: if a coordinate is not finite or the shape is wrong.
    """
    front = next(fronts(_checked(points)), np.zeros(0, np.int64))
    return [int(index) for index in front]


def first_fronts(points: DoubleArray, enough: int) -> LongArray:
    """Return the positions on the first fronts that hold `enough` points together; whole fronts only."""
    found: list[LongArray] = []
    count = 0
    for front in fronts(points):
        if count >= enough:
            break
        found.append(front)
        count += len(front)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def non_dominated_ranks(points: DoubleArray, enough: int | None = None) -> LongArray:
    """Return the number of the front that each point lies on, from 0; identical points share it.

    Args:
        points: [n, d], minimised.
        enough: stop when this many points are ranked; the others share the next rank.
    """
    ranks = np.zeros(len(points), np.int64)
    is_left = np.ones(len(points), bool)
    rank = 0
    for front in fronts(points, share_ties=True):
        if enough is not None and np.count_nonzero(~is_left) >= enough:
            break
        ranks[front] = rank
        is_left[front] = False
        rank += 1
    ranks[is_left] = rank
    return ranks


def crowding_distances(points: DoubleArray) -> DoubleArray:
    """Return how far the neighbours of each point of one front lie apart; infinite at its ends, [n].

    Source: Deb et al., 2002, as above.
    """
    distances = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        span = max(float(ordered[-1] - ordered[0]), 1e-12)
        distances[order[[0, -1]]] = np.inf
        distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distances


def best_first(points: DoubleArray) -> list[int]:
    """Return the positions of points by rank, then by falling crowding distance."""
    ranks = non_dominated_ranks(points)
    crowding = np.zeros(len(points))
    for rank in np.unique(ranks):
        crowding[ranks == rank] = crowding_distances(points[ranks == rank])
    return [int(index) for index in np.lexsort((-crowding, ranks))]


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Return the area dominated by two-dimensional `points` and bounded by `reference`.

    Args:
        points: [N, 2], finite, both coordinates minimised.
        reference: the worst corner; points not strictly better in both coordinates add nothing.

    Raises:
        ValueError: if a coordinate is not finite or a shape is wrong.

    Source: Zitzler and Thiele, "Multiobjective Evolutionary Algorithms", IEEE TEC 3(4), 1999.
    """
    values = _checked(points, 2)
    corner = _checked([reference], 2)[0]
    values = values[(values < corner).all(axis=1)]
    area, ceiling = 0.0, corner[1]
    for index in front_indices(values.tolist()):
        first, second = values[index]
        area += (corner[0] - first) * (ceiling - second)
        ceiling = second
    return float(area)


def knee_index(points: Sequence[tuple[float, float]]) -> int:
    """Return the point of a front that lies farthest below the line between its ends.

    Both coordinates are scaled to 0..1 over the front first. Of two points or fewer it is the
    first one, which has the smaller first coordinate.

    Raises:
        ValueError: if there is no point.

    Source: Branke et al., "Finding Knees in Multi-objective Optimization", PPSN VIII, 2004.
    """
    if not points:
        raise ValueError("A knee needs at least one point.")
    first, last = min(points), max(points)
    spans = (last[0] - first[0]) or 1.0, (first[1] - last[1]) or 1.0
    sums = [(x - first[0]) / spans[0] + (y - last[1]) / spans[1] for x, y in points]
    return min(range(len(points)), key=lambda index: (sums[index], points[index]))


def knee_of(members: Sequence[Member], point: Callable[[Member], tuple[float, float]]) -> Member:
    """Return the knee of the members of a front, see `knee_index`; `point` gives error and cost of one."""
    return members[knee_index([point(member) for member in members])]
