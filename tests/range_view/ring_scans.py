"""Scans that tests of rings and rows share, and the rows that they get."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.sensor_clouds import Turn, scan_of, scan_of_beams

ROTATING = [name for name in sensor_names() if load_sensor(name).is_rotating]
turns = st.builds(
    Turn,
    steps=st.integers(40, 120),
    start_deg=st.floats(-180, 180),
    sector_deg=st.floats(60, 360),
    clockwise=st.booleans(),
    bottom_first=st.booleans(),
    order=st.sampled_from(["ring", "ring", "column", "any"]),
    dropped=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)


def blurred(points: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Lift points [N, 3] like lasers that do not sit in one spot: the nearer, the more."""
    rng = np.random.default_rng(seed)
    return points + np.outer(rng.uniform(-share, share, len(points)), [0, 0, 1]).astype(np.float32)


def lifted(name: str, turn: Turn) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan in a frame that is tilted by two degrees, so that elevations of beams overlap."""
    points, beam = scan_of(load_sensor(name), turn)
    angle = np.radians(2.0)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (points @ rotation.T).astype(np.float32), beam


def row_of(
    points: np.ndarray, ring: np.ndarray | None, height: int, name: str = "", **fov: float
) -> tuple[np.ndarray, str]:
    table = load_sensor(name).elevation_deg if name else None
    spec = ProjectionSpec(height, 512, "ring", beams_deg=table, **fov)
    image = project(points, np.zeros(len(points), np.float32), spec, ring)
    return image.row, image.method


NUMBERINGS = {
    "from the top": lambda beam, count: beam,
    "from the bottom": lambda beam, count: count - 1 - beam,
    "from one": lambda beam, count: beam + 1,
    "from one at the bottom": lambda beam, count: count - beam,
    "with gaps": lambda beam, count: 2 * beam,
    "with gaps from the bottom": lambda beam, count: 3 * (count - 1 - beam) + 7,
}


def narrow_scan(first: int, parts: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return 40 degrees of an HDL-32E whose elevations scatter, and the beam of each point.

    Args:
        first: a beam that sees something only up to one part of the sector; the next one only from another on.
        parts: these two, 0..1.
    """
    sensor = load_sensor("hdl-32e")
    points, beam = scan_of_beams(sensor.elevation_deg, (0.0,) * 32, Turn(sector_deg=40.0, start_deg=50.0))
    along = (np.degrees(np.arctan2(points[:, 1], points[:, 0])) - 50.0) / 40.0
    hidden = ((beam == first) & (along > parts[0])) | ((beam == first + 1) & (along < parts[1]))
    points, beam = points[~hidden], beam[~hidden]
    # Some points are seen under another angle than that of their beam, so that elevations tell no groups.
    rng = np.random.default_rng(0)
    lift = np.where(rng.random(len(points)) < 0.1, rng.uniform(0.0, 0.02, len(points)), 0.0)
    points[:, 2] += (np.linalg.norm(points, axis=1) * lift).astype(np.float32)
    return points, beam
