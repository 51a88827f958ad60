"""The plane of the ground near a sensor: how high the sensor is above it, and how it is tilted.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.data.geometry.sampling import sample
from hwnas.range_view.angles import range_of

_GROUND_SAMPLES = 1024
_HYPOTHESES = 150
_FEWEST_GROUND_POINTS = 30
_STEEPEST_DEG = 50.0
_NEAR_SHARE = 0.6
_LEAST_SUPPORT = 0.12
_BEYOND_WEIGHT = 0.5


@dataclass(frozen=True)
class Ground:
    """The plane under (or, in a cloud that is upside down, over) the sensor.

    Attributes:
        height: of the origin above the plane, in the unit of the points; negative if the plane is overhead.
        roll_deg: of the cloud against the plane, about x; positive if the left side is up.
        pitch_deg: about y; positive if the front is up.
        support: share of the near points that lie on the plane, 0..1.
    """

    height: float
    roll_deg: float
    pitch_deg: float
    support: float

    @property
    def tilt_deg(self) -> float:
        """Angle between the vertical axis and the normal of the plane, 0..90."""
        roll, pitch = np.tan(np.radians([self.roll_deg, self.pitch_deg]))
        return float(np.degrees(np.arctan(np.hypot(roll, pitch))))

    def above(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """Return how high points [N, 3] lie above the plane along z [N], in the unit of the points."""
        roll, pitch = np.tan(np.radians([self.roll_deg, self.pitch_deg]))
        rise = points[:, 2] + pitch * points[:, 0] + roll * points[:, 1]
        return np.asarray(rise + self.height * np.sqrt(1 + roll * roll + pitch * pitch), np.float64)

    def levelled(self, points: FloatArray) -> FloatArray:
        """Return points [N, 3] turned about the origin so that the plane is level."""
        slopes = -np.tan(np.radians([self.pitch_deg, self.roll_deg]))  # of the plane along x and y
        up = np.array([-slopes[0], -slopes[1], 1.0]) / np.sqrt(1.0 + slopes @ slopes)
        # The shortest turn that brings `up` to z (Rodrigues); `up` never points down.
        x, y, z = up
        turn = np.array(
            [
                [1.0 - x * x / (1.0 + z), -x * y / (1.0 + z), -x],
                [-x * y / (1.0 + z), 1.0 - y * y / (1.0 + z), -y],
                [x, y, z],
            ]
        )
        return np.asarray(points @ turn.T.astype(np.float32), np.float32)


def ground_of(points: FloatArray) -> Optional[Ground]:
    """Return the plane near the sensor that most points lie on and that tilts by less than 50 degrees.

    Random sample consensus (Fischler & Bolles, Communications of the ACM 24, 1981) with the same random
    numbers every time, then least squares over the points of the best plane. Tolerances scale with the
    cloud, so its unit does not matter.

    Args:
        points: [N, 3], z up to within 50 degrees.
    """
    range_ = range_of(points)
    if len(points) < _FEWEST_GROUND_POINTS:
        return None
    bound = np.partition(range_, int(_NEAR_SHARE * (len(range_) - 1)))[int(_NEAR_SHARE * (len(range_) - 1))]
    near = points[range_ <= bound]
    near = near[sample(len(near), _GROUND_SAMPLES)].astype(np.float64)
    if not np.isfinite(bound) or bound <= 0:
        return None
    near /= float(bound)  # about 1 whatever the unit
    planes = _hypotheses(near)
    if not len(planes):
        return None
    scores = _scores(near, planes)
    best = planes[int(scores.argmax())]
    for _ in range(3):
        on = np.abs(_above(near, best[None])[0]) < _tolerance(best[None])[0]
        fitted = _least_squares(near[on])
        if fitted is None:
            break
        best = fitted
    return _as_ground(near, best, float(bound))


def _hypotheses(near: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return planes z = a x + b y + c as [P, 3] of (a, b, c), through three points each."""
    rng = np.random.default_rng(len(near))
    # Most from the lower third, where the ground nearly always is; a few for clouds that are upside down.
    low = near[near[:, 2] <= np.partition(near[:, 2], len(near) // 3)[len(near) // 3]]
    corner = np.concatenate(
        [
            low[rng.integers(len(low), size=(_HYPOTHESES * 2 // 3, 3))],
            near[rng.integers(len(near), size=(_HYPOTHESES // 3, 3))],
        ]
    )
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    normal = np.cross(first, second)
    length = np.linalg.norm(normal, axis=1)
    is_flat = (np.abs(normal[:, 2]) > np.cos(np.radians(_STEEPEST_DEG)) * length) & (length > 1e-4)
    normal, corner = normal[is_flat], corner[is_flat, 0]
    slopes = -normal[:, :2] / normal[:, 2:]
    return np.column_stack([slopes, corner[:, 2] - np.einsum("ij,ij->i", slopes, corner[:, :2])])


def _above(near: npt.NDArray[np.float64], planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the height [P, M] of points above planes, along z."""
    return np.asarray(near[:, 2] - planes[:, :2] @ near[:, :2].T - planes[:, 2:])


def _tolerance(planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Roads are rougher than sensors are imprecise: some per cent of the sensor's height above them.
    return np.asarray(np.clip(0.06 * np.abs(planes[:, 2]), 0.004, 0.02))


def _scores(near: npt.NDArray[np.float64], planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    tolerance = _tolerance(planes)[:, None]
    # One matrix product: heights above the planes in tolerances.
    factors = np.column_stack([-planes[:, :2], np.ones(len(planes)), -planes[:, 2]]) / tolerance
    above = factors.astype(np.float32) @ np.column_stack([near, np.ones(len(near))]).astype(np.float32).T
    # The ground bounds what is seen: nearly all that is not on it lies on one side.
    beyond = np.minimum(np.count_nonzero(above > 2, axis=1), np.count_nonzero(above < -2, axis=1))
    above *= above
    np.subtract(1, above, out=above)
    on = np.maximum(above, 0, out=above).sum(axis=1) - _BEYOND_WEIGHT * beyond
    steepness = np.hypot(planes[:, 0], planes[:, 1])
    return np.asarray(on / (1.0 + steepness), np.float64)  # of equally good ones, the more level


def _least_squares(points: npt.NDArray[np.float64]) -> Optional[npt.NDArray[np.float64]]:
    if len(points) < _FEWEST_GROUND_POINTS // 3:
        return None
    design = np.column_stack([points[:, :2], np.ones(len(points))])
    plane, _, rank, _ = np.linalg.lstsq(design, points[:, 2], rcond=None)
    return np.asarray(plane) if rank == 3 else None


def _as_ground(
    near: npt.NDArray[np.float64], plane: npt.NDArray[np.float64], scale: float
) -> Optional[Ground]:
    on = np.abs(_above(near, plane[None])[0]) < _tolerance(plane[None])[0]
    support = float(np.mean(on))
    if support < _LEAST_SUPPORT:
        return None
    slope_x, slope_y, offset = plane
    # The plane falls ahead (slope_x < 0) where the front of the sensor is up, and likewise to the left.
    return Ground(
        height=float(-offset * scale / np.sqrt(1.0 + slope_x**2 + slope_y**2)),
        roll_deg=float(np.degrees(np.arctan(-slope_y))),
        pitch_deg=float(np.degrees(np.arctan(-slope_x))),
        support=support,
    )
