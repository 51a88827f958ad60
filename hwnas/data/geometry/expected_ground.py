"""Whether a cloud shows the ground where it is expected: a surer question than where the ground is.

In a street between walls, or behind a wall close by, more points lie on some steep plane than on the ground.
What tells the ground apart is where it must lie, and that nothing lies beneath it.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from hwnas.arrays import DoubleArray, FloatArray
from hwnas.data.geometry.sampling import sample

# Of the height of the sensor: how much lower and higher the ground may lie, how far away it is looked for.
_LOWER, _HIGHER, _NEAREST, _REACH = 0.8, 1.25, 0.8, 12.0
_STEEPEST = float(np.tan(np.radians(8.5)))
_TOLERANCE, _ROUGHNESS = 0.06, 0.01
_SAMPLES, _HYPOTHESES, _LEVEL_PLANES = 1024, 120, 9
# A plane at another height is taken for the ground only if clearly more points speak for it.
_PREFERENCE = 0.7
_FEWEST_POINTS = 40
# Of the points near the sensor: at least this share lies on the ground, and of these, at most this beneath.
_LEAST_SUPPORT, _MOST_BENEATH = 0.05, 0.25
# Of the eighths of a turn: the ground is seen in several, a lane beside a wall in few.
_OCTANTS, _FEWEST_OCTANTS, _FEWEST_IN_OCTANT = 8, 2, 5


def support_of_ground(
    points: FloatArray, height_m: Tuple[float, float], least_turn: float = 0.25
) -> Optional[float]:
    """Return the share of the points near the sensor that lie on a ground of the expected height.

    Args:
        points: [N, 3], z up.
        height_m: least and most height of the origin above the ground, in the unit of the points.
        least_turn: of the turn that the points cover, the share in which the ground must be seen, 0..1.

    Returns:
        0..1; None where there is no such ground: too few points lie on any nearly level plane at that height,
        or too many beneath it.
    """
    low, high = _LOWER * height_m[0], _HIGHER * height_m[1]
    distance = np.hypot(points[:, 0], points[:, 1])
    around = points[(distance > _NEAREST * height_m[0]) & (distance < _REACH * height_m[1])]
    near: DoubleArray = around[sample(len(around), _SAMPLES)].astype(np.float64)
    if len(near) < _FEWEST_POINTS:
        return None
    planes = _hypotheses(near, low, high)
    tolerance = _TOLERANCE * height_m[1] + _ROUGHNESS * np.hypot(near[:, 0], near[:, 1])
    above = near[:, 2] - planes[:, :2] @ near[:, :2].T - planes[:, 2:]
    on, beneath = np.abs(above) < tolerance, np.count_nonzero(above < -2 * tolerance, axis=1)
    scores = np.count_nonzero(on, axis=1) - beneath
    scores = np.where((planes[:, 2] < -low) & (planes[:, 2] > -high), scores / _PREFERENCE, scores)
    best = int(scores.argmax())
    if not low < -planes[best, 2] < high:
        return None  # the ground lies elsewhere
    num_on = int(np.count_nonzero(on[best]))
    if num_on < max(_FEWEST_POINTS, _LEAST_SUPPORT * len(near)) or beneath[best] > _MOST_BENEATH * num_on:
        return None
    seen, all_around = (_octants(some) for some in (near[on[best]], near))
    return num_on / len(near) if seen >= max(_FEWEST_OCTANTS, least_turn * all_around) else None


def _hypotheses(near: DoubleArray, low: float, high: float) -> DoubleArray:
    """Return nearly level planes z = a x + b y + c as [P, 3] of (a, b, c), most of them where expected."""
    reach = _STEEPEST * np.hypot(near[:, 0], near[:, 1])
    expected = near[(near[:, 2] > -high - reach) & (near[:, 2] < -low + reach)]
    lowest = near[near[:, 2] <= np.partition(near[:, 2], len(near) // 3)[len(near) // 3]]
    level = np.zeros((_LEVEL_PLANES, 3))
    level[:, 2] = -np.linspace(low, high, _LEVEL_PLANES + 2)[1:-1]
    return np.concatenate([_planes_through(expected), _planes_through(lowest), level])


def _planes_through(points: DoubleArray) -> DoubleArray:
    """Return nearly level planes through three points each."""
    if len(points) < _FEWEST_POINTS:
        return np.zeros((0, 3))
    corner = points[np.random.default_rng(len(points)).integers(len(points), size=(_HYPOTHESES, 3))]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    is_level = np.hypot(normal[:, 0], normal[:, 1]) < _STEEPEST * np.abs(normal[:, 2])
    normal, corner = normal[is_level], corner[is_level, 0]
    slopes = -normal[:, :2] / normal[:, 2:]
    return np.column_stack([slopes, corner[:, 2] - np.einsum("ij,ij->i", slopes, corner[:, :2])])


def _octants(points: DoubleArray) -> int:
    """Return in how many eighths of a turn points lie."""
    octant = ((np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) + 0.5) * _OCTANTS).astype(np.int64)
    members = np.bincount(octant % _OCTANTS, minlength=_OCTANTS)
    return int(np.count_nonzero(members >= _FEWEST_IN_OCTANT))
