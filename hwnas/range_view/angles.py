"""Directions and distances of points, the same to the last bit on every machine and in the compiled kernel.

Libraries differ in the last bits of `arctan2`, and a point at the edge of a pixel would move. Only additions,
multiplications and divisions are used here, which IEEE 754 defines exactly.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray

_COEFFICIENTS = (
    0.0028662257,
    -0.0161657367,
    0.0429096138,
    -0.0752896400,
    0.1065626393,
    -0.1420889944,
    0.1999355085,
    -0.3333314528,
    1.0,
)


def angle_of(y: FloatArray, x: FloatArray) -> FloatArray:
    """Return the angles [N] of directions in radians, -pi to pi, right to 4e-7; NaN for NaN.

    Source: Abramowitz & Stegun, "Handbook of Mathematical Functions", 1964, equation 4.4.49.
    """
    width, height = np.abs(x), np.abs(y)
    larger = np.maximum(width, height)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.minimum(width, height) / larger
    ratio[larger == 0] = 0.0
    square = ratio * ratio
    angle = np.full_like(ratio, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        angle *= square
        angle += np.float32(coefficient)
    angle *= ratio
    np.subtract(np.float32(np.pi / 2), angle, out=angle, where=height > width)
    np.subtract(np.float32(np.pi), angle, out=angle, where=x < 0)
    np.negative(angle, out=angle, where=y < 0)
    return np.asarray(angle, np.float32)


def ground_distance_of(points: FloatArray) -> FloatArray:
    """Return the distance [N] of points [N, 3] from the vertical axis, in the unit of the points."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = points[:, 0] * points[:, 0]
        squares += points[:, 1] * points[:, 1]
        return np.asarray(np.sqrt(squares), np.float32)


def range_of(points: FloatArray) -> FloatArray:
    """Return the distance [N] of points [N, 3] from the sensor, in the unit of the points.

    It is infinite where float32 cannot hold it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = points[:, 0] * points[:, 0]
        squares += points[:, 1] * points[:, 1]
        squares += points[:, 2] * points[:, 2]
        return np.asarray(np.sqrt(squares), np.float32)


def is_valid_range(range_: FloatArray) -> npt.NDArray[np.bool_]:
    """Return for ranges [N] whether points have a direction: are finite and not at the origin."""
    return np.asarray(np.isfinite(range_) & (range_ > 0))


def has_direction(points: FloatArray) -> npt.NDArray[np.bool_]:
    """Return for points [N, 3] whether they are finite and not at the origin."""
    return is_valid_range(range_of(points))
