"""Scans of sensors from their tables, in any order, direction, sector and start, with points missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwnas.data.sensors import Sensor


class Turn(NamedTuple):
    """How a scan was taken.

    Attributes:
        steps: firings of each beam.
        start_deg: azimuth at which it begins, 0 ahead, positive to the left.
        sector_deg: how far the sensor turns.
        clockwise: seen from above.
        bottom_first: whether rings, or the points of a column, begin at the bottom.
        order: `ring`, `column` or `any`.
        dropped: share of the points that are missing.
        seed: of all that is random.
    """

    steps: int = 120
    start_deg: float = 0.0
    sector_deg: float = 360.0
    clockwise: bool = False
    bottom_first: bool = False
    order: str = "ring"
    dropped: float = 0.0
    seed: int = 0


def scan_of(sensor: Sensor, turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """Return points [N, 3] and the beam of each [N], 0 = top."""
    return scan_of_beams(sensor.elevation_deg, sensor.azimuth_offset_deg, turn)


def scan_of_beams(
    elevation_deg: tuple[float, ...], azimuth_offset_deg: tuple[float, ...], turn: Turn
) -> tuple[np.ndarray, np.ndarray]:
    """Return points [N, 3] and the beam of each [N], for a table of beams."""
    rng = np.random.default_rng(turn.seed)
    beam, step = np.divmod(np.arange(len(elevation_deg) * turn.steps), turn.steps)
    offset = np.asarray(azimuth_offset_deg)[beam]
    sense = -1.0 if turn.clockwise else 1.0
    azimuth = np.radians(turn.start_deg + sense * (step + 0.5) * turn.sector_deg / turn.steps + offset)
    elevation = np.radians(np.asarray(elevation_deg)[beam])
    distance = rng.uniform(2.0, 60.0, len(beam))
    flat = distance * np.cos(elevation)
    points = np.stack(
        [flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], axis=1
    ).astype(np.float32)
    outer = -beam if turn.bottom_first else beam
    place = {
        "ring": np.lexsort((step, outer)),
        "column": np.lexsort((outer, step)),
        "any": rng.permutation(len(beam)),
    }[turn.order]
    place = place[rng.random(len(place)) >= turn.dropped]
    return points[place], beam[place].astype(np.int32)
