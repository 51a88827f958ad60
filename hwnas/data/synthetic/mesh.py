"""Triangle soups with a class and a material per triangle, and the few shapes that scenes are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwnas.data.synthetic.materials import Material

Triangles = NDArray[np.float32]  # [T, 3, 3] corner coordinates in metres

_BOX_QUADS = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], dtype=np.int64
)
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)], np.float32)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with what they are made of.

    Attributes:
        triangles: float32 [T, 3, 3], metres.
        label: uint8 [T], raw class ids.
        material: uint8 [T], `Material` values.
        tint: float32 [T], factor on the material's reflectance (paint, weathering), about 0.3..2.
    """

    triangles: Triangles
    label: NDArray[np.uint8]
    material: NDArray[np.uint8]
    tint: NDArray[np.float32]

    def placed(self, x: float, y: float, z: float, yaw: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh scaled, turned about the vertical by `yaw` (rad) and moved to (x, y, z)."""
        return Mesh(place(self.triangles, x, y, z, yaw, scale), self.label, self.material, self.tint)

    def relabelled(self, label: int) -> Mesh:
        """Return the same shape with every triangle of class `label`."""
        return Mesh(self.triangles, np.full_like(self.label, label), self.material, self.tint)


def surface(triangles: Triangles, label: int, material: Material, tint: float = 1.0) -> Mesh:
    """Return a mesh of one class and one material."""
    count = len(triangles)
    return Mesh(
        np.asarray(triangles, np.float32),
        np.full(count, label, np.uint8),
        np.full(count, int(material), np.uint8),
        np.full(count, tint, np.float32),
    )


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh with the triangles of all; an empty sequence gives an empty mesh."""
    if not meshes:
        return surface(np.zeros((0, 3, 3), np.float32), 0, Material.ASPHALT)
    return Mesh(
        np.concatenate([m.triangles for m in meshes]),
        np.concatenate([m.label for m in meshes]),
        np.concatenate([m.material for m in meshes]),
        np.concatenate([m.tint for m in meshes]),
    )


def place(
    triangles: Triangles, x: float, y: float, z: float, yaw: float = 0.0, scale: float = 1.0
) -> Triangles:
    """Return triangles scaled, turned by `yaw` (rad, about z) and moved by (x, y, z) metres."""
    cosine, sine = np.cos(yaw) * scale, np.sin(yaw) * scale
    turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, scale]], np.float32)
    return np.asarray(triangles @ turn + np.array([x, y, z], np.float32), np.float32)


def quads(corners: ArrayLike) -> Triangles:
    """Return two triangles for each quadrilateral of `corners` [Q, 4, 3], given in order round its edge."""
    c = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    return np.concatenate([c[:, [0, 1, 2]], c[:, [0, 2, 3]]])


def box(centre: ArrayLike, size: ArrayLike) -> Triangles:
    """Return a box [12, 3, 3] of edge lengths `size` (x, y, z) about `centre`, metres."""
    corners = _CORNERS * np.asarray(size, np.float32) + np.asarray(centre, np.float32)
    return quads(corners[_BOX_QUADS])


def loft(sections: ArrayLike, *, closed: bool = True, capped: bool = True) -> Triangles:
    """Return the skin over cross-sections [S, K, 3]; `closed` joins their last corners to their first."""
    s = np.asarray(sections, np.float32)
    following = np.roll(s, -1, axis=1) if closed else s[:, 1:]
    own = s if closed else s[:, :-1]
    sides = np.stack([own[:-1], following[:-1], following[1:], own[1:]], axis=2)
    parts = [quads(sides)]
    if capped:
        parts += [_fan(s[0]), _fan(s[-1])]
    return np.concatenate(parts)


def _fan(ring: NDArray[np.float32]) -> Triangles:
    first = np.broadcast_to(ring[:1], (len(ring) - 2, 3))
    return np.stack([first, ring[1:-1], ring[2:]], axis=1)


def _cross(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cross product of two vectors; `np.cross` costs 60 microseconds a call, most of a tube."""
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], np.float32
    )


def tube(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    end_radius: Optional[float] = None,
    *,
    sides: int = 8,
    flatten: float = 1.0,
) -> Triangles:
    """Return a closed cone stump from `start` to `end` (metres); `flatten` squeezes it sideways."""
    p, q = np.asarray(start, np.float32), np.asarray(end, np.float32)
    axis = (q - p) / max(float(np.linalg.norm(q - p)), 1e-6)
    helper = np.array([1, 0, 0] if abs(axis[0]) < 0.7 else [0, 0, 1], np.float32)
    across = _cross(axis, helper)
    across /= np.linalg.norm(across)
    along = _cross(axis, across) * flatten
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    ring = np.cos(angle) * across + np.sin(angle) * along
    return loft(np.stack([p + ring * radius, q + ring * (radius if end_radius is None else end_radius)]))


def ellipsoid(centre: ArrayLike, radii: ArrayLike, *, rings: int = 5, sides: int = 8) -> Triangles:
    """Return an ellipsoid about `centre` with semi-axes `radii`, metres."""
    polar = np.linspace(0.03, np.pi - 0.03, rings + 1)[:, None]
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None]
    unit = np.stack(
        [np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle], axis=-1
    )
    return loft(unit * np.asarray(radii, np.float32) + np.asarray(centre, np.float32))


def wheel(centre: ArrayLike, radius: float, width: float, *, sides: int = 12) -> Triangles:
    """Return a solid wheel whose axle lies along y."""
    c = np.asarray(centre, np.float32)
    half = np.array([0, width / 2, 0], np.float32)
    return tube(c - half, c + half, radius, sides=sides)


def hoop(centre: ArrayLike, radius: float, thickness: float, *, sides: int = 16) -> Triangles:
    """Return a thin ring (a bicycle tyre) whose axle lies along y; rays pass through its middle."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    outward = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=1)
    half = np.array([0, thickness / 2, 0])
    inner, outer = outward * (radius - thickness), outward * radius
    sections = np.stack([inner - half, outer - half, outer + half, inner + half], axis=1)
    return loft(sections + np.asarray(centre), capped=False)


def panel(
    corners: ArrayLike, across: ArrayLike, up: ArrayLike, window: NDArray[np.bool_], depth: float
) -> Tuple[Triangles, Triangles]:
    """Divide a quadrilateral into cells and set some of them back as windows.

    Args:
        corners: [4, 3] bottom start, bottom end, top end, top start; the outside is where its normal points.
        across: increasing cell edges 0..1 along the bottom, [U + 1].
        up: increasing cell edges 0..1 upward, [V + 1].
        window: [V, U], true where a cell is a window.
        depth: metres that windows lie behind the surface.

    Returns:
        Triangles of the wall with its reveals, and triangles of the windows.
    """
    c = np.asarray(corners, np.float32)
    u = np.asarray(across, np.float32)[None, :, None]
    v = np.asarray(up, np.float32)[:, None, None]
    grid = (1 - v) * ((1 - u) * c[0] + u * c[1]) + v * ((1 - u) * c[3] + u * c[2])
    cells = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)
    normal = _cross(c[1] - c[0], c[3] - c[0])
    normal /= np.linalg.norm(normal)
    front = cells[window]
    back = front - normal * np.float32(depth)
    reveals = np.stack([front, np.roll(front, -1, 1), np.roll(back, -1, 1), back], axis=2)
    wall = [quads(cells[~window])]
    if depth > 0:
        wall.append(quads(reveals))
    return np.concatenate(wall), quads(back)
