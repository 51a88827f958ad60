"""Orders points of several objectives: fronts first, within a front the lonely ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.pareto import front_indices

Floats = npt.NDArray[np.float64]


def non_dominated_ranks(points: Floats, enough: int | None = None) -> npt.NDArray[np.int64]:
    """Return the number of the front that each point lies on, from 0.

    Args:
        points: [n, d], minimised.
        enough: stop when so many points are ranked; the others share the next rank.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002.
    """
    if points.ndim == 2 and points.shape[1] == 2:
        return _ranks_of_pairs(points, enough)
    ranks = np.full(len(points), -1, np.int64)
    left = np.arange(len(points))
    rank = 0
    while len(left) and (enough is None or len(points) - len(left) < enough):
        front = points[left[front_indices(points[left].tolist())]]
        # Identical points share a rank; `front_indices` keeps one of them.
        is_on_it = (points[left][:, None, :] == front[None, :, :]).all(axis=2).any(axis=1)
        ranks[left[is_on_it]] = rank
        left = left[~is_on_it]
        rank += 1
    ranks[left] = rank
    return ranks


def _ranks_of_pairs(points: Floats, enough: int | None) -> npt.NDArray[np.int64]:
    """Return the same for two objectives, each front in one sweep over the sorted points."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    ranks = np.zeros(len(points), np.int64)
    rank = 0
    while len(order) and (enough is None or len(points) - len(order) < enough):
        first, second = points[order].T
        before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
        is_on_it = second < before
        # Identical points are neighbours in the order and share a rank.
        for index in np.flatnonzero((np.diff(first) == 0) & (np.diff(second) == 0)):
            is_on_it[index + 1] = is_on_it[index]
        ranks[order[is_on_it]] = rank
        order = order[~is_on_it]
        rank += 1
    ranks[order] = rank
    return ranks


def crowding_distances(points: Floats) -> Floats:
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


def best_first(points: Floats) -> list[int]:
    """Return the positions of points by rank, then by falling crowding distance."""
    ranks = non_dominated_ranks(points)
    crowding = np.zeros(len(points))
    for rank in np.unique(ranks):
        crowding[ranks == rank] = crowding_distances(points[ranks == rank])
    return [int(index) for index in np.lexsort((-crowding, ranks))]
