"""Where the sensor stands in a cloud: the point from which the beams' elevations are sharpest.

A rotating sensor's beams keep their elevation. Seen from anywhere else than the sensor, the points of a beam
scatter, since they lie at many distances. So the origin is found where the histogram of elevations has the
most contrast: the log-likelihood of each point under the histogram of the other points of its sector of
azimuth, against a smoothed one (a Kullback-Leibler divergence, in nats). Sectors make it robust against a
tilted sensor and against motion during the turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray

_SECTORS = 24
_BIN_DEG, _SMOOTH_BINS = 0.05, 9
_LOWEST_DEG, _HIGHEST_DEG = -40.0, 30.0
# The last bins of a sector, and the first, stay empty: what lies outside is counted apart.
_BINS = int((_HIGHEST_DEG - _LOWEST_DEG) / _BIN_DEG) + 2 * _SMOOTH_BINS
_NEAREST_M, _FARTHEST_M = 3.0, 80.0
_MOST_POINTS = 24_000
FEWEST_POINTS = 2_000
"""Clouds of fewer points tell nothing of the sensor."""
# A sensor this close to the ground sees all of it at one elevation, which looks sharp without being so.
_LOWEST_ABOVE_GROUND_M, _HIGHEST_ABOVE_GROUND_M = 0.5, 5.0
_HEIGHTS_WITHOUT_GROUND_M = (-1.5, 4.0)
_STARTS_M = ((0.0, 0.0), (1.5, 0.0), (-1.5, 0.0), (0.0, 1.0), (0.0, -1.0))
_CLEAR_CONTRAST = 0.15
_STRIKING_CONTRAST = 1.0
_CLOSE_M = 0.8
_ON_BEAM_SHARE = 0.7


class Sharpness:
    """How sharp the elevations of a cloud are, seen from places near its middle."""

    def __init__(self, points: FloatArray) -> None:
        """Take points [N, 3], metres, z up; those very near or far from 0 0 0 are left out."""
        distance = np.hypot(points[:, 0], points[:, 1])
        near = points[(distance > _NEAREST_M) & (distance < _FARTHEST_M)]
        if len(near) > _MOST_POINTS:
            near = near[np.sort(np.random.default_rng(0).choice(len(near), _MOST_POINTS, replace=False))]
        self._x, self._y, self._z = (np.ascontiguousarray(near[:, axis], np.float32) for axis in range(3))
        turn = np.arctan2(self._y, self._x) / np.float32(2 * np.pi) + np.float32(0.5)
        self._first_bin = (turn * _SECTORS).astype(np.int32) % _SECTORS * _BINS

    def __len__(self) -> int:
        """Return the number of points that count."""
        return len(self._x)

    def __call__(self, x: float, y: float, z: float) -> float:
        """Return the contrast, nats per point, about 0 where no beam shows, seen from a place (metres)."""
        across, left = self._x - np.float32(x), self._y - np.float32(y)
        slope = (self._z - np.float32(z)) / np.sqrt(across * across + left * left + np.float32(1e-6))
        elevation_deg = np.arctan(slope) * np.float32(180 / np.pi)
        number = ((elevation_deg - np.float32(_LOWEST_DEG)) * np.float32(1 / _BIN_DEG)).astype(np.int32)
        inside = (elevation_deg > _LOWEST_DEG) & (elevation_deg < _HIGHEST_DEG)
        place = np.where(inside, self._first_bin + _SMOOTH_BINS + number, _SECTORS * _BINS)
        counts = np.bincount(place, minlength=_SECTORS * _BINS)[: _SECTORS * _BINS].astype(np.float32)
        total = np.cumsum(np.pad(counts, (_SMOOTH_BINS // 2 + 1, _SMOOTH_BINS // 2)), dtype=np.float32)
        around = total[_SMOOTH_BINS:] - total[:-_SMOOTH_BINS]
        filled = np.flatnonzero(counts)
        own, others = counts[filled], around[filled]
        # Each point is left out of the histogram that says how likely it is.
        likely = np.maximum(own - 1, np.float32(0.5)) * np.float32(_SMOOTH_BINS)
        usual = np.maximum(others - 1, np.float32(0.5))
        return float(np.sum(own * np.log(likely / usual)) / max(len(self._x), 1))


@dataclass(frozen=True)
class OriginEstimate:
    """Where the beams of a cloud meet.

    Attributes:
        place_m: x, y, z in the frame of the cloud.
        sharpness: contrast of the elevations seen from there, nats per point.
        background: usual contrast of places around it, where no beams meet.
    """

    place_m: tuple[float, float, float]
    sharpness: float
    background: float

    @property
    def is_clear(self) -> bool:
        """Whether beams are seen at all."""
        return self.sharpness - self.background > _CLEAR_CONTRAST

    @property
    def is_close(self) -> bool:
        """Whether beams clearly meet near 0 0 0, so that looking elsewhere is not needed."""
        return self.is_clear and float(np.linalg.norm(self.place_m)) < _CLOSE_M


def find_origin(points: FloatArray, ground_height_m: float | None = None) -> OriginEstimate | None:
    """Return where the beams of a cloud meet, within 2.5 m of the vertical axis; None for too few points.

    Args:
        points: [N, 3], metres, z up.
        ground_height_m: z of the ground below 0 0 0, if it is known; the sensor is sought above it.
    """
    sharpness = Sharpness(points)
    if len(sharpness) < FEWEST_POINTS:
        return None
    low, high = _HEIGHTS_WITHOUT_GROUND_M
    if ground_height_m is not None:
        low, high = ground_height_m + _LOWEST_ABOVE_GROUND_M, ground_height_m + _HIGHEST_ABOVE_GROUND_M
    background = float(np.median([sharpness(0.0, 0.0, float(z)) for z in np.linspace(low, high, 24)]))
    heights, starts = np.arange(low, high, 0.05), list(_STARTS_M)
    if low <= 0.0 <= high and sharpness(0.0, 0.0, 0.0) > background + 2 * _CLEAR_CONTRAST:
        heights, starts = np.arange(max(-0.5, low), 0.51, 0.05), [(0.0, 0.0)]  # the beams meet close by
    best, place = -np.inf, np.zeros(3)
    for x, y in starts:
        values = [sharpness(x, y, float(z)) for z in heights]
        candidate = _refined(sharpness, np.array([x, y, heights[int(np.argmax(values))]]), low)
        value = sharpness(*candidate)
        if value > best:
            best, place = value, candidate
        if best > background + _STRIKING_CONTRAST:
            break
    found = (float(place[0]), float(place[1]), float(place[2]))
    return OriginEstimate(found, best, background)


def _refined(
    sharpness: Sharpness, place: npt.NDArray[np.float64], lowest_m: float
) -> npt.NDArray[np.float64]:
    """Return the sharpest place near one and not below a height, to a centimetre."""
    for step_m, reach_m in ((0.2, 2.0), (0.1, 0.4), (0.04, 0.12), (0.02, 0.04), (0.01, 0.02)):
        place = _along_axes(sharpness, place, step_m, reach_m, lowest_m)
    return place


def _along_axes(
    sharpness: Sharpness, place: npt.NDArray[np.float64], step_m: float, reach_m: float, lowest_m: float
) -> npt.NDArray[np.float64]:
    """Return the sharpest place on lines through `place` along z, x and y, one after the other."""
    best, best_value = place, sharpness(*place)
    for axis in (2, 0, 1):
        start = best
        for offset in np.arange(-reach_m, reach_m + 0.5 * step_m, step_m):
            candidate = start.copy()
            candidate[axis] += offset * (0.25 if axis == 2 else 1.0)
            if candidate[2] < lowest_m:
                continue
            value = sharpness(*candidate)
            if value > best_value:
                best, best_value = candidate, value
    return best


def off_beams(points: FloatArray, origin: OriginEstimate) -> FloatArray:
    """Return the points [M, 3] that lie on none of the beams that meet at an origin."""
    moved = points - np.asarray(origin.place_m, np.float32)
    distance = np.maximum(np.hypot(moved[:, 0], moved[:, 1]), np.float32(1e-3))
    elevation_deg = np.degrees(np.arctan(moved[:, 2] / distance))
    turn = np.arctan2(moved[:, 1], moved[:, 0]) / np.float32(2 * np.pi) + np.float32(0.5)
    sector = (turn * _SECTORS).astype(np.int64) % _SECTORS
    number = np.clip((elevation_deg - _LOWEST_DEG) / _BIN_DEG + _SMOOTH_BINS, 0, _BINS - 1).astype(np.int64)
    counts = np.bincount(sector * _BINS + number, minlength=_SECTORS * _BINS)
    total = np.cumsum(np.pad(counts, (_SMOOTH_BINS // 2 + 1, _SMOOTH_BINS // 2)))
    around = total[_SMOOTH_BINS:] - total[:-_SMOOTH_BINS]
    place = sector * _BINS + number
    # A point is on a beam where its bin and the two beside it hold most of what lies within 0.2 degrees.
    close = counts + np.roll(counts, 1) + np.roll(counts, -1)
    on = close[place] > _ON_BEAM_SHARE * np.maximum(around[place], 1)
    return np.ascontiguousarray(points[~on])
