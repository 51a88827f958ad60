"""One LiDAR scan in memory. Python 3.8 syntax, numpy only: this module travels to boards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import numpy.typing as npt

from hwnas.text import counted, one_line


class DataWarning(UserWarning):
    """Something in the data was left out, or is not as it should be."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One turn of a LiDAR, in the frame of the sensor.

    Attributes:
        points: [N, 3] float32, metres; x forward, y left, z up.
        remission: [N] float32, scaled to 0..1.
        ring: [N] int32, ring of the sensor, counted from either end; None when the file does not say.
        labels: [N] uint8, train ids 0..K-1, 255 = ignored; None when the scan has no labels.
        id: sequence and name, such as `08/000004`.
        time: [N] float64, when each point was measured, in any unit; None when the file does not say.
    """

    points: npt.NDArray[np.float32]
    remission: npt.NDArray[np.float32]
    ring: Optional[npt.NDArray[np.int32]]
    labels: Optional[npt.NDArray[np.uint8]]
    id: str
    time: Optional[npt.NDArray[np.float64]] = None

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.id,
            counted(len(self), "point"),
            *(name for name in ("ring", "labels", "time") if getattr(self, name) is not None),
        )
