"""How much hypervolume a candidate with uncertain objectives is expected to add to a front.

Source: Emmerich, Deutz and Klinkenberg, "Hypervolume-based expected improvement: Monotonicity properties and
exact computation", IEEE CEC 2011; Yang et al., "Efficient computation of expected hypervolume improvement
using box decomposition algorithms", J. Global Optimization 75, 2019.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from hwnas.arrays import DoubleArray

_MIN_SPREAD = 1e-9


def normal_shortfall(bound: DoubleArray, mean: DoubleArray, spread: DoubleArray) -> DoubleArray:
    """Return E[max(0, bound - Y)] of normal Y: the expected improvement on `bound`.

    Source: Jones, Schonlau and Welch, "Efficient Global Optimization", J. Global Optimization 13, 1998.
    """
    spread = np.maximum(spread, _MIN_SPREAD)
    z = (bound - mean) / spread
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return np.asarray(np.maximum(spread * (z * ndtr(z) + density), 0.0))


def lognormal_shortfall(bound: DoubleArray, log_mean: DoubleArray, log_spread: DoubleArray) -> DoubleArray:
    """Return E[max(0, bound - Y)] where log Y is normal; 0 where the bound is not positive.

    Source: Black and Scholes, "The Pricing of Options and Corporate Liabilities", J. Political Economy 81(3),
    1973: the value of a put without interest.
    """
    spread = np.maximum(log_spread, _MIN_SPREAD)
    positive = np.maximum(bound, 1e-300)
    z = (np.log(positive) - log_mean) / spread
    mean = np.exp(log_mean + 0.5 * spread**2)
    return np.asarray(np.maximum(positive * ndtr(z) - mean * ndtr(z - spread), 0.0))


def staircase(points: DoubleArray, reference: tuple[float, float]) -> tuple[DoubleArray, DoubleArray]:
    """Return the steps of a front: where each begins in the first coordinate, and its height in the second.

    The first step begins at 0 and is as high as the reference; steps end where the next begins, the last one
    at the reference.

    Args:
        points: [n, 2], minimised, positive in the first coordinate; dominated ones may be among them.
        reference: the worst corner.
    """
    begins, heights = [0.0], [reference[1]]
    for first, second in sorted((float(a), float(b)) for a, b in points):
        if first < reference[0] and second < heights[-1]:
            begins.append(first)
            heights.append(second)
    return np.array(begins), np.array(heights)


def expected_hypervolume_improvement(
    log_cost: tuple[DoubleArray, DoubleArray],
    error: tuple[DoubleArray, DoubleArray],
    front: DoubleArray,
    reference: tuple[float, float],
) -> DoubleArray:
    """Return the expected gain in hypervolume of each of n candidates, [n].

    Over the step [a, b) of the front with height h, a candidate (c, e) adds the area
    (max(0, b - c) - max(0, a - c)) * max(0, h - e). Cost and error are independent, so that the expectation
    of the product is the product of expectations, and both have closed forms.

    Args:
        log_cost: mean and standard deviation of the logarithm of the cost, each [n].
        error: mean and standard deviation, each [n].
        front: (cost, error) of what is known, [m, 2].
        reference: the worst (cost, error).
    """
    begins, heights = staircase(front, reference)
    bounds = np.append(begins, reference[0])
    mean, spread = log_cost[0][:, None], log_cost[1][:, None]
    below = lognormal_shortfall(bounds[None, :], mean, spread)
    widths = np.maximum(np.diff(below, axis=1), 0.0)
    gains = normal_shortfall(heights[None, :], error[0][:, None], error[1][:, None])
    return np.asarray((widths * gains).sum(axis=1))
