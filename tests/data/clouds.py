"""Made-up scans with known rings, for the tests of reading and projection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def ring_ordered_cloud(num_rings: int, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points [N, 3] ring by ring, top ring first, and their rings [N]."""
    rng = np.random.default_rng(seed)
    elevation = np.radians(np.linspace(2.0, -24.0, num_rings))
    azimuth = (np.arange(steps) + 0.5) / steps * 2 * np.pi
    ring, step = np.divmod(np.arange(num_rings * steps), steps)
    distance = rng.uniform(3.0, 60.0, len(ring))
    horizontal = distance * np.cos(elevation[ring])
    points = np.stack(
        [
            horizontal * np.cos(azimuth[step]),
            horizontal * np.sin(azimuth[step]),
            distance * np.sin(elevation[ring]),
        ],
        axis=1,
    )
    return points.astype(np.float32), ring.astype(np.int32)


def sector_with_strays(
    strays_deg: Sequence[float], begin_deg: float, end_deg: float, rings: int = 8, steps: int = 1200
) -> tuple[np.ndarray, np.ndarray]:
    """Rings of a sector, top first, and before them single points at some azimuths: points and their beams.

    The first point lies at 0 degrees, from where the strays go back and forth.
    """
    alone_deg = np.array([0.0, *strays_deg])
    azimuth = np.radians(np.concatenate([alone_deg, np.tile(np.linspace(begin_deg, end_deg, steps), rings)]))
    beam = np.concatenate([np.zeros(len(alone_deg), int), np.repeat(np.arange(rings), steps)])
    # Over the sector, elevations change by more than from beam to beam: only the order tells these apart.
    elevation = np.radians(2.0 - 2.0 * beam + 4.0 * np.cos(azimuth))
    directions = [
        np.cos(elevation) * np.cos(azimuth),
        np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
    ]
    return (20.0 * np.stack(directions, axis=1)).astype(np.float32), beam.astype(np.int32)


def write_scan(
    root: Path,
    sequence: str,
    name: str,
    points: np.ndarray,
    remission: np.ndarray,
    raw_labels: np.ndarray | None,
) -> tuple[Path, Path]:
    """Write a scan in SemanticKITTI's layout; return the paths of the scan and of its labels."""
    scan = root / "sequences" / sequence / "velodyne" / f"{name}.bin"
    label = root / "sequences" / sequence / "labels" / f"{name}.label"
    scan.parent.mkdir(parents=True, exist_ok=True)
    np.column_stack([points, remission]).astype("<f4").tofile(scan)
    if raw_labels is not None:
        label.parent.mkdir(parents=True, exist_ok=True)
        raw_labels.astype("<u4").tofile(label)
    return scan, label


def write_dataset(root: Path, sequences: tuple[str, ...] = ("00", "01", "08"), scans: int = 2) -> Path:
    """Write a small SemanticKITTI directory with road, car and unlabelled points; return its path."""
    for number, sequence in enumerate(sequences):
        for index in range(scans):
            points, _ = ring_ordered_cloud(16, 60, seed=10 * number + index)
            raw = np.array([40, 10, 252 | (7 << 16), 0], np.uint32)[np.arange(len(points)) % 4]
            remission = np.linspace(0.0, 0.99, len(points))
            write_scan(root, sequence, f"{index:06d}", points, remission, raw)
    return root
