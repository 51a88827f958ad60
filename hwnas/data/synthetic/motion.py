"""Places of rigid things over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from numpy.typing import NDArray

from hwnas.arrays import DoubleArray


@dataclass(frozen=True, eq=False)
class Motion:
    """Where something rigid is over time: between knots it moves and turns evenly.

    Attributes:
        time_s: [K] increasing.
        position: [K, 3] in the world, metres.
        angles: [K, 3] yaw, pitch (positive: nose up) and roll, rad, without jumps by whole turns.
    """

    time_s: DoubleArray
    position: DoubleArray
    angles: DoubleArray

    def at(self, time_s: DoubleArray) -> Tuple[DoubleArray, DoubleArray]:
        """Return positions [R, 3] and angles [R, 3] at times [R]; beyond the knots it stands still."""
        return _between(self.time_s, self.position, time_s), _between(self.time_s, self.angles, time_s)

    def transform(self, time_s: float) -> DoubleArray:
        """Return the [4, 4] matrix that takes coordinates of the thing at a time into the world."""
        position, angles = self.at(np.array([time_s]))
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotations(angles)[0], position[0]
        return matrix


def _between(knots: DoubleArray, values: DoubleArray, time_s: DoubleArray) -> DoubleArray:
    return np.stack([np.interp(time_s, knots, column) for column in values.T], axis=1)


def rotations(angles: DoubleArray) -> DoubleArray:
    """Return matrices [R, 3, 3] from own coordinates to those of the world, of yaw, pitch, roll [R, 3]."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles).T, np.sin(angles).T
    return np.stack(
        [
            np.stack([cy * cp, -sy * cr - cy * sp * sr, sy * sr - cy * sp * cr], axis=1),
            np.stack([sy * cp, cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr], axis=1),
            np.stack([sp, cp * sr, cp * cr], axis=1),
        ],
        axis=1,
    )


def turned(vectors: NDArray[np.float32], angles: DoubleArray) -> NDArray[np.float32]:
    """Return vectors [R, 3] in the world, each turned by its own yaw, pitch and roll [R, 3]."""
    turn = rotations(angles).astype(np.float32)
    return np.ascontiguousarray(np.einsum("rij,rj->ri", turn, vectors, optimize=True))
