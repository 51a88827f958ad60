"""Writes small SemanticKITTI directories."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits

RINGS = 64
ARCHITECTURE = Architecture("none", {}, (5, RINGS, 256), dense_logits(8))


def write_scans(directory: Path, sequences: tuple[str, ...] = ("00", "01", "08"), scans: int = 2) -> Path:
    """Write scans of a flat road (40) with a wall (50) on the left and a car (10) ahead."""
    for sequence in sequences:
        for kind in ("velodyne", "labels"):
            (directory / "sequences" / sequence / kind).mkdir(parents=True)
        for number in range(scans):
            points, labels = _scan(np.random.default_rng([int(sequence), number]))
            base = directory / "sequences" / sequence
            points.tofile(base / "velodyne" / f"{number:06d}.bin")
            labels.tofile(base / "labels" / f"{number:06d}.label")
    return directory


def _scan(rng: np.random.Generator, columns: int = 300) -> tuple[np.ndarray, np.ndarray]:
    elevation = np.radians(np.linspace(2.0, -24.0, RINGS))[:, None]
    azimuth = np.linspace(0.001, 2 * np.pi - 0.001, columns)[None, :]
    range_m = np.full((RINGS, columns), 50.0) + rng.normal(0, 0.1, (RINGS, columns))
    down = np.sin(elevation) < -0.05
    range_m = np.where(down, np.minimum(range_m, 1.7 / np.maximum(-np.sin(elevation), 0.01)), range_m)
    labels = np.where(np.broadcast_to(down, range_m.shape), 40, 0)
    wall = (azimuth > 1.0) & (azimuth < 2.0) & (range_m > 12)
    range_m, labels = np.where(wall, 12.0, range_m), np.where(wall, 50, labels)
    car = ((azimuth < 0.2) | (azimuth > 6.1)) & (range_m > 8) & (np.abs(elevation) < 0.15)
    range_m, labels = np.where(car, 8.0, range_m), np.where(car, 10, labels)
    x, y = (range_m * np.cos(elevation) * f(azimuth) for f in (np.cos, np.sin))
    remission = np.where(labels == 40, 0.25, 0.4) + 0.0 * range_m
    points = np.stack([x, y, range_m * np.sin(elevation), remission], axis=-1).reshape(-1, 4)
    instance = rng.integers(0, 5, labels.size).astype(np.uint32) << np.uint32(16)
    return points.astype(np.float32), labels.reshape(-1).astype(np.uint32) | instance
