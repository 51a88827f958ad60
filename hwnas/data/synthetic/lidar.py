"""A rotating LiDAR in a scene: where its rays end, which come back, and how bright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Sequence

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.arrays import FloatArray
from hwnas.data.sensors import COUNTER_CLOCKWISE, Sensor
from hwnas.data.synthetic.ground import HALF_SIZE_M, MAX_RISE_M, Ground
from hwnas.data.synthetic.materials import LAMBERT, LOSS, REFLECTANCE, SPECULAR, SPREAD
from hwnas.data.synthetic.mesh import Mesh
from hwnas.data.synthetic.motion import Motion, turned

# Roof panel of the vehicle that carries the sensor: nominal dimensions of a mid-size car, 1.1 m by 1.7 m.
_ROOF_HEIGHT_M = 1.46
_ROOF_HALF_WIDTH_M = 0.55
_ROOF_FRONT_M = 0.6
_ROOF_REAR_M = -1.1
_GROUND_STEPS = 6
_RUN = 6  # rays of one ring that share their luck
_OBJECTS, _GROUND = 0, 1  # geometries of the standing scene


@dataclass(frozen=True)
class Pose:
    """Where the sensor is: position in the world (m), and yaw, pitch, roll (rad)."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    roll: float

    def rotation(self) -> FloatArray:
        """Return the 3x3 matrix that turns sensor coordinates into world coordinates."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        pitch = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
        roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return np.asarray(yaw @ pitch @ roll, np.float32)


@dataclass(frozen=True, eq=False)
class Returns:
    """One turn of the sensor, ring by ring from the top, each ring in the direction in which it turns.

    Attributes:
        points: float32 [N, 3] in the sensor's frame, metres.
        remission: float32 [N], 0..1.
        label: uint8 [N], raw class ids.
        ring: int32 [N], index of the beam, 0 = top.
        turn: float32 [N], 0..1, which share of the turn was over when the point was measured.
    """

    points: FloatArray
    remission: FloatArray
    label: NDArray[np.uint8]
    ring: NDArray[np.int32]
    turn: FloatArray


@dataclass(frozen=True, eq=False)
class Hits:
    """What every ray [R] meets: distance (m, or inf), |cosine| of incidence, class, material, tint."""

    distance: FloatArray
    cosine: FloatArray
    label: NDArray[np.uint8]
    material: NDArray[np.uint8]
    tint: FloatArray


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays of one turn: unit directions [R, 3] in the sensor's frame, ring and share of the turn [R]."""

    local: FloatArray
    ring: NDArray[np.int32]
    turn: FloatArray


class Traveller(Protocol):
    """Something that moves while the sensor turns."""

    def meet(
        self,
        hits: Hits,
        origins: FloatArray,
        directions: FloatArray,
        time_s: NDArray[np.float64],
        reach: float,
    ) -> None:
        """Put what rays meet of it into their hits, where it is nearer.

        Args:
            hits: of all rays [R].
            origins: [R, 3] where rays begin in the world, metres.
            directions: [R, 3] unit vectors in the world.
            time_s: [R] when.
            reach: farthest distance, metres.
        """
        ...


