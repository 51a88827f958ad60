"""Trees, bushes and hedges: foliage is many small loose triangles, so that rays pass it partly."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Mesh, Triangles, join, surface, tube


def leaves(rng: Generator, centres: NDArray[np.float64], size: float) -> Triangles:
    """Return one randomly turned triangle of about `size` metres edge at each centre [N, 3]."""
    shape = rng.normal(0, 1, (len(centres), 3, 3))
    shape -= shape.mean(axis=1, keepdims=True)
    return np.asarray(centres[:, None] + shape * (0.5 * size), np.float32)


def _clumps(
    rng: Generator, count: int, radii: Tuple[float, float, float], clump: float
) -> NDArray[np.float64]:
    """Return points [count, 3] gathered round clump centres that fill an ellipsoid, denser near its skin."""
    number = max(6, count // 60)
    direction = rng.normal(0, 1, (number, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centre = direction * rng.uniform(0.3, 1.0, (number, 1)) ** 0.6 * np.array(radii)
    member = rng.integers(0, number, count)
    return np.asarray(centre[member] + rng.normal(0, clump, (count, 3)))


def broadleaf(rng: Generator, *, detail: float = 1.0) -> Mesh:
    """Return a broad-leaved tree 5..14 m tall with a forked trunk.

    Args:
        rng: source of its shape.
        detail: share of the leaves; fewer leaves are drawn larger, for trees far away.
    """
    height = float(rng.uniform(5, 14))
    clear = float(rng.uniform(0.9, 2.8))
    radius = float(np.clip(rng.normal(0.017, 0.004) * height, 0.06, 0.35))
    crown = (float(rng.uniform(0.22, 0.36)) * height,) * 2 + ((height - clear) / 2,)
    lean = rng.normal(0, 0.03, 2) * height
    fork = np.array([lean[0] * 0.4, lean[1] * 0.4, clear + 0.25 * (height - clear)])
    wood = [tube((0, 0, -0.4), fork, radius * 1.15, radius * 0.7, sides=9)]
    for turn in rng.uniform(0, 2 * np.pi, 4):
        spread = np.array([np.cos(turn), np.sin(turn)]) * crown[0] * 0.6
        reach = fork + np.append(spread, 0.3 * (height - clear))
        wood.append(tube(fork - [0, 0, 0.2], reach, radius * 0.5, radius * 0.15, sides=5))
    volume = 4 / 3 * np.pi * crown[0] * crown[1] * crown[2]
    size = 0.2 / np.sqrt(detail)
    count = int(np.clip(volume * 46 * detail, 150, 7000))
    points = _clumps(rng, count, crown, 0.13 * crown[0] + 0.1)
    points += np.array([lean[0], lean[1], clear + crown[2]])
    # Young leaves hang down to the lower limit of the crown, not through it.
    points[:, 2] = np.where(points[:, 2] < clear * 0.8, 2 * clear * 0.8 - points[:, 2], points[:, 2])
    return join(
        [
            surface(np.concatenate(wood), classes.TRUNK, Material.BARK, float(rng.uniform(0.7, 1.3))),
            surface(
                leaves(rng, points, size), classes.VEGETATION, Material.LEAF, float(rng.uniform(0.75, 1.25))
            ),
        ]
    )


def conifer(rng: Generator, *, detail: float = 1.0) -> Mesh:
    """Return a conifer 6..16 m tall: a straight trunk in a cone of needles that starts near the ground."""
    height, spread = float(rng.uniform(6, 16)), float(rng.uniform(1.3, 2.6))
    count = int(np.clip(height * spread * spread * 50 * detail, 150, 5500))
    level = rng.uniform(0, 1, count) ** 1.6
    level = np.round(level * 14) / 14 + rng.normal(0, 0.015, count)
    turn, out = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.15, 1, count) ** 0.6
    reach = spread * (1.02 - level) * out
    points = np.column_stack(
        [reach * np.cos(turn), reach * np.sin(turn), 0.8 + (height - 0.8) * level - 0.25 * reach]
    )
    trunk = tube((0, 0, -0.4), (0, 0, height * 0.95), 0.016 * height, 0.02, sides=7)
    return join(
        [
            surface(trunk, classes.TRUNK, Material.BARK),
            surface(leaves(rng, points, 0.16 / np.sqrt(detail)), classes.VEGETATION, Material.LEAF, 0.9),
        ]
    )


def bush(rng: Generator) -> Mesh:
    """Return a bush 0.6..2.5 m tall that stands on the ground."""
    radii = (float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.5, 1.5)))
    count = int(np.clip(700 * radii[0] * radii[1] * radii[2], 200, 1100))
    points = _clumps(rng, count, radii, 0.15)
    points[:, 2] = np.abs(points[:, 2] + 0.5 * radii[2])
    return surface(leaves(rng, points, 0.13), classes.VEGETATION, Material.LEAF, float(rng.uniform(0.7, 1.3)))


def hedge(rng: Generator, length: float) -> Mesh:
    """Return a clipped hedge along x from 0 to `length` metres, 0.9..2 m tall."""
    height, width = float(rng.uniform(0.9, 2.0)), float(rng.uniform(0.5, 0.9))
    count = int(length * height * 190)
    points = rng.uniform([0, -0.5, 0], [length, 0.5, height], (count, 3)) * [1, width, 1]
    # Clipped hedges are dense at their faces.
    face = rng.random(count) < 0.6
    points[face, 1] = np.sign(points[face, 1]) * width / 2 + rng.normal(0, 0.04, int(face.sum()))
    return surface(leaves(rng, points, 0.13), classes.VEGETATION, Material.LEAF, float(rng.uniform(0.8, 1.2)))


def thicket(rng: Generator, length: float) -> Mesh:
    """Return an overgrown strip of shrubs along x from 0 to `length` metres, 1.5..5 m tall."""
    height, depth = float(rng.uniform(1.5, 5.0)), float(rng.uniform(1.0, 2.2))
    count = int(length * height * 75)
    along, level = rng.uniform(0, length, count), rng.uniform(0, 1, count)
    wave = np.sin(along * rng.uniform(0.6, 1.4) + rng.uniform(0, 6)) + np.sin(along * 2.3 + rng.uniform(0, 6))
    top = height * (1 + 0.18 * wave)
    # The front leans back towards the top; leaves lie behind it, ever fewer.
    behind = 0.35 * depth * level + 0.25 * wave + rng.exponential(0.22 * depth, count)
    points = np.column_stack([along, behind, level * top])
    return surface(
        leaves(rng, points, 0.24), classes.VEGETATION, Material.LEAF, float(rng.uniform(0.75, 1.25))
    )


def tall_grass(rng: Generator, count: int, spread: float) -> Mesh:
    """Return tufts of tall grass and weeds, knee-high, scattered over a disc of radius `spread` metres."""
    turn, out = rng.uniform(0, 2 * np.pi, count), spread * np.sqrt(rng.uniform(0, 1, count))
    points = np.column_stack([out * np.cos(turn), out * np.sin(turn), rng.uniform(0.05, 0.6, count)])
    return surface(leaves(rng, points, 0.12), classes.VEGETATION, Material.LEAF)
