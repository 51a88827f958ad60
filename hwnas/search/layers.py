"""A choice among many points with two coordinates that is good and diverse: by front layers.

Source: picking what lies farthest from all picked: Gonzalez, "Clustering to minimize the maximum intercluster
distance", Theoretical Computer Science 38, 1985.
"""

from __future__ import annotations

import numpy as np

from hwnas.arrays import DoubleArray, LongArray
from hwnas.pareto import fronts

_LIKE = 2
"""Networks that differ in fewer genes are twins: only one of them is picked while there is another."""


def picked(points: DoubleArray, genes: LongArray, number: int) -> LongArray:
    """Pick by layers, and from a layer first what is least like everything picked before.

    Twins of picked networks are passed over; they fill up at the end where there are too few others.

    Args:
        points: (error, cost), both minimised, [n, 2].
        genes: positions of values, [n, g].
        number: to be picked; all if there are fewer.

    Returns:
        Positions in the order of picking.
    """
    chosen: list[int] = []
    twins: list[int] = []
    if not len(points):
        return np.zeros(0, np.int64)
    nearest, fewest = np.full(len(points), np.inf), np.full(len(points), np.inf)
    places = _places(points)
    for layer in fronts(points):
        left = list(layer)
        while left and len(chosen) < number:
            best = max(left, key=lambda index: nearest[index])
            left.remove(best)
            if fewest[best] < _LIKE:
                twins.append(int(best))
                continue
            chosen.append(int(best))
            differing = (genes != genes[best]).sum(axis=1)
            distances = differing / genes.shape[1] + np.abs(places - places[best]).sum(axis=1)
            nearest, fewest = np.minimum(nearest, distances), np.minimum(fewest, differing)
        if len(chosen) >= number:
            break
    return np.array((chosen + twins)[:number], np.int64)


def best_by_layers(points: DoubleArray, number: int) -> list[int]:
    """Return the positions of the best points: whole layers, and of the last one those farthest apart.

    Args:
        points: (error, cost), both minimised, [n, 2].
        number: how many are wanted; all if there are fewer.

    Source: Schmucker et al., "Multi-objective Asynchronous Successive Halving", arXiv 2106.12639, 2021, whose
    net within a layer this is; here points on better layers count as well.
    """
    chosen: list[int] = []
    if not len(points):
        return chosen
    for layer in fronts(points):
        left = number - len(chosen)
        if left < len(layer):
            places = _places(points)
            return chosen + [int(layer[one]) for one in _farthest(places[layer], places[chosen], left)]
        chosen += layer.tolist()
    return chosen


def _farthest(places: DoubleArray, taken: DoubleArray, number: int) -> list[int]:
    """Return positions of places, each farthest from those before it and from what is taken.

    Where nothing is taken, the first is the one whose coordinates are least together.
    """
    nearest = np.full(len(places), np.inf)
    if len(taken):
        nearest = np.abs(places[:, None] - taken).sum(axis=2).min(axis=1)
    chosen: list[int] = []
    for _ in range(number):
        best = int(np.lexsort((places.sum(axis=1), -nearest))[0])
        chosen.append(best)
        nearest = np.minimum(nearest, np.abs(places - places[best]).sum(axis=1))
        nearest[best] = -np.inf
    return chosen


def _places(points: DoubleArray) -> DoubleArray:
    """Return points scaled to the box that holds them; the cost by its logarithm where all are positive."""
    scaled = points.copy()
    if (scaled[:, 1] > 0).all():
        scaled[:, 1] = np.log(scaled[:, 1])
    span = np.maximum(scaled.max(axis=0) - scaled.min(axis=0), 1e-12)
    return np.asarray((scaled - scaled.min(axis=0)) / span)
