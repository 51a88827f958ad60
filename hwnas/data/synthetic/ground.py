"""The ground of a scene: classes and materials on a fine raster above a coarse surface of slopes and hills.

Curbs and grass are at most `MAX_RISE_M` above the coarse surface; the caster finds where rays meet them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.arrays import FloatArray
from hwnas.data.synthetic import classes
from hwnas.data.synthetic.layout import Layout, Road
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Triangles, quads

HALF_SIZE_M = 96.0
CELL_M = 0.125
NODE_M = 2.0
MAX_RISE_M = 0.3
_CELLS = int(2 * HALF_SIZE_M / CELL_M)
_NODES = int(2 * HALF_SIZE_M / NODE_M) + 1

_MATERIALS: Dict[int, Material] = {
    classes.ROAD: Material.ASPHALT,
    classes.PARKING: Material.PAVING,
    classes.SIDEWALK: Material.PAVING,
    classes.OTHER_GROUND: Material.GRAVEL,
    classes.TERRAIN: Material.GRASS,
}


@dataclass(frozen=True, eq=False)
class Ground:
    """Ground of a square of 192 m by 192 m about the origin.

    Attributes:
        label: uint8 [n, n], raw class per cell; rows along y, columns along x, from -96 m.
        material: uint8 [n, n].
        tint: float32 [n, n], factor on the reflectance.
        rise: float32 [n, n], metres above the coarse surface, 0..`MAX_RISE_M`.
        base: float32 [m, m], height (m) of the coarse surface at nodes 2 m apart.
    """

    label: NDArray[np.uint8]
    material: NDArray[np.uint8]
    tint: FloatArray
    rise: FloatArray
    base: FloatArray

    def cell(self, x: FloatArray, y: FloatArray) -> NDArray[np.int64]:
        """Return flat raster indices of places; those outside get the nearest cell."""
        column = np.clip((x + HALF_SIZE_M) / CELL_M, 0, _CELLS - 1).astype(np.int64)
        row = np.clip((y + HALF_SIZE_M) / CELL_M, 0, _CELLS - 1).astype(np.int64)
        return np.asarray(row * _CELLS + column)

    def label_at(self, x: float, y: float) -> int:
        """Return the raw class of one place."""
        return int(self.label.ravel()[self.cell(*_place(x, y))])

    def base_heights(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the heights (m) of the coarse surface at places."""
        u = np.clip((x + HALF_SIZE_M) / NODE_M, 0, _NODES - 1.001)
        v = np.clip((y + HALF_SIZE_M) / NODE_M, 0, _NODES - 1.001)
        column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        s, t = u - column, v - row
        b = self.base
        low = (1 - s) * b[row, column] + s * b[row, column + 1]
        high = (1 - s) * b[row + 1, column] + s * b[row + 1, column + 1]
        return np.asarray((1 - t) * low + t * high, np.float32)

    def base_at(self, x: float, y: float) -> float:
        """Return the height (m) of the coarse surface at one place."""
        return float(self.base_heights(*_place(x, y)))

    def height_at(self, x: float, y: float) -> float:
        """Return the height (m) of the ground with curbs and grass at one place."""
        return self.base_at(x, y) + float(self.rise.ravel()[self.cell(*_place(x, y))])

    def triangles(self) -> Triangles:
        """Return the coarse surface as a mesh."""
        axis = np.arange(_NODES, dtype=np.float32) * np.float32(NODE_M) - np.float32(HALF_SIZE_M)
        x, y = np.meshgrid(axis, axis)
        grid = np.stack([x, y, self.base], axis=2)
        return quads(np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2))


def _place(x: float, y: float) -> Tuple[FloatArray, FloatArray]:
    return np.array(x, np.float32), np.array(y, np.float32)


def make_ground(layout: Layout, rng: Generator) -> Ground:
    """Draw the ground for a layout."""
    axis = ((np.arange(_CELLS) + 0.5) * CELL_M - HALF_SIZE_M).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    u, d = layout.main.coordinates(x, y)
    edge = layout.main.edge_distance(d)
    label = np.full(x.shape, classes.TERRAIN, np.uint8)
    _patches(label, x, y, layout, rng)
    _strips(label, u, d, edge, layout)
    cross = None
    if layout.cross is not None:
        cross = layout.cross.coordinates(x, y)
        _cross(label, edge, layout.cross.edge_distance(cross[1]), layout)
    else:
        label[edge < 0] = classes.ROAD
    material = _materials(label)
    _markings(material, label, u, d, layout.main)
    if layout.cross is not None and cross is not None:
        _markings(material, label, *cross, layout.cross, keep_off=edge)
        _crosswalk(material, label, u, d, layout.cross, layout.main)
    return Ground(
        label=label,
        material=material,
        tint=_tint(label, rng),
        rise=_rise(label, layout, rng),
        base=_base(layout, rng),
    )


