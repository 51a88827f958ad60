"""The beams that measured a cloud, told from the elevations of its points.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray, IntArray

_BIN_DEG = 0.02
_FEWEST_BEAMS = 4
_POINTS_PER_BEAM = 24
_FEWEST_ON_RING = 3
# A beam is told from its neighbours where the elevations between them are this much rarer than on it.
_VALLEY = 0.4
_SIGMAS = 3.5
_SHARPNESS = 0.6
_SECTORS = 12


@dataclass(frozen=True)
class Beams:
    """The beams that measured a cloud.

    Attributes:
        elevation_deg: of each beam that has points, top beam first.
        spread_deg: median over the beams of how far the elevations of their points scatter (half of the
            distance between the 16th and the 84th percentile); about 0 in the frame of the sensor, degrees
            where the cloud was turned or moved out of it.
        are_given: whether rings were known; False where the beams were found in the elevations alone.
        num_points: points of each beam in the sample that was taken.
    """

    elevation_deg: Tuple[float, ...]
    spread_deg: float
    are_given: bool
    num_points: Tuple[int, ...]


def beams_of_rings(elevation_deg: FloatArray, ring: IntArray) -> Optional[Beams]:
    """Return the beams of points [N] whose rings [N] are known; None without any."""
    known = ring >= 0
    if not known.all():
        elevation_deg, ring = elevation_deg[known], ring[known]
    if not len(ring):
        return None
    order = np.lexsort((elevation_deg, ring))
    values, rings = elevation_deg[order], ring[order]
    start = np.flatnonzero(np.diff(rings, prepend=rings[0] - 1))
    count = np.diff(start, append=len(rings))
    # A stray point makes no beam, unless all have few.
    enough = count >= (_FEWEST_ON_RING if len(rings) >= _POINTS_PER_BEAM * len(count) else 1)
    start, count = start[enough], count[enough]
    middle = values[start + count // 2]
    low, high = (values[start + ((count - 1) * share).astype(np.intp)] for share in (0.16, 0.84))
    spread = float(np.median(0.5 * (high - low)))
    top_first = np.argsort(-middle, kind="stable")
    return Beams(
        tuple(middle[top_first].tolist()), spread, are_given=True, num_points=tuple(count[top_first].tolist())
    )


def beams_of(elevation_deg: FloatArray) -> Optional[Beams]:
    """Find beams as peaks in the distribution of elevations [N]; None where there are no clear ones.

    Works for sensors whose every beam keeps its elevation all around, in the frame of the sensor.
    """
    if len(elevation_deg) < _FEWEST_BEAMS * _POINTS_PER_BEAM:
        return None
    bins = int(180.0 / _BIN_DEG)
    number = np.clip(((elevation_deg + 90.0) / _BIN_DEG).astype(np.int64), 0, bins - 1)
    smooth = np.convolve(np.bincount(number, minlength=bins), (0.25, 0.75, 1.0, 0.75, 0.25), "same")
    peak = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    peak = _separated(smooth, peak[smooth[peak] >= 3.0])
    if len(peak) < _FEWEST_BEAMS:
        return None
    centre = (peak + 0.5) * _BIN_DEG - 90.0
    apart = np.min(np.stack([np.diff(centre, prepend=-90.0), np.diff(centre, append=90.0)]), axis=0)
    edges = 0.5 * (centre[1:] + centre[:-1])
    nearest = np.searchsorted(edges, elevation_deg)
    distance = np.abs(elevation_deg - centre[nearest])
    # Spread evenly, half of the points would lie within a quarter of the spacing.
    if np.mean(distance < 0.25 * np.minimum(apart[nearest], 2.0)) < _SHARPNESS:
        return None
    counts = np.bincount(nearest, minlength=len(centre))[::-1]
    spread = float(np.median(distance))
    return Beams(tuple(centre[::-1].tolist()), spread, are_given=False, num_points=tuple(counts.tolist()))


def beams_by_sector(azimuth_deg: FloatArray, elevation_deg: FloatArray) -> List[Beams]:
    """Return the beams of each of twelve sectors in which they are clear.

    Where a cloud was corrected for the motion of its vehicle, or turned or moved out of the frame of the
    sensor by a little, the elevation of a beam changes slowly along the turn. Over the whole turn its points
    scatter, or lie on two elevations; within a sector they do not.

    Args:
        azimuth_deg: [N], -180 to 180.
        elevation_deg: [N].
    """
    number = ((azimuth_deg + np.float32(180)) * np.float32(_SECTORS / 360.0)).astype(np.int64) % _SECTORS
    found = (beams_of(elevation_deg[number == sector]) for sector in range(_SECTORS))
    return [beams for beams in found if beams is not None]


def _separated(density: npt.NDArray[np.float64], peak: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the peaks between which the density falls; of those it does not, the highest stays."""
    chosen: List[int] = []
    for candidate in peak.tolist():
        if chosen:
            valley = float(density[chosen[-1] : candidate + 1].min())
            lower = float(min(density[chosen[-1]], density[candidate]))
            if valley > _VALLEY * lower or lower - valley < _SIGMAS * np.sqrt(lower):
                if density[candidate] > density[chosen[-1]]:
                    chosen[-1] = candidate
                continue
        chosen.append(candidate)
    return np.asarray(chosen, np.intp)
