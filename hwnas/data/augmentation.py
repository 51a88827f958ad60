"""Random changes of a scan that the same sensor could have measured.

Every point stays on a beam of its ring: the scene is mirrored, turned about the sensor, scaled, measured
with noise along the beam, and thinned out. Nothing is shifted, since a shifted scene would be seen by
other beams.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwnas.range_view.angles import range_of
from hwnas.range_view.rings import recover_rings
from hwnas.scan import Scan

MAX_TURN_DEG = 15.0
TURN_BACK_PROBABILITY = 0.5
"""Vehicles drive along roads, in either direction: a scene is seen from ahead and from behind, never across.
Full turns would hide that road lies ahead and behind, and pavement beside."""

MAX_SCALE = 0.05
RANGE_NOISE_M = 0.02
MAX_DROPPED_SHARE = 0.3
_FLIP_PROBABILITY = 0.5


def augment_scan(scan: Scan, strength: float, rng: np.random.Generator) -> Scan:
    """Return a random variant of a scan; rings, remission and labels go with their points.

    Where the rings are not given they are recovered first, since thinned-out points no longer tell.

    Args:
        scan: stays as it is.
        strength: 0 (unchanged) to 1: mirrored left-right with probability 0.5, turned back to front with
            probability 0.5, turned by up to 15 degrees, scaled by up to 5 %, range noise of 2 cm (standard
            deviation), up to 30 % of the points dropped.
        rng: the source of randomness.

    Raises:
        ValueError: if the strength is outside 0..1.
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"The augmentation strength is {strength}; expected 0 to 1.")
    if strength == 0.0:
        return scan
    if scan.ring is None:
        scan = replace(scan, ring=recover_rings(scan.points))
    scan = drop_points(scan, rng.uniform(0.0, MAX_DROPPED_SHARE * strength), rng)
    points = scan.points
    if rng.random() < _FLIP_PROBABILITY * strength:
        points = flip_left_right(points)
    yaw = np.radians(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG)) * strength
    if rng.random() < TURN_BACK_PROBABILITY * strength:
        yaw += np.pi
    points = turn(points, yaw)
    points = scale_range(points, 1.0 + rng.uniform(-MAX_SCALE, MAX_SCALE) * strength)
    points = jitter_range(points, RANGE_NOISE_M * strength, rng)
    return replace(scan, points=points)


def flip_left_right(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return points [N, 3] mirrored left-right."""
    return points * np.array([1.0, -1.0, 1.0], np.float32)


def turn(points: npt.NDArray[np.float32], yaw_rad: float) -> npt.NDArray[np.float32]:
    """Return points [N, 3] turned about the vertical axis, to the left for positive angles."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]], np.float32)
    return np.asarray(points @ rotation.T, np.float32)


def scale_range(points: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    """Return points [N, 3] with all distances multiplied; directions stay."""
    return points * np.float32(factor)


def jitter_range(
    points: npt.NDArray[np.float32], noise_m: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return points [N, 3] moved along their beams by Gaussian noise of `noise_m` metres.

    Noise never moves a point to or behind the sensor: a distance at most halves.
    """
    range_m = range_of(points)
    noise = rng.standard_normal(len(points), dtype=np.float32) * np.float32(noise_m)
    factor = 1.0 + noise / np.maximum(range_m, np.float32(1e-6))
    return np.asarray(points * np.clip(factor, 0.5, 1.5)[:, None], np.float32)


def drop_points(scan: Scan, share: float, rng: np.random.Generator) -> Scan:
    """Return a scan without a random share (0..1) of its points; at least one stays."""
    keep = rng.random(len(scan), dtype=np.float32) >= share
    if not keep.any():
        keep[rng.integers(len(scan))] = True
    return Scan(
        points=scan.points[keep],
        remission=scan.remission[keep],
        ring=None if scan.ring is None else scan.ring[keep],
        labels=None if scan.labels is None else scan.labels[keep],
        id=scan.id,
    )
