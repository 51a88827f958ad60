"""Traffic that goes on while a sensor turns."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from hwnas.arrays import DoubleArray, FloatArray
from hwnas.data.synthetic.ground import HALF_SIZE_M, Ground
from hwnas.data.synthetic.layout import Layout
from hwnas.data.synthetic.lidar import Hits, cosine_of, drawable, take
from hwnas.data.synthetic.mesh import Mesh
from hwnas.data.synthetic.motion import Motion, rotations
from hwnas.data.synthetic.scene import Mover

_EDGE_M = HALF_SIZE_M - 2.0
_VEHICLE_M = (4.6, 1.9)  # length and width of the one that carries the sensor
_ROOM_M = (2.0, 0.4)  # kept free along and beside it


class TravellingMesh:
    """A mesh on its way; rays are cast in its own frame, each at its own moment."""

    def __init__(self, mesh: Mesh, motion: Motion) -> None:
        """Build the search tree over the mesh.

        Args:
            mesh: in its own frame.
            motion: of that frame.
        """
        self.mesh, self.motion = mesh, motion
        corners = mesh.triangles.reshape(-1, 3)
        low, high = corners.min(axis=0), corners.max(axis=0)
        self.half_size = np.abs(np.stack([low, high])).max(axis=0).astype(np.float64)
        self._radius = float(np.linalg.norm(self.half_size))
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, drawable(mesh))

    def meet(
        self, hits: Hits, origins: FloatArray, directions: FloatArray, time_s: DoubleArray, reach: float
    ) -> None:
        """Put what rays meet of it into their hits, where it is nearer; see `Traveller`."""
        rays = self._near(origins, directions, time_s)
        if not len(rays):
            return
        position, angles = self.motion.at(time_s[rays])
        inside = np.abs(position[:, :2]).max(axis=1) < _EDGE_M
        rays, position, angles = rays[inside], position[inside], angles[inside]
        if not len(rays):
            return
        back = rotations(angles)
        start = np.einsum("rji,rj->ri", back, origins[rays] - position).astype(np.float32)
        ray = np.einsum("rji,rj->ri", back, directions[rays].astype(np.float64)).astype(np.float32)
        limit = np.minimum(hits.distance[rays], np.float32(reach))
        found = self._scene.run(
            np.ascontiguousarray(start),
            np.ascontiguousarray(ray),
            dists=limit,
            query="INTERSECT",
            output=True,
        )
        met = np.flatnonzero(found["geomID"] >= 0)
        hits.distance[rays[met]] = found["tfar"][met]
        hits.cosine[rays[met]] = cosine_of(found["Ng"][met], ray[met])
        take(hits, rays[met], self.mesh, found["primID"][met])

    def _near(self, origins: FloatArray, directions: FloatArray, time_s: DoubleArray) -> NDArray[np.int64]:
        """Return the rays that pass the sphere around the mesh, wherever it is while they are cast."""
        first, last = float(time_s.min()), float(time_s.max())
        places, _ = self.motion.at(np.linspace(first, last, 3))
        radius = self._radius + float(np.linalg.norm(np.ptp(places, axis=0))) + 0.1
        away = (places[1] - origins).astype(np.float32)
        along = np.einsum("ri,ri->r", away, directions)
        beside = np.einsum("ri,ri->r", away, away) - along * np.maximum(along, 0)
        return np.flatnonzero(beside < radius * radius)


def travelling(
    movers: Sequence[Mover], layout: Layout, ground: Ground, vehicle: Motion
) -> List[TravellingMesh]:
    """Return movers on their ways, without those that the vehicle or an earlier one would run into.

    Args:
        movers: along the main road.
        layout: of the scene.
        ground: that they go on.
        vehicle: the motion of the sensor.
    """
    found: List[TravellingMesh] = []
    carrier = (vehicle, np.array([*_VEHICLE_M, 0.0]) / 2)
    for mover in movers:
        made = TravellingMesh(mover.mesh, _motion(mover, layout, ground, vehicle.time_s))
        own = (made.motion, made.half_size)
        if not any(
            _collide(own, other) for other in (carrier, *((one.motion, one.half_size) for one in found))
        ):
            found.append(made)
    return found


def _motion(mover: Mover, layout: Layout, ground: Ground, time_s: DoubleArray) -> Motion:
    way = np.array([layout.main.point(mover.u + mover.speed * float(time), mover.d) for time in time_s])
    x, y = way[:, 0].astype(np.float32), way[:, 1].astype(np.float32)
    z = ground.base_heights(x, y) + ground.rise.ravel()[ground.cell(x, y)]
    angles = np.zeros((len(way), 3))
    angles[:, 0] = np.unwrap(way[:, 2]) + mover.turned + (np.pi if mover.speed < 0 else 0.0)
    return Motion(time_s, np.column_stack([way[:, :2], z]), angles)


def _collide(one: tuple[Motion, DoubleArray], other: tuple[Motion, DoubleArray]) -> bool:
    """Return whether two upright boxes ever come too close to each other."""
    (motion, size), (other_motion, other_size) = one, other
    yaw = other_motion.angles[:, 0]
    away = motion.position[:, :2] - other_motion.position[:, :2]
    forward = away[:, 0] * np.cos(yaw) + away[:, 1] * np.sin(yaw)
    left = away[:, 1] * np.cos(yaw) - away[:, 0] * np.sin(yaw)
    turn = motion.angles[:, 0] - yaw
    cosine, sine = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    along = size[0] * cosine + size[1] * sine + other_size[0] + _ROOM_M[0]
    beside = size[0] * sine + size[1] * cosine + other_size[1] + _ROOM_M[1]
    return bool(((np.abs(forward) < along) & (np.abs(left) < beside)).any())
