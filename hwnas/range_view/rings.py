"""Which row of the sensor measured a point, recovered from the points themselves.

Two invariants tell it, whatever the order of the file, the azimuth at which a turn starts, its direction and
the sector it covers:

* Beams have fixed elevations. Where these stand out as narrow, separate groups, each point belongs to the
  beam of its group (`hwnas.range_view.beam_groups`), however the points are ordered.
* Files that come ring by ring run once round per ring, and the elevation steps at the same azimuth each time
  (`hwnas.range_view.ring_order`). This holds where the lasers of a sensor do not sit in one spot and the
  elevations of neighbouring beams overlap, as those of an HDL-64E do.

All of it is integer arithmetic on exactly defined angles, so that every machine and the compiled kernel give
the same rings. Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import IntArray
from hwnas.range_view.angles import angle_of, is_valid_range, range_of
from hwnas.range_view.beam_groups import grouped_rings
from hwnas.range_view.beam_groups import middle_range as middle_range  # noqa: PLC0414 - part of this API
from hwnas.range_view.compiled import compiled_kernel
from hwnas.range_view.ring_order import MAX_RINGS as MAX_RINGS  # noqa: PLC0414 - part of this API
from hwnas.range_view.ring_order import MIN_RINGS as MIN_RINGS  # noqa: PLC0414 - part of this API
from hwnas.range_view.ring_order import TURN, ordered_rings

SINE_STEPS = 1 << 15
"""Sines of elevation -1..1 are counted in steps of 1 / SINE_STEPS: 0.0017 degrees at the horizon."""
_FEWEST_POINTS = 4 * MIN_RINGS
_NEAR_SHARE = 0.25


def recover_rings(points: npt.NDArray[np.float32]) -> Optional[IntArray]:
    """Return the ring [N] int32 of points [N, 3], 0 = top; None where nothing tells it.

    The points may come ring by ring, column by column or in no order, turn either way, start anywhere and
    cover a part of a turn; beams may fire at staggered azimuths, and points may be missing. Rings that
    have no point at all cannot be seen: the top ring of those seen is ring 0. Points without a direction (at
    the origin, or with a coordinate that is not finite) get ring 0.
    """
    points = np.asarray(points, np.float32)
    kernel = compiled_kernel()
    if kernel is not None:
        return kernel.recover_rings(points)
    usable, sine, range_m = sines_of(points)
    if len(sine) < _FEWEST_POINTS:
        return None
    found = grouped_rings(sine)
    if found is None:
        azimuth = azimuth_of(points if len(sine) == len(points) else points[usable])
        found = ordered_rings(azimuth, sine)
        if found is None:
            found = grouped_rings(sine, range_m)
        if found is None:
            found = _rings_without_near_points(azimuth, sine, range_m)
    if found is None or len(found) == len(usable):
        return found
    ring = np.zeros(len(usable), np.int32)
    ring[usable] = found
    return ring


def _rings_without_near_points(
    azimuth: IntArray, sine: IntArray, range_m: npt.NDArray[np.float32]
) -> Optional[IntArray]:
    """Return rings [N] in order of the file, found without the nearest points, which join those before them.

    Hits on the vehicle itself lie so near that their directions scatter: the lasers do not sit in one spot,
    and corrections of motion move these points the most.
    """
    far = np.flatnonzero(range_m >= np.float32(_NEAR_SHARE) * middle_range(range_m))
    if len(far) == len(range_m) or len(far) < _FEWEST_POINTS:
        return None
    found = ordered_rings(azimuth[far], sine[far])
    if found is None:
        return None
    before = np.zeros(len(range_m), np.int64)
    before[far[1:]] = 1
    return found[np.cumsum(before)]


def sines_of(
    points: npt.NDArray[np.float32],
) -> Tuple[npt.NDArray[np.bool_], IntArray, npt.NDArray[np.float32]]:
    """Return which points [N] have a direction, and of those the sine of elevation and the range [M].

    Sines -1..1 are whole numbers from 0 to 2 * `SINE_STEPS` - 1; the range has the unit of the points.
    """
    range_m = range_of(points)
    usable = is_valid_range(range_m)
    height = points[:, 2]
    if not usable.all():
        height, range_m = height[usable], range_m[usable]
    sine = np.floor(height / range_m * np.float32(SINE_STEPS)).astype(np.int32)
    # Rounding can lift a sine above 1, where squares of small coordinates lose their last bits.
    return usable, np.clip(sine, -SINE_STEPS, SINE_STEPS - 1) + np.int32(SINE_STEPS), range_m


def azimuth_of(points: npt.NDArray[np.float32]) -> IntArray:
    """Return azimuths [N] as whole numbers, `TURN` to a turn."""
    angle = angle_of(points[:, 1], points[:, 0]) * np.float32(TURN / (2 * np.pi))
    return np.asarray(np.floor(angle), np.int32)