class Caster:
    """Ray caster over the standing part of a scene, to which moving things are added scan by scan."""

    def __init__(self, static: Mesh, ground: Ground) -> None:
        """Build the search tree over the meshes.

        Args:
            static: everything that stands still, in world coordinates.
            ground: the ground under it.
        """
        self._static, self._ground = static, ground
        self._scene = EmbreeScene()
        # Geometries are numbered in the order in which they are added.
        TriangleMesh(self._scene, drawable(static))
        TriangleMesh(self._scene, ground.triangles())

    def scan(
        self, sensor: Sensor, pose: Pose, moving: Mesh, rng: Generator, *, extinction_per_m: float = 0.0
    ) -> Returns:
        """Return one turn of `sensor`.

        Args:
            sensor: what turns.
            pose: of the sensor.
            moving: meshes in world coordinates that are added.
            rng: source of noise and losses.
            extinction_per_m: extinction coefficient of the air: fog, rain or snow weaken what comes back
                over the distance r by exp(-2 extinction r), the law of Beer and Lambert both ways. Drops
                that are seen themselves are left out.
        """
        rays = _rays(sensor, rng)
        directions = np.ascontiguousarray(rays.local @ pose.rotation().T)
        origins = np.broadcast_to(np.array([pose.x, pose.y, pose.z], np.float32), directions.shape).copy()
        hits = self._cast(origins, directions, sensor.range_max_m)
        if len(moving.triangles):
            _meet_moving(hits, moving, origins, directions, sensor.range_max_m)
        return _measure(sensor, rays, hits, rng, extinction_per_m)

    def sweep(
        self,
        sensor: Sensor,
        motion: Motion,
        start_s: float,
        period_s: float,
        travellers: Sequence[Traveller],
        rng: Generator,
    ) -> Returns:
        """Return one turn of `sensor` that is itself under way, each point in its frame of that moment.

        Args:
            sensor: what turns.
            motion: of the sensor in the world.
            start_s: when the turn begins, in the time of `motion`.
            period_s: how long it takes.
            travellers: what else moves.
            rng: source of everything that is random about the measurement.
        """
        rays = _rays(sensor, rng)
        time_s = start_s + rays.turn.astype(np.float64) * period_s
        position, angles = motion.at(time_s)
        origins, directions = position.astype(np.float32), turned(rays.local, angles)
        hits = self._cast(origins, directions, sensor.range_max_m)
        for traveller in travellers:
            traveller.meet(hits, origins, directions, time_s, sensor.range_max_m)
        return _measure(sensor, rays, hits, rng)

    def _cast(self, origins: FloatArray, directions: FloatArray, reach: float) -> Hits:
        limit = np.full(len(directions), reach, np.float32)
        found = self._scene.run(origins, directions, dists=limit, query="INTERSECT", output=True)
        hits = Hits(
            distance=np.where(found["geomID"] < 0, np.float32(np.inf), found["tfar"]),
            cosine=cosine_of(found["Ng"], directions),
            label=np.zeros(len(directions), np.uint8),
            material=np.zeros(len(directions), np.uint8),
            tint=np.ones(len(directions), np.float32),
        )
        on_object = found["geomID"] == _OBJECTS
        take(hits, on_object, self._static, found["primID"][on_object])
        self._meet_ground(hits, np.flatnonzero(found["geomID"] == _GROUND), origins, directions, found["Ng"])
        return hits

    def _meet_ground(
        self,
        hits: Hits,
        rays: NDArray[np.int64],
        origins: FloatArray,
        directions: FloatArray,
        normals: FloatArray,
    ) -> None:
        """Move hits on the coarse surface up to the curbs and the grass that stand on it.

        Near a hit the coarse surface is a plane, so the height of a ray above it grows linearly towards the
        sensor; the first of a few samples that is below the raster's rise brackets the true hit.
        """
        ground, origin, ray, end = self._ground, origins[rays], directions[rays], hits.distance[rays]
        normal = normals[rays]
        fall = np.abs(np.sum(ray * normal, axis=1)) / np.maximum(np.abs(normal[:, 2]), 1e-6)
        # Metres along the ray during which it sinks from the highest possible rise to the coarse surface.
        last = np.minimum(MAX_RISE_M / np.maximum(fall, 1e-4), 0.9 * end)
        stride = last / _GROUND_STEPS
        low = np.zeros(len(rays), np.float32)
        met = np.zeros(len(rays), np.bool_)
        for step in range(_GROUND_STEPS):
            back = last - (step + 0.5) * stride
            cell = _cell_on(ground, origin, ray, end - back)
            first = ~met & (ground.rise.ravel()[cell] > back * fall)
            low[first] = back[first]
            met |= first
        above = low + np.where(met, stride, 0.5 * stride)
        for _ in range(4):
            middle = 0.5 * (above + low)
            under = ground.rise.ravel()[_cell_on(ground, origin, ray, end - middle)] > middle * fall
            low, above = np.where(under, middle, low), np.where(under, above, middle)
        distance = end - low
        cell = _cell_on(ground, origin, ray, distance + np.float32(1e-3))
        hits.distance[rays] = distance
        hits.label[rays] = ground.label.ravel()[cell]
        hits.material[rays] = ground.material.ravel()[cell]
        hits.tint[rays] = ground.tint.ravel()[cell]
        place = origin[:, :2] + ray[:, :2] * distance[:, None]
        outside = np.abs(place).max(axis=1, initial=0) > HALF_SIZE_M
        hits.distance[rays[outside]] = np.inf


def drawable(mesh: Mesh) -> FloatArray:
    """Return triangles as Embree takes them."""
    return np.ascontiguousarray(mesh.triangles, np.float32)


