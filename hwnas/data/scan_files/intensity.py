"""Intensities in the unit of a sensor, and remission: the same from 0 to 1, as networks take it.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from hwnas.arrays import FloatArray

# Rounding when a tool rescaled the intensities; anything beyond is another unit.
_TOLERANCE = 1e-5


def are_within(intensity: FloatArray, low_high: Tuple[float, float]) -> bool:
    """Return whether intensities [N] lie in a range, rounding aside; NaN lies in none."""
    if not intensity.size:
        return True
    low, high = low_high
    tolerance = _TOLERANCE * (high - low)
    lowest, highest = np.float32(low - tolerance), np.float32(high + tolerance)
    return bool(lowest <= intensity.min() and intensity.max() <= highest)


def remission_of(intensity: FloatArray, low_high: Tuple[float, float]) -> FloatArray:
    """Return intensities [N], of which `low_high` become 0 and 1, as remission; what is beyond is cut off."""
    low, high = low_high
    if (low, high) == (0.0, 1.0):
        return np.clip(intensity, 0.0, 1.0)
    scaled = (intensity - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(scaled, 0.0, 1.0), np.float32)


def intensity_of(remission: FloatArray, low_high: Tuple[float, float]) -> FloatArray:
    """Return remission [N] as intensities, of which `low_high` are those of 0 and 1."""
    low, high = low_high
    return np.asarray(np.float32(low) + remission * np.float32(high - low), np.float32)
