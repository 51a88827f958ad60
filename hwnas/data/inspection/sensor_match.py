"""Which sensor table fits the beams that were found in scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.data.sensors import Sensor, load_sensor, sensor_names

# Beams of one unit differ from the data sheet by a fraction of their spacing.
_SPACING_SHARE, _LEAST_TOLERANCE_DEG = 0.5, 0.25
_FITS, _CLEARLY_BETTER = 0.75, 0.15
_EDGE_TOLERANCE_DEG = 3.0
# Of the beams that were found, this many lie near one of the table; a stray ring or two may not.
_EXPLAINED, _MISCOUNTED, _MISCOUNTED_SHARE = 0.85, 1, 0.05
# Beams above the horizon often meet nothing but sky.
_BELOW_HORIZON_DEG = -1.0


@dataclass(frozen=True)
class SensorMatch:
    """How well a sensor's table fits.

    Attributes:
        sensor: name.
        score: 0 (not at all) to 1: the share of found beams near one of the table, times the share of the
            table's beams that were found.
        explained: share of the found beams that are near one of the table, each beam of the table once;
            1 where no beams are known.
        num_missing: found beams that the table has no beam for, by their number alone; those that may be
            miscounted are left out.
    """

    sensor: str
    score: float
    explained: float = 1.0
    num_missing: int = 0

    @property
    def fits(self) -> bool:
        """Whether the scans may well come from this sensor."""
        return self.score >= _FITS and not self.is_contradicted

    @property
    def is_contradicted(self) -> bool:
        """Whether beams were found that this sensor does not have."""
        return self.explained < _EXPLAINED or self.num_missing > 0


def match_sensors(
    beams_deg: Sequence[float],
    elevation_deg: FloatArray,
    *,
    are_given: bool,
    own: tuple[str, Sensor] | None = None,
) -> tuple[SensorMatch, ...]:
    """Return all rotating sensors that we know, the best match first.

    Args:
        beams_deg: elevation of every beam that was found, top first; empty where only the edges are known.
        elevation_deg: [N] elevations of points, which count where no beams are known.
        are_given: whether the rings are known, so that `beams_deg` holds every beam with a return.
        own: name and table of the data set's sensor, which may be one that does not come with hwnas.
    """
    matches = []
    tables = {name: load_sensor(name) for name in sensor_names()}
    if own is not None:
        tables[own[0]] = own[1]
    for name, sensor in tables.items():
        if not sensor.is_rotating:
            continue  # no beams to compare with
        if beams_deg:
            matches.append(_match(name, np.asarray(beams_deg), sensor, are_given=are_given))
        else:
            matches.append(SensorMatch(name, _score_of_points(elevation_deg, sensor)))
    return tuple(sorted(matches, key=lambda match: (not match.fits, -match.score, match.sensor)))


def better_than(matches: Sequence[SensorMatch], sensor: str) -> SensorMatch | None:
    """Return the best match if it fits and is clearly better than the one of `sensor`."""
    own = next(
        (match.score for match in matches if match.sensor == sensor and not match.is_contradicted), 0.0
    )
    best = matches[0]
    return best if best.sensor != sensor and best.fits and best.score > own + _CLEARLY_BETTER else None


def _match(name: str, found: npt.NDArray[np.float64], sensor: Sensor, *, are_given: bool) -> SensorMatch:
    table = np.asarray(sensor.elevation_deg)
    gaps = np.abs(np.diff(table))
    spacing = np.minimum(np.append(gaps, gaps[-1]), np.insert(gaps, 0, gaps[0]))
    tolerance = np.maximum(_SPACING_SHARE * spacing, _LEAST_TOLERANCE_DEG)
    apart = np.abs(found[:, None] - table[None, :])
    nearest = apart.argmin(axis=1)
    is_near = apart[np.arange(len(found)), nearest] <= tolerance[nearest]
    # Every beam of the table can be found once: a denser sensor does not fit a sparser table.
    num_matched = len(np.unique(nearest[is_near]))
    # Beams at the edge may see nothing but sky or the vehicle; found between others they must be.
    inside = (table >= found.min() - tolerance) & (table <= found.max() + tolerance)
    num_expected = max(int(inside.sum()), int((0.8 if are_given else 0.5) * len(table)))
    explained = num_matched / len(found)
    score = float(explained * min(1.0, num_matched / num_expected))
    surplus = len(found) - len(table)
    is_miscount = surplus <= max(_MISCOUNTED, int(_MISCOUNTED_SHARE * len(table)))
    return SensorMatch(name, score, float(explained), 0 if is_miscount else surplus)


def _score_of_points(elevation_deg: FloatArray, sensor: Sensor) -> float:
    """Compare edges, and how many points lie around each beam: all beams fire equally often."""
    low, high = np.percentile(elevation_deg, (0.5, 99.5))
    table = np.sort(sensor.elevation_deg)
    # Points may end short of the edges, where the sky or the vehicle is, but not beyond them.
    error = max(high - table[-1], table[0] - low, 0.3 * (table[-1] - high), 0.3 * (low - table[0]))
    edges = np.clip(1.0 - 0.25 * error / _EDGE_TOLERANCE_DEG, 0.0, 1.0)
    share = np.histogram(elevation_deg, np.concatenate([[-90], 0.5 * (table[1:] + table[:-1]), [90]]))[0]
    below = share[table < _BELOW_HORIZON_DEG] * len(table) / len(elevation_deg)
    if len(below) < 2:
        return float(0.5 * edges)
    unevenness = float(np.std(np.log(np.maximum(below, 0.02))))
    return float(edges * (1.0 - 0.5 * min(1.0, unevenness)))
