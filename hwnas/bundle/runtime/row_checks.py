"""Compares the rows of a scan's rings with the elevations that training scans show in these rows.

A sensor's data sheet may be half a degree off, more than its beams lie apart, so that its table does not tell
whether rings without points were left out when rings were numbered. What was seen in training tells.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from hwnas.arrays import DoubleArray, FloatArray, IntArray, LongArray
from hwnas.bundle.runtime.scan_finding import Finding
from hwnas.data.geometry.cloud_geometry import elevation_of, is_far, sample
from hwnas.data.geometry.expected_geometry import GeometryExpectations
from hwnas.range_view.angles import range_of

# Right rings of real scans stay below 0.6, rings one off begin at 0.74 (docs/results/given_rings.md).
_MOST_OFF = 0.65
_FEWEST_OF_QUADRANT = 200
# A row with fewer points than the usual one by more than this factor has stray points at best.
_FEW_OF_ROW = 10
_REMEDY = "Give the ring of each point, with the number of its beam."


def check_rows(
    points: FloatArray, row: IntArray, num_rows: int, expects: GeometryExpectations
) -> Optional[Finding]:
    """Compare elevations with those of the same rows in training scans, where rings could be other beams.

    Opposite quadrants count together, so that a sensor's inclination has no effect. Nothing is said of scans
    in which a quadrant is missing, or in which every row has points: these rings cannot be others.

    Args:
        points: [N, 3], all with a direction.
        row: [N], those of rings.
        num_rows: of the image.
        expects: geometry of the training scans.
    """
    usual = expects.beam_elevation_deg
    if usual is None or len(usual) != num_rows:
        return None
    if _are_all_seen(np.bincount(row, minlength=num_rows)):
        return None
    some = sample(len(points))
    some = some[is_far(range_of(points[some]), expects.near_m)]
    off = _beams_off(points[some], row[some], np.asarray(usual))
    if off is None or abs(off) <= _MOST_OFF:
        return None
    return Finding(
        f"the rings lie {abs(off):.1f} beams {'above' if off > 0 else 'below'} those of the same rows in the "
        "training scans, as where rings without points were left out when they were numbered, or the sensor "
        "is tilted: points may be in rows of other beams",
        _REMEDY,
        is_certain=False,
    )


def _are_all_seen(members: LongArray) -> bool:
    """Return whether every row has points, and not only stray ones."""
    some = members[members > 0]
    middle = len(some) // 2
    usual = int(np.partition(some, middle)[middle])
    return _FEW_OF_ROW * int(members.min()) >= usual


def _beams_off(points: FloatArray, row: IntArray, usual: DoubleArray) -> Optional[float]:
    """Return by how many beams points lie above those of their rows; None where a quadrant is missing."""
    gap = -np.diff(usual)
    spacing = 0.5 * (np.append(gap, gap[-1]) + np.insert(gap, 0, gap[0]))
    off = (elevation_of(points).astype(np.float64) - usual[row]) / spacing[row]
    quadrant = 2 * (points[:, 0] >= 0) + (points[:, 1] >= 0)
    total = 0.0
    for number in range(4):
        inside = off[quadrant == number]
        if len(inside) < _FEWEST_OF_QUADRANT:
            return None
        middle = len(inside) // 2
        total += float(np.partition(inside, middle)[middle])
    return total / 4