def _noise(rng: Generator, step: int, sigma: float) -> FloatArray:
    """Return a raster of normal noise that is constant over squares of `step` cells."""
    coarse = rng.normal(0, sigma, (-(-_CELLS // step),) * 2).astype(np.float32)
    return np.repeat(np.repeat(coarse, step, 0), step, 1)[:_CELLS, :_CELLS]


def _strips(label: NDArray[np.uint8], u: FloatArray, d: FloatArray, edge: FloatArray, layout: Layout) -> None:
    """Lay parking, verge and sidewalk beside the main road."""
    for index, side in enumerate((1, -1)):
        near = (d * side > 0) & (edge >= 0) & (edge < layout.frontage(side) + 0.01)
        strip, width = layout.strip[index], layout.sidewalk[index]
        if width > 0:
            label[near] = classes.SIDEWALK
            if layout.verge > 0:
                label[near & (edge > strip) & (edge < strip + layout.verge)] = classes.TERRAIN
        for bay in layout.bays:
            if bay.side == side:
                label[near & (edge < strip) & (u > bay.start) & (u < bay.end)] = classes.PARKING


def _cross(label: NDArray[np.uint8], edge: FloatArray, edge_cross: FloatArray, layout: Layout) -> None:
    """Lay the crossing road, with rounded corners and its own sidewalks, over the main road's strips."""
    blend = np.maximum(4.0 - np.abs(edge - edge_cross), 0) ** 2 / 16.0
    together = np.minimum(edge, edge_cross) - blend
    width = max(layout.sidewalk)
    if width > 0:
        # Parking ends where the corner begins.
        label[(edge_cross < width) & (edge > 0)] = classes.SIDEWALK
        label[(together > 0) & (together < width) & (edge_cross < 9)] = classes.SIDEWALK
    label[together < 0] = classes.ROAD


def _patches(label: NDArray[np.uint8], x: FloatArray, y: FloatArray, layout: Layout, rng: Generator) -> None:
    """Lay yards, driveways and squares beside the road: rectangles of other ground and parking."""
    count = layout.preset.other_ground
    kinds = [classes.OTHER_GROUND] * count + [classes.PARKING] * (2 if layout.preset.parking > 0 else 0)
    kinds += [classes.SIDEWALK] * (1 if layout.preset.parking > 0.5 else 0)
    for kind in kinds:
        side = int(rng.choice([-1, 1]))
        length, depth = float(rng.uniform(6, 22)), float(rng.uniform(4, 18))
        out = layout.main.outer_edge + layout.frontage(side) + depth / 2
        place_x, place_y, yaw = layout.main.point(float(rng.uniform(-50, 50)), side * out)
        _fill_rectangle(label, (place_x, place_y, yaw), length, depth + 1.0, kind, (x, y))


def _fill_rectangle(
    label: NDArray[np.uint8],
    pose: Tuple[float, float, float],
    length: float,
    depth: float,
    kind: int,
    axes: Tuple[FloatArray, FloatArray],
) -> None:
    reach = int((length + depth) / 2 / CELL_M) + 2
    row, column = (int((p + HALF_SIZE_M) / CELL_M) for p in (pose[1], pose[0]))
    window = (slice(max(row - reach, 0), row + reach), slice(max(column - reach, 0), column + reach))
    dx, dy = axes[0][window] - np.float32(pose[0]), axes[1][window] - np.float32(pose[1])
    cosine, sine = np.float32(np.cos(pose[2])), np.float32(np.sin(pose[2]))
    inside = (np.abs(dx * cosine + dy * sine) < length / 2) & (np.abs(dy * cosine - dx * sine) < depth / 2)
    label[window][inside] = kind


def _materials(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for raw, material in _MATERIALS.items():
        table[raw] = int(material)
    return np.asarray(table[label])


def _markings(
    material: NDArray[np.uint8],
    label: NDArray[np.uint8],
    u: FloatArray,
    d: FloatArray,
    road: Road,
    keep_off: FloatArray | None = None,
) -> None:
    """Paint edge lines and dashed lane lines; they stay of the class road."""
    across = np.abs(d) - np.float32(road.median + road.half_width) if road.median > 0 else d
    half = road.half_width
    lanes = max(2, round(2 * half / road.lane_width))
    paint = np.abs(np.abs(across) - np.float32(half - 0.25)) < 0.08
    dashed = np.mod(u, 9.0) < 3.5
    for lane in range(1, lanes):
        paint |= (np.abs(across - np.float32(-half + lane * 2 * half / lanes)) < 0.08) & dashed
    paint &= label == classes.ROAD
    if keep_off is not None:
        paint &= keep_off > 3.0
    material[paint] = int(Material.PAINT_MARKING)


def _crosswalk(
    material: NDArray[np.uint8],
    label: NDArray[np.uint8],
    u: FloatArray,
    d: FloatArray,
    cross: Road,
    main: Road,
) -> None:
    """Paint zebra stripes over the main road on both sides of the crossing."""
    for side in (-1, 1):
        middle = cross.shift + side * (cross.half_width + 5.0)
        stripe = (np.abs(u - np.float32(middle)) < 1.7) & (np.mod(d, 1.0) < 0.5)
        stripe &= (np.abs(d) < main.half_width - 0.2) & (label == classes.ROAD)
        material[stripe] = int(Material.PAINT_MARKING)


def _tint(label: NDArray[np.uint8], rng: Generator) -> FloatArray:
    """Return weathering: each class has its shade in this scene, with patches of a few metres."""
    shade = np.ones(256, np.float32)
    for raw in _MATERIALS:
        shade[raw] = np.exp(rng.normal(0, 0.22))
    patches = 1 + _noise(rng, 24, 0.10) + _noise(rng, 6, 0.06)
    return np.asarray(shade[label] * np.clip(patches, 0.4, 1.8), np.float32)


def _rise(label: NDArray[np.uint8], layout: Layout, rng: Generator) -> FloatArray:
    curb = layout.curb if max(layout.sidewalk) > 0 else 0.03
    level = np.zeros(256, np.float32)
    level[classes.SIDEWALK] = curb
    level[classes.OTHER_GROUND] = curb
    level[classes.TERRAIN] = curb + 0.02
    level[classes.PARKING] = 0.02
    rough = np.zeros(256, np.float32)
    rough[classes.TERRAIN], rough[classes.OTHER_GROUND] = 1.0, 0.3
    bumps = np.abs(_noise(rng, 8, 0.035)) + np.abs(_noise(rng, 2, 0.03))
    return np.asarray(np.clip(level[label] + rough[label] * bumps, 0, MAX_RISE_M), np.float32)


def _base(layout: Layout, rng: Generator) -> FloatArray:
    """Return slopes along the road, hills beside it and, outside towns, ditches or banks along its edge."""
    axis = np.arange(_NODES, dtype=np.float32) * np.float32(NODE_M) - np.float32(HALF_SIZE_M)
    x, y = np.meshgrid(axis, axis)
    preset = layout.preset
    slope_x, slope_y = rng.normal(0, preset.slope, 2) * [1.0, 0.3]
    height = slope_x * x + slope_y * y
    height += rng.normal(0, 4.0 * preset.slope) * np.sin(x / 31 + rng.uniform(0, 6))
    beside = layout.main.edge_distance(layout.main.coordinates(x, y)[1])
    if layout.main.median > 0:
        beside = np.abs(layout.main.coordinates(x, y)[1]) - np.float32(layout.main.outer_edge)
    if layout.cross is not None:
        beside = np.minimum(beside, layout.cross.edge_distance(layout.cross.coordinates(x, y)[1]))
    away = np.clip((beside - 4.0) / 16.0, 0, 1)
    away = away * away * (3 - 2 * away)
    hills = np.zeros_like(x)
    for _ in range(5):
        direction, phase = rng.uniform(0, 2 * np.pi, 2)
        length = rng.uniform(6, 22)
        hills += np.sin((x * np.cos(direction) + y * np.sin(direction)) / length + phase) * (length / 22)
    bank = rng.normal(0, 0.6 * preset.relief) * np.where(y > 0, 1.0, rng.choice([-1.0, 1.0]))
    return np.asarray(height + away * (preset.relief * 0.45 * hills + bank), np.float32)
