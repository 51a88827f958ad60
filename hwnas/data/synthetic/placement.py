"""Putting things beside a road without letting them overlap."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.ground import HALF_SIZE_M, Ground
from hwnas.data.synthetic.layout import Layout
from hwnas.data.synthetic.mesh import Mesh

_CELL_M = 0.5
_EDGE_M = HALF_SIZE_M - 2.0


class Site:
    """A ground on which meshes are put down; remembers which places are taken."""

    def __init__(self, layout: Layout, ground: Ground, rng: Generator) -> None:
        self.layout, self.ground, self.rng = layout, ground, rng
        self.meshes: List[Mesh] = []
        cells = int(2 * HALF_SIZE_M / _CELL_M)
        self._taken: NDArray[np.bool_] = np.zeros((cells, cells), np.bool_)

    def beside(self, u: float, side: int, out: float) -> Tuple[float, float, float]:
        """Return (x, y, yaw) `out` metres outside the main road; +y there points away from it."""
        road = self.layout.main
        x, y, yaw = road.point(u, side * (road.outer_edge + out))
        return x, y, yaw if side > 0 else yaw + np.pi

    def put(
        self, mesh: Mesh, x: float, y: float, yaw: float = 0.0, scale: float = 1.0, sink: float = 0.0
    ) -> None:
        """Put a mesh on the ground at (x, y), `sink` metres lowered."""
        self.meshes.append(mesh.placed(x, y, self.ground.height_at(x, y) - sink, yaw, scale))

    def allowed(self, x: float, y: float, kinds: Sequence[int]) -> bool:
        """Tell whether (x, y) lies inside the scene on ground of one of the raw classes `kinds`."""
        if max(abs(x), abs(y)) > _EDGE_M:
            return False
        return self.ground.label_at(x, y) in kinds

    def claim(
        self,
        x: float,
        y: float,
        yaw: float,
        size: Tuple[float, float],
        kinds: Sequence[int],
        *,
        depth: float = 0.0,
    ) -> bool:
        """Take a rectangle if it is free and on ground of `kinds`; tell whether it was taken.

        Args:
            x: place of the rectangle's middle, m.
            y: same.
            yaw: direction of its length, rad.
            size: length and width, m.
            kinds: raw classes of ground that it may cover.
            depth: moves the middle by this much (m) along the thing's own +y.
        """
        along = np.linspace(-size[0] / 2, size[0] / 2, max(2, int(size[0] / 0.45)))
        across = np.linspace(-size[1] / 2, size[1] / 2, max(2, int(size[1] / 0.45))) + depth
        u, v = (grid.ravel() for grid in np.meshgrid(along, across))
        px, py = x + u * np.cos(yaw) - v * np.sin(yaw), y + u * np.sin(yaw) + v * np.cos(yaw)
        if np.abs(px).max() > _EDGE_M or np.abs(py).max() > _EDGE_M:
            return False
        label = self.ground.label.ravel()[self.ground.cell(px.astype(np.float32), py.astype(np.float32))]
        column, row = (((p + HALF_SIZE_M) / _CELL_M).astype(np.int64) for p in (px, py))
        if self._taken[row, column].any() or not np.isin(label, kinds).all():
            return False
        self._taken[row, column] = True
        return True


PLOT = (classes.TERRAIN, classes.OTHER_GROUND)
PAVED = (classes.SIDEWALK, classes.OTHER_GROUND, classes.TERRAIN)
WALKED = (classes.SIDEWALK, classes.OTHER_GROUND, classes.TERRAIN, classes.PARKING)
