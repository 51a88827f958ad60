"""What a point cloud says about the sensor that took it: coverage, beams, mounting, unit, sense of the turn.

Everything here follows from the geometry of the points, never from their number, so that a part of a turn or
a thinned scan reads like the whole one. Large clouds are sampled; a scan of 120,000 points takes a few
milliseconds.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray, IntArray
from hwnas.data.geometry.beams import Beams as Beams  # noqa: PLC0414 - part of this API
from hwnas.data.geometry.beams import beams_by_sector
from hwnas.data.geometry.beams import beams_of as beams_of  # noqa: PLC0414
from hwnas.data.geometry.beams import beams_of_rings as beams_of_rings  # noqa: PLC0414
from hwnas.data.geometry.ground_plane import Ground as Ground  # noqa: PLC0414
from hwnas.data.geometry.ground_plane import ground_of as ground_of  # noqa: PLC0414
from hwnas.data.geometry.sampling import sample as sample  # noqa: PLC0414
from hwnas.range_view.angles import angle_of, ground_distance_of, is_valid_range, range_of

ELEVATION_PERCENTS = (0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5)
"""Of `CloudGeometry.elevation_deg`, from the bottom up."""
RANGE_PERCENTS = (5.0, 50.0, 95.0, 99.0)
"""Of `CloudGeometry.range_quantiles`."""
BY_RING, BY_COLUMN = "ring-by-ring", "column-by-column"
"""Values of `Turn.order`: all points of one ring after the other, or all of one azimuth."""

_FEWEST_FOR_QUANTILES = 8
_AZIMUTH_BINS = 180
NEAR_FACTOR = 0.1
"""Of the median range: what is nearer may be seen under another angle than that of its beam."""
_LEAST_BEYOND = 0.25
_SECTOR_STRIDE_DEG = 30
_FEWEST_IN_SECTOR = 64
_SECTOR_SAMPLES, _FEWEST_SECTORS, _FEWEST_IN_PATTERN = 65_536, 2, 12
_DEG = np.float32(180.0 / np.pi)
# A turn counts as seen one way if, of ten steps along it, this share of the surplus goes that way.
_CLEAR_TURN = 0.5
_RING_BY_RING_SURPLUS = 0.7
_SAME_RING_SHARE = 0.5
_RINGS_FOR_TURN = 6
_TURN_SAMPLES = 2048
# Of a turn: 4 degrees, and 15, the largest azimuth that beams of one firing are known to lie apart.
_COLUMN_LAGS = (90, 24)
_LONGEST_STEP = 2.0
_FEWEST_STEPS = 16
_FEWEST_TIMES = 64

UNITS = {"metres": 1.0, "feet": 3.28084, "centimetres": 100.0, "inches": 39.3701, "millimetres": 1000.0}
"""How many of a unit are one metre."""


@dataclass(frozen=True)
class Turn:
    """How the order (or the times) of the points runs around the sensor.

    Attributes:
        is_left: whether azimuth grows, which is counter-clockwise seen from above.
        order: `BY_RING` or `BY_COLUMN`.
    """

    is_left: bool
    order: str


@dataclass(frozen=True)
class SectorPattern:
    """How beams lie in narrow sectors, in which they show even in a cloud that is not in its sensor's frame.

    Unlike their elevations it hardly changes where a cloud was tilted, moved out of the frame of the sensor
    by a little or corrected for the motion of its vehicle.

    Attributes:
        spacing_deg: median distance between neighbouring beams.
        most: beams of the sector that has the second most of all: in one a beam may be seen twice.
    """

    spacing_deg: float
    most: int


@dataclass(frozen=True)
class CloudGeometry:
    """What a cloud of N points looks like.

    Attributes:
        num_points: N.
        not_finite: share of points with a coordinate that is NaN or infinite, 0..1.
        no_return: share of points at the origin, 0..1.
        azimuth_coverage: share of the turn in which points lie, 0..1.
        elevation_deg: quantiles at `ELEVATION_PERCENTS`; None for fewer than 8 points with a direction.
        range_quantiles: quantiles at `RANGE_PERCENTS`, in the unit of the points; None for fewer than 8.
        beams: None where they cannot be found.
        ground: None where there is no plane that could be it.
        turn: as the order of the points shows it; None where it does not.
        is_left_in_time: whether azimuth grows along the times of the points; None where they do not tell.
    """

    num_points: int
    not_finite: float
    no_return: float
    azimuth_coverage: float
    elevation_deg: Optional[Tuple[float, ...]]
    range_quantiles: Optional[Tuple[float, ...]]
    beams: Optional[Beams]
    ground: Optional[Ground]
    turn: Optional[Turn]
    is_left_in_time: Optional[bool] = None


def geometry_of(
    points: FloatArray, ring: Optional[IntArray] = None, time: Optional[npt.NDArray[np.float64]] = None
) -> CloudGeometry:
    """Describe a cloud.

    Args:
        points: [N, 3]; x forward, y left, z up. Points without a direction are counted and left out.
        ring: [N] beam of each point as given or recovered, in any numbering; -1 where unknown.
        time: [N] when each point was measured, in any unit.
    """
    range_ = range_of(points)
    is_finite = np.isfinite(range_)
    keep = is_valid_range(range_)
    count = len(points)
    num_finite, num_kept = int(np.count_nonzero(is_finite)), int(np.count_nonzero(keep))
    if num_kept < count:
        points = points[keep]
        ring = None if ring is None else ring[keep]
        time = None if time is None else time[keep]
    found = geometry_of_usable(points, ring, time)
    return replace(
        found,
        num_points=count,
        not_finite=(count - num_finite) / max(1, count),
        no_return=(num_finite - num_kept) / max(1, count),
    )


def geometry_of_usable(
    points: FloatArray,
    ring: Optional[IntArray] = None,
    time: Optional[npt.NDArray[np.float64]] = None,
    near_m: float = 0.0,
) -> CloudGeometry:
    """Describe a cloud whose points all have a direction; see `geometry_of`, and `is_far` for `near_m`."""
    chosen = sample(len(points))
    some = points[chosen]
    range_ = range_of(some)
    far = is_far(range_, near_m)
    elevation, elevation_ring = elevation_of(some[far]), None if ring is None else ring[chosen][far]
    in_time = None if time is None or not _is_telling(time) else turn_of(points, ring, time)
    has_quantiles = len(some) >= _FEWEST_FOR_QUANTILES
    return CloudGeometry(
        num_points=len(points),
        not_finite=0.0,
        no_return=0.0,
        azimuth_coverage=azimuth_coverage(some),
        elevation_deg=quantiles(elevation, ELEVATION_PERCENTS) if has_quantiles else None,
        range_quantiles=quantiles(range_, RANGE_PERCENTS) if has_quantiles else None,
        beams=beams_of(elevation) if elevation_ring is None else beams_of_rings(elevation, elevation_ring),
        ground=ground_of(some),
        turn=turn_of(points, ring),
        is_left_in_time=None if in_time is None else in_time.is_left,
    )


def is_far(range_: FloatArray, near_m: float = 0.0) -> npt.NDArray[np.bool_]:
    """Return for ranges [N] whether the elevation of the point is that of its beam.

    Beams do not start in one point, so that what is very near, such as the sensor's own vehicle, is seen
    under other angles. A tenth of the median range is the limit, whatever the unit.

    Args:
        range_: [N].
        near_m: the limit of other scans of the sensor, which counts where it is the larger one: a wall close
            by brings the median down to where the vehicle itself is. It does not count where hardly any
            point lies beyond, as in a cloud of another unit.
    """
    if not len(range_):
        return np.zeros(0, np.bool_)
    middle = np.partition(range_, len(range_) // 2)[len(range_) // 2]
    own = np.asarray(range_ > NEAR_FACTOR * middle)
    beyond = np.asarray(range_ > near_m)
    if np.count_nonzero(beyond) < _LEAST_BEYOND * len(range_):
        return own
    return np.asarray(own & beyond)


def elevation_of(points: FloatArray) -> FloatArray:
    """Return the elevations [N] of points [N, 3] in degrees, -90 to 90."""
    return np.asarray(angle_of(points[:, 2], ground_distance_of(points)) * _DEG, np.float32)


def precise_elevation_of(points: FloatArray) -> npt.NDArray[np.float64]:
    """Return elevations as `elevation_of` does, in float64: for fields of view, which are recorded."""
    values = points.astype(np.float64)
    return np.degrees(np.arctan2(values[:, 2], np.hypot(values[:, 0], values[:, 1])))


def azimuth_of(points: FloatArray) -> FloatArray:
    """Return the azimuths [N] of points [N, 3] in degrees, -180 to 180; left is positive."""
    return np.asarray(angle_of(points[:, 1], points[:, 0]) * _DEG, np.float32)


def azimuth_coverage(points: FloatArray) -> float:
    """Return the share of the turn in which points [N, 3] lie, 0..1."""
    if not len(points):
        return 0.0
    # Bins that a whole turn of so few points would surely fill.
    bins = int(np.clip(len(points) // 8, 4, _AZIMUTH_BINS))
    number = ((azimuth_of(points) + np.float32(180)) * np.float32(bins / 360.0)).astype(np.int64) % bins
    return float(np.count_nonzero(np.bincount(number, minlength=bins)) / bins)


def sector_edges_deg(points: FloatArray, width_deg: float) -> Optional[Tuple[float, float]]:
    """Return how far the view of any sector of some width reaches at least, down and up, in degrees.

    Args:
        points: [N, 3], all with a direction.
        width_deg: of the sectors, which begin every 30 degrees.

    Returns:
        The highest lower edge and the lowest upper edge of the sectors (0.5th and 99.5th percentile of the
        elevation); None if no sector holds enough points.
    """
    some = points[sample(len(points))]
    some = some[is_far(range_of(some))]
    azimuth, elevation = azimuth_of(some), elevation_of(some)
    edges = []
    for start in range(0, 360, _SECTOR_STRIDE_DEG):
        inside = elevation[(azimuth - np.float32(start)) % np.float32(360) < width_deg]
        if len(inside) >= _FEWEST_IN_SECTOR:
            edges.append(quantiles(inside, (0.5, 99.5)))
    return (max(low for low, _ in edges), min(high for _, high in edges)) if edges else None


def quantiles(values: FloatArray, percents: Tuple[float, ...]) -> Tuple[float, ...]:
    """Return percentiles of values [N], N > 0, as Python numbers."""
    ordered = np.sort(values)
    where = np.asarray(percents) / 100.0 * (len(ordered) - 1)
    return tuple(float(value) for value in np.interp(where, np.arange(len(ordered)), ordered))


def sector_beams(points: FloatArray, near_m: float = 0.0) -> List[Beams]:
    """Return the beams of each sector of points [N, 3] that shows them clearly; see `beams_by_sector`."""
    some = points[sample(len(points), _SECTOR_SAMPLES)]
    some = some[is_far(range_of(some), near_m)]
    return beams_by_sector(azimuth_of(some), elevation_of(some))


def sector_pattern(points: FloatArray, near_m: float = 0.0) -> Optional[SectorPattern]:
    """Return how beams lie in the sectors that show many of them; None where there are not two.

    Args:
        points: [N, 3], all with a direction.
        near_m: see `is_far`.
    """
    sectors = [beams for beams in sector_beams(points, near_m) if len(beams.num_points) >= _FEWEST_IN_PATTERN]
    if len(sectors) < _FEWEST_SECTORS:
        return None
    steps = np.concatenate([-np.diff(beams.elevation_deg) for beams in sectors])
    return SectorPattern(float(np.median(steps)), sorted(len(beams.num_points) for beams in sectors)[-2])


# Sense of the turn ------------------------------------------------------------------------------------------


def turn_of(
    points: FloatArray, ring: Optional[IntArray] = None, time: Optional[npt.NDArray[np.float64]] = None
) -> Optional[Turn]:
    """Return which way round the points follow each other; None where they do not, or too few do.

    Args:
        points: [N, 3], all with a direction.
        ring: [N] beam of each point, if it is known; -1 where unknown.
        time: [N] when each was measured; replaces their order.
    """
    if len(points) <= _FEWEST_STEPS:
        return None
    if time is not None:
        order = np.argsort(time, kind="stable")
        points, ring = points[order], None if ring is None else ring[order]
    here = sample(len(points) - 1, _TURN_SAMPLES)
    if ring is not None:
        same = here[ring[here] == ring[here + 1]]
        if len(same) < _SAME_RING_SHARE * len(here):
            return _turn(_steps_along_rings(points, ring), BY_COLUMN)
        here = same
    single = _turn(_step(points, here, 1), BY_RING, _RING_BY_RING_SURPLUS)
    if single is not None or ring is not None:
        return single
    # Points of one column differ little in azimuth, and either way; a few degrees on, the turn shows.
    for part in _COLUMN_LAGS:
        lag = max(1, len(points) // part)
        steps = _step(points, here[here + lag < len(points)], lag)
        found = _turn(steps, BY_COLUMN)
        if found is not None and abs(float(np.median(steps))) <= _LONGEST_STEP * 360.0 / part:
            return found
    return None


def _is_telling(time: npt.NDArray[np.float64]) -> bool:
    """Return whether times [N] are more than one for the whole scan, or one for each of a few turns."""
    return bool(np.isfinite(time).all()) and len(np.unique(time[sample(len(time))])) >= _FEWEST_TIMES


def _turn(steps: FloatArray, order: str, least_surplus: float = _CLEAR_TURN) -> Optional[Turn]:
    if len(steps) < _FEWEST_STEPS:
        return None
    surplus = float(np.mean(np.sign(steps)))
    return Turn(surplus > 0, order) if abs(surplus) >= least_surplus else None


def _step(points: FloatArray, here: npt.NDArray[np.intp], lag: int) -> FloatArray:
    return _wrapped(azimuth_of(points[here + lag]) - azimuth_of(points[here]))


def _steps_along_rings(points: FloatArray, ring: IntArray) -> FloatArray:
    """Return the steps of azimuth, in degrees, along some rings."""
    present = np.unique(ring[sample(len(ring), _TURN_SAMPLES)])
    present = present[present >= 0]
    if not len(present):
        return np.zeros(0, np.float32)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, _RINGS_FOR_TURN).astype(int))]
    steps = [_wrapped(np.diff(azimuth_of(points[np.flatnonzero(ring == number)]))) for number in chosen]
    return np.concatenate(steps)


def _wrapped(step: FloatArray) -> FloatArray:
    return np.asarray((step + np.float32(180)) % np.float32(360) - np.float32(180), np.float32)


# Unit -------------------------------------------------------------------------------------------------------


_UNIT_TOLERANCE = 0.3


def unit_of(found: float, expected_m: float) -> Optional[str]:
    """Return the unit that a length seems to be in (see `UNITS`); None if none explains it to 30 percent.

    Args:
        found: the length in the unknown unit, such as a sensor's height above the ground.
        expected_m: what it should be, in metres.
    """
    if found <= 0 or expected_m <= 0:
        return None
    errors = {unit: abs(found / scale / expected_m - 1.0) for unit, scale in UNITS.items()}
    unit = min(errors, key=lambda name: errors[name])
    return unit if errors[unit] <= _UNIT_TOLERANCE else None
