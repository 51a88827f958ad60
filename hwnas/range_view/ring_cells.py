"""Elevation and nearness of each given ring in each cell of azimuth.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import numpy as np

from hwnas.arrays import FloatArray, IntArray, LongArray
from hwnas.range_view.ring_order import TURN

CELLS = 256
"""Cells to a turn."""
# Ranges count as nearness, middle range / range, in steps of 1 / _NEAR_STEPS, and none is nearer than this.
_NEAR_STEPS, _NEAREST = 256, 4096


class RingCells:
    """Sums over the points of each ring in each cell, and their number.

    Attributes:
        ring: [N] of each point, as given.
        sine: [N] of the elevation of each point, see `rings.sines_of`.
        cell: [N] of azimuth in which each point lies.
        members: [rings, CELLS] points.
        sines: [rings, CELLS] sum of `sine`.
        nearness: [rings, CELLS] sum of middle range / range, in steps of 1 / 256.
    """

    def __init__(
        self,
        ring: IntArray,
        azimuth: IntArray,
        sine: IntArray,
        range_m: FloatArray,
        middle_m: np.float32,
        count: int,
    ) -> None:
        """Sum up the points.

        Args:
            ring: [N] of each point, as given.
            azimuth: [N], `TURN` to a turn.
            sine: [N] of the elevation.
            range_m: [N] in the unit of the points.
            middle_m: see `rings.middle_range`.
            count: how many rings there are, with those that have no point.
        """
        self.ring, self.sine = ring, sine
        self.cell = ((azimuth + TURN // 2) & (TURN - 1)) // (TURN // CELLS)
        self._place = ring.astype(np.int64) * CELLS + self.cell
        self._count = count
        nearness = np.minimum(middle_m / range_m * np.float32(_NEAR_STEPS), np.float32(_NEAREST))
        self.members = np.bincount(self._place, minlength=count * CELLS).reshape(count, CELLS)
        self.sines = self._sums(sine)
        self.nearness = self._sums(nearness.astype(np.int32))

    def _sums(self, values: IntArray) -> LongArray:
        sums = np.bincount(self._place, weights=values, minlength=self._count * CELLS)
        return sums.astype(np.int64).reshape(self._count, CELLS)
