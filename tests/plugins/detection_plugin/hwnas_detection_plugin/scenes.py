"""Generated sweeps: ground, posts, and cars as the outlines that a sensor sees of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HALF_M = 16.0
"""A sweep covers this far to each side of the sensor, metres."""

FloatArray = npt.NDArray[np.float32]


def scene(seed: int, index: int) -> tuple[FloatArray, FloatArray]:
    """Return sweep `index` of a seed: points [N, 3] and cars [M, 4] (x, y, length, width), metres."""
    rng = np.random.default_rng([seed, index])
    ground = np.column_stack([rng.uniform(-HALF_M, HALF_M, (900, 2)), rng.normal(-1.7, 0.03, 900)])
    posts = np.column_stack([np.repeat(rng.uniform(-15, 15, (6, 2)), 12, axis=0), rng.uniform(-1.7, 1.0, 72)])
    cars: list[tuple[float, ...]] = []
    for _ in range(60):
        x, y = rng.uniform(-12, 12, 2)
        if len(cars) < 4 and all(np.hypot(x - each[0], y - each[1]) > 6.0 for each in cars):
            cars.append((x, y, rng.uniform(3.6, 4.8), rng.uniform(1.7, 2.0)))
    points = [ground, posts, *(_outline(car, rng) for car in cars)]
    return np.concatenate(points).astype(np.float32), np.array(cars, np.float32).reshape(-1, 4)


def _outline(car: tuple[float, ...], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return points on the four sides of a car."""
    x, y, length, width = car
    along, across = rng.uniform(-0.5, 0.5, (2, 160))
    side = rng.integers(0, 4, 160)
    dx = np.where(side < 2, along, np.where(side == 2, 0.5, -0.5)) * length
    dy = np.where(side >= 2, across, np.where(side == 0, 0.5, -0.5)) * width
    return np.column_stack([x + dx, y + dy, rng.uniform(-1.4, -0.2, 160)])