def _cell_on(ground: Ground, origin: FloatArray, ray: FloatArray, distance: FloatArray) -> NDArray[np.int64]:
    return ground.cell(origin[:, 0] + ray[:, 0] * distance, origin[:, 1] + ray[:, 1] * distance)


def cosine_of(normal: FloatArray, direction: FloatArray) -> FloatArray:
    """Return |cosine| of incidence [R] of rays on surfaces with normals of any length."""
    length = np.sqrt(np.sum(normal * normal, axis=1))
    return np.asarray(np.abs(np.sum(normal * direction, axis=1)) / np.maximum(length, np.float32(1e-12)))


def take(hits: Hits, rays: NDArray[Any], mesh: Mesh, triangle: NDArray[np.int32]) -> None:
    """Put what triangles are made of into the hits of rays: their indices, or a truth value for each."""
    hits.label[rays] = mesh.label[triangle]
    hits.material[rays] = mesh.material[triangle]
    hits.tint[rays] = mesh.tint[triangle]


def _meet_moving(hits: Hits, moving: Mesh, origins: FloatArray, directions: FloatArray, reach: float) -> None:
    scene = EmbreeScene()
    TriangleMesh(scene, drawable(moving))
    limit = np.minimum(hits.distance, np.float32(reach))
    found = scene.run(origins, directions, dists=limit, query="INTERSECT", output=True)
    nearer = found["geomID"] >= 0
    hits.distance[nearer] = found["tfar"][nearer]
    hits.cosine[nearer] = cosine_of(found["Ng"][nearer], directions[nearer])
    take(hits, nearer, moving, found["primID"][nearer])


def _rays(sensor: Sensor, rng: Generator) -> _Rays:
    """Return the rays of one turn.

    Rings come from the top, each in the direction in which the sensor turns, from the azimuth at which its
    turns begin. A turn starts at a random fraction of a step, the same for all beams. Beams with an azimuth
    offset are cut where the turn begins and put together again, so that every ring covers one turn; a point
    is measured when the rotor, not the beam, gets there.
    """
    if not sensor.is_rotating:
        return _non_repetitive_rays(sensor, rng)
    step = 2 * np.pi / sensor.azimuth_steps
    sense = 1.0 if sensor.rotation == COUNTER_CLOCKWISE else -1.0
    offset = sense * np.deg2rad(sensor.azimuth_offset_deg)
    first = np.mod(offset + step * rng.uniform(0.1, 0.9), step)
    # Keeps every azimuth off the cut, where rounding decides on which side of it a point lands.
    first = np.clip(first, 0.02 * step, 0.98 * step)
    around = (first[:, None] + np.arange(sensor.azimuth_steps) * step).astype(np.float64)
    azimuth = np.deg2rad(sensor.first_azimuth_deg) + sense * around
    elevation = np.deg2rad(np.array(sensor.elevation_deg))[:, None] + 0 * azimuth
    ring = np.repeat(np.arange(sensor.beams, dtype=np.int32), sensor.azimuth_steps)
    turn = np.mod(around - offset[:, None], 2 * np.pi) / (2 * np.pi)
    return _Rays(_directions(azimuth, elevation), ring, turn.reshape(-1).astype(np.float32))


def _non_repetitive_rays(sensor: Sensor, rng: Generator) -> _Rays:
    """Return directions that sweep up and down while the sensor turns, as prisms in front of a laser do.

    The ratio of the two frequencies is irrational, so that the lines of one turn never meet those of the
    next. All rays have ring 0: such a sensor has none.
    """
    count = sensor.beams * sensor.azimuth_steps
    time = (np.arange(count) + rng.uniform()) / count
    sense = 1.0 if sensor.rotation == COUNTER_CLOCKWISE else -1.0
    azimuth = np.deg2rad(sensor.first_azimuth_deg) + sense * 2 * np.pi * time
    upper, lower = sensor.edges_deg
    swing = 2 * np.pi * (sensor.beams * (1 + 5**0.5) * time + rng.uniform())
    elevation = np.deg2rad((upper + lower) / 2 + (upper - lower) / 2 * np.sin(swing))
    return _Rays(_directions(azimuth, elevation), np.zeros(count, np.int32), time.astype(np.float32))


