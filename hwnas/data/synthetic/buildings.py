"""Buildings with bays of windows, doors, balconies and roofs. The front is at y = 0, facing -y."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Mesh, Triangles, box, join, panel, quads, surface

_WALLS = (Material.PLASTER, Material.PLASTER, Material.BRICK, Material.CONCRETE)
_FOOT = -1.5  # walls go on below the ground, which may slope


def building(rng: Generator, width: float, depth: float, floors: int) -> Mesh:
    """Return a building of `width` along x and `depth` along +y, metres, with `floors` storeys."""
    storey = float(rng.uniform(2.7, 3.3))
    height = floors * storey + 0.4
    wall_material = _WALLS[int(rng.integers(len(_WALLS)))]
    tint = float(rng.uniform(0.6, 1.25))
    half = width / 2
    plan = np.array([[-half, 0], [half, 0], [half, depth], [-half, depth]])
    style = _Style(rng, storey)
    walls: List[Triangles] = []
    glasses: List[Triangles] = []
    for start in range(4):
        p, q = plan[start], plan[(start + 1) % 4]
        # Side walls at the neighbour's boundary often have no windows.
        blank = start in (1, 3) and rng.random() < 0.5
        wall, glass = _facade(style, p, q, height, floors, blank=blank)
        walls.append(wall)
        glasses.append(glass)
    parts = [
        surface(np.concatenate(walls), classes.BUILDING, wall_material, tint),
        surface(np.concatenate(glasses), classes.BUILDING, Material.GLASS),
        _roof(rng, width, depth, height, floors),
    ]
    if floors >= 2 and rng.random() < 0.4:
        parts.append(_balconies(rng, width, storey, floors))
    if rng.random() < 0.5:
        porch = box((float(rng.uniform(-0.3, 0.3)) * width, -0.5, 2.5), (2.0, 1.2, 0.12))
        parts.append(surface(porch, classes.BUILDING, Material.CONCRETE))
    return join(parts)


class _Style:
    """Sizes of windows and bays that one building keeps on all sides."""

    def __init__(self, rng: Generator, storey: float) -> None:
        self.storey = storey
        self.bay = float(rng.uniform(2.2, 3.8))
        self.share = float(rng.uniform(0.32, 0.62))
        self.sill, self.lintel = float(rng.uniform(0.25, 0.36)), float(rng.uniform(0.72, 0.85))
        self.depth = float(rng.uniform(0.06, 0.28))
        self.missing = float(rng.uniform(0.0, 0.25))
        self.rng = rng


def _facade(
    style: _Style,
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    height: float,
    floors: int,
    *,
    blank: bool,
) -> Tuple[Triangles, Triangles]:
    bays = max(1, round(float(np.linalg.norm(q - p)) / style.bay))
    margin = (1 - style.share) / 2
    across = [0.0] + [(k + m) / bays for k in range(bays) for m in (margin, 1 - margin)] + [1.0]
    full = height - _FOOT
    up = [0.0]
    for floor in range(floors):
        up += [
            (floor * style.storey + 0.4 + s * style.storey - _FOOT) / full for s in (style.sill, style.lintel)
        ]
    up.append(1.0)
    window = np.zeros((len(up) - 1, len(across) - 1), np.bool_)
    if not blank:
        window[1::2, 1::2] = style.rng.random((floors, bays)) >= style.missing
    corners = [(*p, _FOOT), (*q, _FOOT), (*q, height), (*p, height)]
    return panel(corners, across, up, window, style.depth)


def _roof(rng: Generator, width: float, depth: float, height: float, floors: int) -> Mesh:
    half, eave = width / 2, 0.4
    if floors > 4 or rng.random() < 0.2:
        slab = box((0, depth / 2, height), (width + 0.3, depth + 0.3, 0.3))
        attic = box((0, depth / 2, height + 0.9), (width * 0.3, depth * 0.4, 1.8))
        return surface(np.concatenate([slab, attic]), classes.BUILDING, Material.CONCRETE)
    ridge = height + 0.5 * depth * float(rng.uniform(0.5, 1.0))
    low = height - 0.2
    middle = depth / 2
    slopes = [
        [
            (-half - eave, y, low),
            (half + eave, y, low),
            (half + eave, middle, ridge),
            (-half - eave, middle, ridge),
        ]
        for y in (-eave, depth + eave)
    ]
    gables = [[(x, 0, low), (x, depth, low), (x, middle, ridge), (x, middle, ridge)] for x in (-half, half)]
    chimney = box((float(rng.uniform(-0.3, 0.3)) * width, middle + 0.8, ridge), (0.7, 0.7, 1.6))
    return join(
        [
            surface(quads(slopes), classes.BUILDING, Material.ROOF_TILE, float(rng.uniform(0.6, 1.4))),
            surface(np.concatenate([quads(gables), chimney]), classes.BUILDING, Material.BRICK),
        ]
    )


def _balconies(rng: Generator, width: float, storey: float, floors: int) -> Mesh:
    parts: List[Triangles] = []
    columns = rng.uniform(-0.35, 0.35, 2) * width
    for x in columns:
        for floor in range(1, floors):
            z = floor * storey + 0.4
            parts.append(box((x, -0.6, z), (2.4, 1.2, 0.15)))
            parts.append(box((x, -1.18, z + 0.55), (2.4, 0.05, 0.8)))
    return surface(np.concatenate(parts), classes.BUILDING, Material.CONCRETE)


def garage(rng: Generator) -> Mesh:
    """Return a low garage or shed with its front at -y."""
    width, depth, height = (
        float(rng.uniform(2.8, 6)),
        float(rng.uniform(5, 6.5)),
        float(rng.uniform(2.4, 2.9)),
    )
    body = box((0, depth / 2, height / 2 - 0.3), (width, depth, height + 0.6))
    door = box((0, -0.01, 1.05), (2.3, 0.04, 2.1))
    return join(
        [
            surface(body, classes.BUILDING, Material.PLASTER, float(rng.uniform(0.6, 1.1))),
            surface(door, classes.BUILDING, Material.METAL),
        ]
    )
