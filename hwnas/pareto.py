"""Pareto fronts and hypervolume of points whose coordinates are all minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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


def front_indices(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the points that no other point dominates, by first coordinate.

    A point dominates another when it is nowhere worse and somewhere better. Of identical
    points only the first is kept.

    Args:
        points: [N, D], finite, every coordinate minimised.

    Raises:
        ValueError: if a coordinate is not finite or the shape is wrong.
    """
    values = _checked(points)
    kept: list[int] = []
    for index in np.lexsort(values.T[::-1]):
        # In lexicographic order a later point can never dominate an earlier one.
        if not any((values[other] <= values[index]).all() for other in kept):
            kept.append(int(index))
    return kept


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
