"""Scans of every kind: of sensors, of nothing at all, and huge ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hwnas.data.sensors import Sensor
from tests.data.sensor_clouds import Turn, scan_of

Cloud = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32] | None]
"""Points [N, 3], intensity [N] in 0..1, and rings [N] if they are known."""

_TURNS = (
    Turn(dropped=0.05),
    Turn(order="any", dropped=0.2, seed=1),
    Turn(order="column", clockwise=True, sector_deg=200.0, seed=2),
)


def clouds_of(sensor: Sensor) -> Iterator[Cloud]:
    """Yield scans of a sensor with and without rings, and as a grid with holes."""
    for turn in _TURNS:
        points, ring = scan_of(sensor, turn)
        intensity = np.random.default_rng(turn.seed).random(len(points), dtype=np.float32)
        yield points, intensity, None
        yield points, intensity, ring if turn.order == "any" else np.int32(sensor.beams - 1) - ring
    points, _ = scan_of(sensor, Turn(order="column"))
    points[np.random.default_rng(3).random(len(points)) < 0.3] = 0.0
    yield points, np.full(len(points), 0.25, np.float32), None


def wild_cloud(seed: int) -> Cloud:
    """Return points of any distribution, some NaN, infinite, huge, tiny or at the origin, in any number."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([0, 1, 2, 15, 64, 900, 8193]))
    points = rng.normal(0.0, 1.0, (count, 3)) * 10.0 ** rng.uniform(-2, 2, (count, 1))
    if rng.random() < 0.3:  # few elevations
        points[:, 2] = np.hypot(points[:, 0], points[:, 1]) * np.tan(np.radians(rng.integers(-12, 3, count)))
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, 1e-30):
        points[rng.random((count, 3)) < 0.03] = value
    points[rng.random(count) < 0.1] = 0.0
    intensity = rng.random(count).astype(np.float32)
    intensity[rng.random(count) < 0.05] = rng.choice([0.0, 1.0])
    lowest = int(rng.integers(0, 2))
    ring = rng.integers(lowest, 16 + lowest, count, dtype=np.int32) if rng.random() < 0.5 else None
    with np.errstate(over="ignore"):
        return points.astype(np.float32), intensity, ring


def damaged_turn(sensor: Sensor, seed: int) -> Cloud:
    """Return a scan of a sensor, in any order and sector, with points that are missing, doubled, moved or unusable."""
    rng = np.random.default_rng(seed)
    turn = Turn(
        steps=int(rng.choice([8, 40, 120])),
        start_deg=rng.uniform(-180, 180),
        sector_deg=float(rng.choice([60.0, 180.0, 360.0, 370.0])),
        clockwise=bool(rng.random() < 0.5),
        bottom_first=bool(rng.random() < 0.5),
        order=str(rng.choice(["ring", "column", "any"])),
        dropped=float(rng.choice([0.0, 0.02, 0.4])),
        seed=seed,
    )
    points, ring = scan_of(sensor, turn)
    if rng.random() < 0.3:
        points += rng.normal(0.0, 0.02, points.shape).astype(np.float32)
    if rng.random() < 0.3:
        points[rng.random(len(points)) < 0.1] = rng.choice([0.0, np.nan, np.inf])
    if rng.random() < 0.2:
        place = np.sort(rng.integers(0, len(points), len(points)))
        points, ring = points[place], ring[place]
    if rng.random() < 0.5:
        ring = np.int32(sensor.beams - 1) - ring
    intensity = rng.random(len(points), dtype=np.float32)
    return points, intensity, ring if rng.random() < 0.4 else None


def random_cloud(sensor: Sensor, seed: int) -> Cloud:
    """Return a wild cloud, a damaged turn of the sensor or, once in 200, up to 200,000 points."""
    rng = np.random.default_rng(seed)
    share = rng.random()
    if share < 0.005:
        return huge_cloud(int(rng.integers(100_000, 200_001)), seed)
    return wild_cloud(seed) if share < 0.6 else damaged_turn(sensor, seed)


def huge_cloud(count: int = 200_000, seed: int = 0) -> Cloud:
    """Return 200,000 points in no order, a few per cent of them unusable."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0.0, 20.0, (count, 3)).astype(np.float32)
    points[:, 2] *= 0.1
    points[rng.random(len(points)) < 0.03] = np.nan
    return points, rng.random(len(points), dtype=np.float32), None
