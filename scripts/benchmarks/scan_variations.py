"""Seeded variations of scans: right ones, which a runner must take, and wrong ones, which it must refuse.

Every function takes a `Cloud` and a random generator and returns another one; nothing is changed in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from hwnas.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Cloud:
    """A scan of N points.

    Attributes:
        points: [N, 3] in metres; x forward, y left, z up.
        intensity: [N] in 0..1.
        ring: [N] beam of each point, 0 = top.
    """

    points: FloatArray
    intensity: FloatArray
    ring: npt.NDArray[np.int32]

    def take(self, which: npt.NDArray[np.generic]) -> Cloud:
        """Return some of the points, by a mask or by indices."""
        return Cloud(self.points[which], self.intensity[which], self.ring[which])

    def times(self, matrix: npt.NDArray[np.floating]) -> Cloud:
        """Return the cloud with every point multiplied by a matrix [3, 3]."""
        return replace(self, points=(self.points @ np.asarray(matrix, np.float32).T).astype(np.float32))


Variation = Callable[[Cloud, Generator], Cloud]


def rotation(axis: int, angle_deg: float) -> npt.NDArray[np.float64]:
    """Return the matrix that turns about x, y or z (0, 1, 2)."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
    return matrix


def _azimuth_deg(cloud: Cloud) -> npt.NDArray[np.float64]:
    return np.degrees(np.arctan2(cloud.points[:, 1], cloud.points[:, 0]))


def _elevation_deg(cloud: Cloud) -> npt.NDArray[np.float64]:
    return np.degrees(np.arctan2(cloud.points[:, 2], np.hypot(cloud.points[:, 0], cloud.points[:, 1])))


# Right ones -------------------------------------------------------------------------------------------------


def same(cloud: Cloud, rng: Generator) -> Cloud:
    """Another frame of the sensor, as it is."""
    return cloud


def yawed(cloud: Cloud, rng: Generator) -> Cloud:
    """Turned about the vertical axis by any angle; each ring starts where it did."""
    return cloud.times(rotation(2, rng.uniform(0, 360)))


def sector(cloud: Cloud, rng: Generator, least_deg: float = 60.0, most_deg: float = 300.0) -> Cloud:
    """A part of a turn, anywhere."""
    width, middle = rng.uniform(least_deg, most_deg), rng.uniform(0, 360)
    away = np.abs((_azimuth_deg(cloud) - middle + 180) % 360 - 180)
    return cloud.take(away <= width / 2)


def thinned(cloud: Cloud, rng: Generator, share: float = 0.3) -> Cloud:
    """30 percent of the points lost at random."""
    return cloud.take(rng.random(len(cloud.points)) >= share)


def sloping(cloud: Cloud, rng: Generator) -> Cloud:
    """Levelled on a slope, by up to 5 degrees: all that is seen is tilted in the sensor's frame."""
    turn = rotation(2, rng.uniform(0, 360))
    return cloud.times(turn @ rotation(0, rng.uniform(0, 5)) @ turn.T)


def walled(cloud: Cloud, rng: Generator) -> Cloud:
    """A wall close by hides what is behind it on one side; its points lie on the same rays."""
    direction, distance = np.radians(rng.uniform(0, 360)), rng.uniform(1.5, 4.0)
    reach = cloud.points[:, 0] * np.cos(direction) + cloud.points[:, 1] * np.sin(direction)
    scale = np.where(reach > distance, distance / np.maximum(reach, 1e-6), 1.0)
    return replace(cloud, points=(cloud.points * scale[:, None]).astype(np.float32))


def by_column(cloud: Cloud, rng: Generator) -> Cloud:
    """Column by column, clockwise, from any azimuth on, as a driver gives the points."""
    start = rng.uniform(0, 360)
    azimuth = (start - _azimuth_deg(cloud)) % 360
    return cloud.take(np.lexsort((cloud.ring, np.round(azimuth, 1))))


def other_start(cloud: Cloud, rng: Generator) -> Cloud:
    """Ring by ring, each ring starting at another azimuth than it did, the same for all."""
    start = rng.uniform(-180, 180)
    parts = []
    for ring in np.unique(cloud.ring):
        here = np.flatnonzero(cloud.ring == ring)
        azimuth = _azimuth_deg(cloud.take(here))
        nearest = int(np.argmin(np.abs((azimuth - start + 180) % 360 - 180)))
        parts.append(np.roll(here, -nearest))
    return cloud.take(np.concatenate(parts))


def unordered(cloud: Cloud, rng: Generator) -> Cloud:
    """In no order."""
    return cloud.take(rng.permutation(len(cloud.points)))


def sector_thinned(cloud: Cloud, rng: Generator) -> Cloud:
    """Yaw, a part of the turn and lost points at once."""
    return thinned(sector(yawed(cloud, rng), rng), rng)