def _directions(azimuth: NDArray[np.float64], elevation: NDArray[np.float64]) -> FloatArray:
    flat = np.cos(elevation)
    direction = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=-1)
    return direction.reshape(-1, 3).astype(np.float32)


def _measure(
    sensor: Sensor, rays: _Rays, hits: Hits, rng: Generator, extinction_per_m: float = 0.0
) -> Returns:
    reach = np.where(np.isfinite(hits.distance), hits.distance, np.float32(0))
    passed = np.maximum(np.exp(np.float32(-2 * extinction_per_m) * reach), np.float32(1e-12))
    kept = np.flatnonzero(_returned(sensor, rays.local, hits, passed, rng))
    distance = hits.distance[kept]
    noise = rng.normal(0, sensor.range_noise_m, len(kept)).astype(np.float32)
    # Oblique surfaces spread the spot along the ray.
    noise *= 1 + 0.5 * np.clip(1 / np.maximum(hits.cosine[kept], 0.1) - 1, 0, 4)
    distance = np.clip(distance + noise, sensor.range_min_m, sensor.range_max_m)
    return Returns(
        points=rays.local[kept] * distance[:, None],
        remission=_remission(sensor, hits, passed, kept, rng),
        label=hits.label[kept],
        ring=rays.ring[kept],
        turn=rays.turn[kept],
    )


def _returned(
    sensor: Sensor, local: FloatArray, hits: Hits, passed: FloatArray, rng: Generator
) -> NDArray[np.bool_]:
    """Return which rays come back.

    Lost are rays into the sky, beyond the range, into the roof of the vehicle itself, mirrored away by glass
    and lacquer at oblique incidence, swallowed at random, or too weak: received power falls with the square
    of the distance, with the cosine of incidence and with the share that passed the air both ways; the
    probability of a return rises with its logarithm.
    """
    material, distance = hits.material, hits.distance
    inside = (distance > sensor.range_min_m) & (distance < sensor.range_max_m)
    inside &= ~_hits_own_roof(sensor, local)
    reach = np.where(inside, distance, 1)
    signal = REFLECTANCE[material] * hits.tint * passed * np.maximum(hits.cosine, 1e-3) / (reach * reach)
    seen = 1 / (1 + (np.float32(sensor.sensitivity) / signal) ** np.float32(2.2))
    mirrored = SPECULAR[material] * (1 - hits.cosine) ** 2
    keep = seen * (1 - LOSS[material]) * (1 - mirrored)
    return np.asarray(inside & (_streaky(rng, len(keep)) < keep))


def _streaky(rng: Generator, count: int) -> FloatArray:
    """Return uniform numbers 0..1 [count], often equal for neighbours on a ring: rays get lost in runs."""
    chance = rng.random(count, dtype=np.float32)
    runs = np.repeat(rng.random(-(-count // _RUN), dtype=np.float32), _RUN)[:count]
    return np.where(rng.random(count, dtype=np.float32) < 0.7, runs, chance)


def _hits_own_roof(sensor: Sensor, local: FloatArray) -> NDArray[np.bool_]:
    clearance = max(sensor.height_m - _ROOF_HEIGHT_M, 0.05)
    reach = clearance / np.maximum(-local[:, 2], 1e-3)
    x, y = local[:, 0] * reach, local[:, 1] * reach
    over = (np.abs(y) < _ROOF_HALF_WIDTH_M) & (x < _ROOF_FRONT_M) & (x > _ROOF_REAR_M)
    return np.asarray((local[:, 2] < 0) & over)


def _remission(
    sensor: Sensor, hits: Hits, passed: FloatArray, kept: NDArray[np.int64], rng: Generator
) -> FloatArray:
    """Return remission 0..1: reflectance, dimmer at oblique incidence, with speckle, quantised."""
    material = hits.material[kept]
    value = REFLECTANCE[material] * hits.tint[kept] * passed[kept]
    value *= np.maximum(hits.cosine[kept], np.float32(0.02)) ** LAMBERT[material]
    # The receiver corrects for distance, but not quite at very short and at long distances.
    distance = hits.distance[kept]
    value *= np.clip(0.75 + distance * np.float32(0.04), 0, 1) * np.exp(-distance * np.float32(0.003))
    value *= np.exp(SPREAD[material] * rng.standard_normal(len(kept), dtype=np.float32))
    top = sensor.intensity_levels
    return np.asarray(np.floor(np.clip(value, 0, 0.999) * top) / top, np.float32)
