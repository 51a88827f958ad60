"""Made-up scans of standing things on a plane, seen by any sensor from any place: quick, with known geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml

from hwnas.data.scan_files.frames import Coordinates, axes_of_frame
from hwnas.data.sensors import COUNTER_CLOCKWISE, Sensor, load_sensor

ROAD, BUILDING = 40, 50
Transform = Callable[[np.ndarray, int], np.ndarray]


def scan_of_scene(
    sensor: Sensor, *, seed: int = 0, x_m: float = 0.0, steps: int = 400, height_m: float = 1.8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points [N, 3] in the sensor's frame, ring by ring, their rings and raw labels.

    Each ring runs round the sensor as that turns.

    Args:
        sensor: its beams are cast.
        seed: decides the things that stand around, the same for all places.
        x_m: how far the sensor has driven.
        steps: firings per turn.
        height_m: of the sensor above the ground.
    """
    rng = np.random.default_rng(seed)
    elevation = np.repeat(np.radians(sensor.elevation_deg), steps)
    ring = np.repeat(np.arange(sensor.beams), steps)
    sense = 1 if sensor.rotation == COUNTER_CLOCKWISE else -1
    azimuth = np.tile(sense * (np.arange(steps) + 0.5) / steps * 2 * np.pi, sensor.beams)
    direction = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    with np.errstate(divide="ignore"):
        flat = np.where(elevation < 0, height_m / np.tan(np.maximum(-elevation, 1e-9)), np.inf)
    labels = np.full(len(flat), ROAD)
    for _ in range(60):  # cylinders: trees, cars and houses as far as a LiDAR is concerned
        side = rng.choice([-1.0, 1.0])
        centre = np.array([rng.uniform(-70, 90) - x_m, side * rng.uniform(6, 40)])
        radius, top = rng.uniform(0.3, 4.0), rng.uniform(0.5, 14.0)
        along = direction @ centre
        across = centre @ centre - along**2
        reach = along - np.sqrt(np.maximum(radius**2 - across, 0))
        height = height_m + reach * np.tan(elevation)
        hit = (across < radius**2) & (along > 0) & (reach < flat) & (height > 0) & (height < top)
        flat[hit], labels[hit] = reach[hit], BUILDING
    seen = (flat / np.cos(elevation) < 90) & (rng.random(len(flat)) > 0.05)
    flat, elevation, direction = flat[seen], elevation[seen], direction[seen]
    flat = flat + rng.normal(0, 0.01, len(flat))
    points = np.column_stack([direction * flat[:, None], flat * np.tan(elevation)])
    return points.astype(np.float32), ring[seen].astype(np.int32), labels[seen].astype(np.uint32)


def in_file(points: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    """Return points of the sensor's frame as a file of these coordinates holds them."""
    columns, signs = axes_of_frame(coordinates.frame)
    axes = np.empty(points.shape, np.float64)
    axes[:, columns] = points * np.asarray(signs)
    return (axes + np.asarray(coordinates.origin_m)) / coordinates.unit_m


def write_scenes(
    root: Path,
    sensor: str = "hdl-64e",
    *,
    seed: int = 0,
    sequences: int = 2,
    scans: int = 2,
    steps: int = 400,
    transform: Transform = lambda points, number: points,
    intensity: Callable[[np.ndarray], np.ndarray] = lambda points: np.linspace(0, 0.98, len(points)),
    labels: Callable[[np.ndarray], np.ndarray] = lambda raw: raw,
    config: Mapping[str, object] | None = None,
) -> Path:
    """Write a data set in SemanticKITTI's layout; the sensor drives 3 m between scans of a sequence."""
    table = load_sensor(sensor)
    for sequence in range(sequences):
        for number in range(scans):
            points, _, raw = scan_of_scene(table, seed=100 * seed + sequence, x_m=3.0 * number, steps=steps)
            base = root / "sequences" / f"{sequence:02d}"
            for part in ("velodyne", "labels"):
                (base / part).mkdir(parents=True, exist_ok=True)
            values = np.column_stack([transform(points, number), intensity(points)])
            values.astype("<f4").tofile(base / "velodyne" / f"{number:06d}.bin")
            labels(raw).astype("<u4").tofile(base / "labels" / f"{number:06d}.label")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"sensor": sensor, **(config or {})}))
    return root