RIGHT: Mapping[str, Variation] = {
    "other frames": same,
    "any yaw": yawed,
    "60 to 300 degrees": sector,
    "30 % lost": thinned,
    "yaw, part and loss": sector_thinned,
    "slope up to 5 degrees": sloping,
    "wall close by": walled,
    "other start": other_start,
    "by column": by_column,
    "unordered": unordered,
}


# Wrong ones -------------------------------------------------------------------------------------------------


def _some(cloud: Cloud, rng: Generator) -> Cloud:
    """Any yaw, half of the time a third to five sixths of a turn, half of the time thinned."""
    cloud = yawed(cloud, rng)
    if rng.random() < 0.5:
        cloud = sector(cloud, rng, 120, 300)
    return thinned(cloud, rng) if rng.random() < 0.5 else cloud


def _scaled(factor: float) -> Variation:
    def variation(cloud: Cloud, rng: Generator) -> Cloud:
        return _some(cloud, rng).times(np.eye(3) * factor)

    return variation


def _axes(*, mirrored: bool) -> list[npt.NDArray[np.float64]]:
    """Return the signed permutations of the axes that do not leave z up, rotations or mirrors."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if (np.linalg.det(matrix) < 0) == mirrored and matrix[2, 2] != 1:
                found.append(matrix)
    return found


_ROTATED, _MIRRORED = _axes(mirrored=False), _axes(mirrored=True)


def swapped_axes(cloud: Cloud, rng: Generator) -> Cloud:
    """One of the 20 rotations by right angles after which z is not up."""
    return _some(cloud, rng).times(_ROTATED[int(rng.integers(len(_ROTATED)))])


def mirrored_axes(cloud: Cloud, rng: Generator) -> Cloud:
    """One of the 20 mirrored permutations of axes after which z is not up."""
    return _some(cloud, rng).times(_MIRRORED[int(rng.integers(len(_MIRRORED)))])


def z_down(cloud: Cloud, rng: Generator) -> Cloud:
    """Axes as ships have them: x forward, y right, z down."""
    return _some(cloud, rng).times(np.diag([1.0, -1.0, -1.0]))


def tilted(cloud: Cloud, rng: Generator) -> Cloud:
    """Rolled, pitched, or both, by 20 to 60 degrees."""
    turn = rotation(2, rng.uniform(0, 360))
    return _some(cloud, rng).times(turn @ rotation(0, rng.uniform(20, 60)) @ turn.T)


def on_the_ground(cloud: Cloud, rng: Generator) -> Cloud:
    """The origin on the ground under the sensor."""
    return _raised(_some(cloud, rng), rng.uniform(1.6, 2.0))


def wrong_height(cloud: Cloud, rng: Generator) -> Cloud:
    """The origin 1.2 to 1.5 m below the sensor, or 1.2 to 3 m above it."""
    lower = rng.random() < 0.5
    return _raised(_some(cloud, rng), rng.uniform(1.2, 1.5) if lower else -rng.uniform(1.2, 3.0))


def _raised(cloud: Cloud, by_m: float) -> Cloud:
    return replace(cloud, points=cloud.points + np.array([0, 0, by_m], np.float32))


def mirrored(cloud: Cloud, rng: Generator) -> Cloud:
    """Axis y to the right; points ring by ring, in the order of the sensor."""
    return _some(cloud, rng).times(np.diag([1.0, -1.0, 1.0]))


def mirrored_unordered(cloud: Cloud, rng: Generator) -> Cloud:
    """Axis y to the right, in no order: nothing shows it, so that a warning is all that can be expected."""
    return unordered(mirrored(cloud, rng), rng)


def nearly_all_nan(cloud: Cloud, rng: Generator) -> Cloud:
    """98.5 to 100 percent of the points are NaN."""
    lost = rng.random(len(cloud.points)) < rng.uniform(0.985, 1.0)
    return replace(cloud, points=np.where(lost[:, None], np.float32(np.nan), cloud.points))


def other_intensity(cloud: Cloud, rng: Generator) -> Cloud:
    """0..1 given to a network for 0..255, which the caller scales to."""
    cloud = _some(cloud, rng)
    return replace(cloud, intensity=cloud.intensity / np.float32(255))


def cut_below(cloud: Cloud, rng: Generator) -> Cloud:
    """The lower 40 to 80 percent of the field of view are missing."""
    cloud = _some(cloud, rng)
    elevation = _elevation_deg(cloud)
    low, high = np.percentile(elevation, [0.5, 99.5])
    return cloud.take(elevation > low + rng.uniform(0.4, 0.8) * (high - low))


def cut_above(cloud: Cloud, rng: Generator) -> Cloud:
    """All above a line 6 to 12 degrees below the horizon is missing."""
    cloud = _some(cloud, rng)
    return cloud.take(_elevation_deg(cloud) < -rng.uniform(6, 12))


WRONG: Mapping[str, Variation] = {
    "centimetres": _scaled(100.0),
    "millimetres": _scaled(1000.0),
    "feet": _scaled(3.28084),
    "axes swapped": swapped_axes,
    "axes swapped, mirrored": mirrored_axes,
    "z down": z_down,
    "tilted 20 to 60 degrees": tilted,
    "origin on the ground": on_the_ground,
    "origin too high or low": wrong_height,
    "mirrored": mirrored,
    "mirrored, no order": mirrored_unordered,
    "NaN": nearly_all_nan,
    "intensity": other_intensity,
    "cut below": cut_below,
    "cut above": cut_above,
}


def _beside(distance_m: float) -> Variation:
    def variation(cloud: Cloud, rng: Generator) -> Cloud:
        """The origin somewhere around the sensor; half of the time without 30 % of the points."""
        angle = rng.uniform(0, 2 * np.pi)
        shift = distance_m * np.array([np.cos(angle), np.sin(angle), 0.0])
        moved = replace(cloud, points=(cloud.points + shift).astype(np.float32))
        return thinned(moved, rng) if rng.random() < 0.5 else moved

    return variation


MOVED: Mapping[str, Variation] = {
    f"{distance:g} m": _beside(distance) for distance in (0.1, 0.25, 0.5, 1.0, 2.0)
}
"""By how much the origin is beside the sensor, as where the frame is another one of the vehicle."""


def of_another_sensor(cloud: Cloud, rng: Generator) -> Cloud:
    """A scan of another sensor, of which a part may be missing."""
    return _some(cloud, rng)


def few(cloud: Cloud, rng: Generator, least: int = 200, most: int = 2000) -> Cloud:
    """Some hundred points of the cloud, at random."""
    count = min(len(cloud.points), int(rng.integers(least, most)))
    return cloud.take(np.sort(rng.choice(len(cloud.points), count, replace=False)))


# Intensities ------------------------------------------------------------------------------------------------


def _intensities(curve: Callable[[FloatArray, Generator], npt.NDArray[np.floating]]) -> Variation:
    """Return the variation that puts intensities on a curve; what exceeds 1 becomes 1, as in a file."""

    def variation(cloud: Cloud, rng: Generator) -> Cloud:
        cloud = _some(cloud, rng)
        return replace(cloud, intensity=np.clip(curve(cloud.intensity, rng), 0, 1).astype(np.float32))

    return variation


def _constant(intensity: FloatArray, rng: Generator) -> npt.NDArray[np.floating]:
    """Return any value, with a hundredth of noise."""
    return rng.uniform(0.02, 0.98) + rng.uniform(-0.005, 0.005, len(intensity))


def _half_missing(intensity: FloatArray, rng: Generator) -> npt.NDArray[np.floating]:
    return np.where(rng.random(len(intensity)) < 0.5, 0.0, intensity)


def _dual(intensity: FloatArray, rng: Generator) -> npt.NDArray[np.floating]:
    """Return 0 to 100 for what reflects diffusely, 101 to 255 for retroreflectors, of 255."""
    return np.where(intensity < 0.8, intensity / 0.8 * 100, 101 + (intensity - 0.8) / 0.2 * 154) / 255


SCALES: Mapping[str, Variation] = {
    "squared": _intensities(lambda intensity, rng: intensity**2),
    "square root": _intensities(lambda intensity, rng: np.sqrt(intensity)),
    "power 0.6": _intensities(lambda intensity, rng: intensity**0.6),
    "power 1.6": _intensities(lambda intensity, rng: intensity**1.6),
    "a third": _intensities(lambda intensity, rng: intensity / 3),
    "three times": _intensities(lambda intensity, rng: intensity * 3),
    "two scales": _intensities(_dual),
    "constant": _intensities(_constant),
    "inverted": _intensities(lambda intensity, rng: 1 - intensity),
    "half at 0": _intensities(_half_missing),
}
"""Intensities in range, but not as the sensor gives them."""


def dimmed_with_distance(cloud: Cloud, rng: Generator) -> Cloud:
    """As in fog: half is left at 35 m."""
    distance = np.linalg.norm(cloud.points, axis=1)
    return replace(cloud, intensity=(cloud.intensity * np.exp(-distance / 50)).astype(np.float32))


WEATHER: Mapping[str, Variation] = {
    "other frames": same,
    "any yaw": yawed,
    "120 to 300 degrees": lambda cloud, rng: sector(cloud, rng, 120.0),
    "60 to 120 degrees": lambda cloud, rng: sector(cloud, rng, 60.0, 120.0),
    "30 % lost": thinned,
    "wall close by": walled,
    "30 % darker": lambda cloud, rng: replace(cloud, intensity=cloud.intensity * np.float32(0.7)),
    "darker with distance": dimmed_with_distance,
    "200 to 2,000 points": few,
}
"""Right scans whose intensities differ from those of the training."""
