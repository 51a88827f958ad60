"""Cones on which the beams of a sensor lie: where its axis points, where they meet, whether rings are beams.

Each beam of a rotating sensor turns on a cone about the axis of the sensor, whichever way that axis points
in the coordinates of a file. So for the right axis and apex, the sine of the elevation is the same for all
points of a ring. Axis and apex are fitted together: a tilted cloud looks like one that was moved, and the
other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, FloatArray, IntArray
from hwnas.data.geometry.sampling import sample
from hwnas.range_view.angles import range_of

_NEAREST_M, _FARTHEST_M = 3.0, 80.0
_MOST_POINTS, _FEWEST_POINTS, _FEWEST_RINGS = 16_384, 1_000, 4
_STEPS, _SETTLED = 16, 1e-5
_STEEPEST_DEG, _FARTHEST_APEX_M = 40.0, 8.0
_SECTORS, _NEAR_SHARE = 24, 0.1
# Right rings explain all but a few thousandths of how elevations vary; of rings a fifth wrong, half.
_CLEAR_AGREEMENT, _CLEAR_SPREAD_DEG = 0.9, 0.3
_LEAST_AGREEMENT = 0.75


@dataclass(frozen=True)
class BeamCones:
    """What the rings of a cloud say about its sensor.

    Attributes:
        axis: unit vector [3] that its beams turn about, upwards, in the frame of the cloud.
        apex_m: where they meet.
        spread_deg: how far points lie beside the cone of their ring, usually.
        agreement: share of the variance of elevations that rings explain, about 0 for arbitrary rings, 1 for
            right ones.
        is_found: whether an axis and an apex were found, which rings that are no beams do not have.
    """

    axis: tuple[float, float, float]
    apex_m: tuple[float, float, float]
    spread_deg: float
    agreement: float
    is_found: bool

    @property
    def tilt_deg(self) -> float:
        """Angle between the axis and z."""
        return float(np.degrees(np.arctan2(np.hypot(self.axis[0], self.axis[1]), self.axis[2])))

    @property
    def is_clear(self) -> bool:
        """Whether points lie so near to the cones that the axis is known."""
        return self.is_found and self.agreement > _CLEAR_AGREEMENT and self.spread_deg < _CLEAR_SPREAD_DEG

    @property
    def contradict_rings(self) -> bool:
        """Whether rings say little about the elevations of their points, wherever the sensor stands."""
        return self.agreement < _LEAST_AGREEMENT


def cones_of(points: FloatArray, ring: IntArray) -> BeamCones | None:
    """Fit the cones of rings; None where too few points or rings are known.

    Args:
        points: [N, 3], metres, z up to within some tens of degrees, the sensor within a few metres.
        ring: [N] in any numbering; -1 where unknown.
    """
    range_m = range_of(points)
    usable = np.flatnonzero((range_m > _NEAREST_M) & (range_m < _FARTHEST_M) & (ring >= 0))
    if len(usable) < _FEWEST_POINTS:
        return None
    usable = usable[sample(len(usable), _MOST_POINTS)]
    places: DoubleArray = points[usable].astype(np.float64)
    names, number = np.unique(ring[usable], return_inverse=True)
    as_read = agreement_of(places, number)
    if len(names) < _FEWEST_RINGS:
        return BeamCones((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), np.inf, as_read, is_found=False)
    axis, apex, spread = _fitted(places, number, len(names))
    is_steep = axis[2] < np.cos(np.radians(_STEEPEST_DEG))
    if is_steep or not np.isfinite(apex).all() or float(np.linalg.norm(apex)) > _FARTHEST_APEX_M:
        return BeamCones((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), np.inf, as_read, is_found=False)
    fitted = agreement_of(upright_about(places - apex, axis), number)
    return BeamCones(
        (float(axis[0]), float(axis[1]), float(axis[2])),
        (float(apex[0]), float(apex[1]), float(apex[2])),
        float(np.degrees(spread)),
        max(as_read, fitted),
        is_found=True,
    )


def upright_about(points: npt.NDArray[np.floating], axis: npt.ArrayLike) -> DoubleArray:
    """Return points [N, 3] turned the shortest way that brings a unit vector to z."""
    return np.asarray(points @ turn_to_z(axis).T, np.float64)


def turn_to_z(axis: npt.ArrayLike) -> DoubleArray:
    """Return the rotation [3, 3] that brings a unit vector, which does not point down, to z (Rodrigues)."""
    x, y, z = np.asarray(axis, np.float64)
    return np.array(
        [
            [1.0 - x * x / (1.0 + z), -x * y / (1.0 + z), -x],
            [-x * y / (1.0 + z), 1.0 - y * y / (1.0 + z), -y],
            [x, y, z],
        ]
    )


def agreement_of(points: npt.NDArray[np.floating], ring: npt.NDArray[np.integer]) -> float:
    """Return the share of the variance of elevations within sectors that rings explain.

    Args:
        points: [N, 3] around the sensor, z up.
        ring: [N], all known.

    Returns:
        At most 1; about 0 for rings that have nothing to do with elevations, however many these are.
    """
    range_m = np.linalg.norm(points, axis=1)
    far = range_m > _NEAR_SHARE * np.median(range_m)
    elevation = np.arcsin(np.clip(points[far, 2] / range_m[far], -1.0, 1.0))
    turn = np.arctan2(points[far, 1], points[far, 0]) / (2 * np.pi) + 0.5
    sector = (turn * _SECTORS).astype(np.int64) % _SECTORS
    total, num_sectors = _scatter(elevation, sector)
    _, number = np.unique(ring[far], return_inverse=True)
    within, num_cells = _scatter(elevation, sector * (number.max() + 1) + number)
    freedom = len(elevation) - num_cells
    if freedom < _FEWEST_POINTS // 2 or total <= 0.0:
        return 0.0  # a ring for each few points
    return float(1.0 - (within / freedom) / (total / (len(elevation) - num_sectors)))


def _scatter(values: DoubleArray, group: npt.NDArray[np.int64]) -> tuple[float, int]:
    """Return the sum of squared distances from the means of groups, and the number of these."""
    _, number, count = np.unique(group, return_inverse=True, return_counts=True)
    means = np.bincount(number, values) / count
    return float(np.sum((values - means[number]) ** 2)), len(count)


def _fitted(
    places: DoubleArray, ring: npt.NDArray[np.intp], count: int
) -> tuple[DoubleArray, DoubleArray, float]:
    """Return axis, apex and usual distance of sines of elevation from those of their rings.

    Gauss-Newton over the two slopes of the axis and the apex; weights fall with the square of the distance
    beyond what is usual (Geman & McClure), since what is near scatters and some rings are wrong.
    """
    slopes, apex = np.zeros(2), np.zeros(3)
    weight = np.ones(len(places))
    axis, spread = np.array([0.0, 0.0, 1.0]), np.inf
    for _ in range(_STEPS):
        moved = places - apex
        range_m = np.maximum(np.linalg.norm(moved, axis=1), 1e-3)
        direction = moved / range_m[:, None]
        axis = np.append(slopes, 1.0) / np.sqrt(1.0 + slopes @ slopes)
        sine = direction @ axis
        apart = _without_means(sine, ring, weight, count)
        spread = 1.4826 * float(np.median(np.abs(apart))) + 1e-6
        weight = 1.0 / np.maximum(1.0, np.abs(apart) / (1.5 * spread)) ** 2
        by_slope = axis[2] * (direction[:, :2] - sine[:, None] * axis[:2])
        by_apex = (sine[:, None] * direction - axis) / range_m[:, None]
        design = np.column_stack([by_slope, by_apex])
        design = np.column_stack([_without_means(column, ring, weight, count) for column in design.T])
        apart = _without_means(sine, ring, weight, count)
        root = np.sqrt(weight)
        step = -np.linalg.lstsq(design * root[:, None], apart * root, rcond=None)[0]
        slopes, apex = slopes + step[:2], apex + step[2:]
        if not np.isfinite(step).all() or float(np.linalg.norm(apex)) > 10 * _FARTHEST_APEX_M:
            return axis, np.full(3, np.inf), np.inf
        if float(np.abs(step).max()) < _SETTLED:
            break
    return axis, apex, spread


def _without_means(
    values: DoubleArray, ring: npt.NDArray[np.intp], weight: DoubleArray, count: int
) -> DoubleArray:
    weights = np.maximum(np.bincount(ring, weight, count), 1e-9)
    return np.asarray(values - (np.bincount(ring, weight * values, count) / weights)[ring])
