"""How much better one set of networks is than another: less error at equal cost, less cost at equal error.

Each set is read as the step function of its Pareto front: the least error among its networks that cost at
most so much, and the least cost among those with at most so much error. Ratios of two such functions are
averaged as logarithms, so that exchanging the sets inverts them, over the logarithms of all costs, or errors,
from the first that both sets reach to the last that changes anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.pareto import front_indices

Point = tuple[float, float]
"""Cost, such as latency in ms, and error, both above 0."""


@dataclass(frozen=True)
class Reduction:
    """How much less of one quantity the networks need, averaged over the other one.

    Attributes:
        share: 0.1 means a tenth less than the reference; negative means more.
        lower: first value of the other quantity that both sets reach.
        upper: last one at which a network of either set lies.
        coverage: share of the reference's own range above `lower`, 0 to 1: what lies below is not compared,
            since the networks do not reach it.
    """

    share: float
    lower: float
    upper: float
    coverage: float


def error_reduction(networks: Sequence[Point], reference: Sequence[Point]) -> Reduction:
    """Return how much less error networks make at equal cost.

    Args:
        networks: cost and error of each.
        reference: likewise, of those that they are compared with.

    Raises:
        ValueError: if a set is empty, or a number is not positive and finite.
    """
    return _reduction(_front(networks), _front(reference))


def cost_reduction(networks: Sequence[Point], reference: Sequence[Point]) -> Reduction:
    """Return how much less networks cost at equal error.

    Args and errors: as `error_reduction`.
    """
    ours, theirs = (_front([(error, cost) for cost, error in points]) for points in (networks, reference))
    return _reduction(ours, theirs)


def _front(points: Sequence[Point]) -> DoubleArray:
    """Return the front [N, 2] by ascending first coordinate."""
    values = np.asarray(points, np.float64).reshape(-1, 2)
    if not len(values) or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"Expected networks with a positive, finite cost and error, but got {list(points)}.")
    return values[front_indices(values.tolist())]


def _reduction(front: DoubleArray, reference: DoubleArray) -> Reduction:
    """Compare two fronts as functions of their first coordinate.

    A front reaches every value from its first on: with more to spend, its last network is still there. Past
    the last network of both, nothing changes any more.
    """
    own, theirs = np.log(front[:, 0]), np.log(reference[:, 0])
    lower, upper = max(own[0], theirs[0]), max(own[-1], theirs[-1])
    edges = np.unique(np.concatenate([own, theirs, [lower]]))
    edges = edges[edges >= lower]
    ratios = np.log(_least(front, own, edges)) - np.log(_least(reference, theirs, edges))
    widths = np.diff(edges)
    # Where the last network of one is the first of the other, they share one value only.
    mean = float(np.average(ratios[:-1], weights=widths)) if len(widths) else float(ratios[0])
    reach = theirs[-1] - theirs[0]
    coverage = (theirs[-1] - lower) / reach if reach > 0 else lower <= theirs[-1]
    return Reduction(1.0 - math.exp(mean), math.exp(lower), math.exp(upper), max(0.0, float(coverage)))


def _least(front: DoubleArray, starts: DoubleArray, values: DoubleArray) -> DoubleArray:
    """Return the second coordinate of a front at values of the (logarithm of the) first one."""
    return np.asarray(front[np.searchsorted(starts, values, side="right") - 1, 1])
