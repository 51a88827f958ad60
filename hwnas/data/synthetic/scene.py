"""One scene: its ground, what stands in it, what moves through it, and the way that the sensor takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, List, Tuple

import numpy as np
from numpy.random import Generator

from hwnas.data.sensors import Sensor
from hwnas.data.synthetic import people, vehicles
from hwnas.data.synthetic.ground import Ground, make_ground
from hwnas.data.synthetic.layout import Layout, draw_layout
from hwnas.data.synthetic.lidar import Caster, Pose, Returns
from hwnas.data.synthetic.mesh import Mesh, join
from hwnas.data.synthetic.placement import Site
from hwnas.data.synthetic.presets import PRESETS, Preset
from hwnas.data.synthetic.roadside import furnish

_ORDER = ("urban", "residential", "rural", "residential", "motorway", "urban", "rural", "residential")
_ROUTE_HALF_M = 28.0
_CLEAR_M, _CLEAR_HEIGHT_M = 1.9, 4.4  # room that the vehicle needs to each side and above the road


@dataclass(frozen=True, eq=False)
class Mover:
    """Something that moves along the main road.

    Attributes:
        mesh: its shape, facing +x.
        u: where it is along the road at time 0, m.
        d: metres to the left of the centre line.
        speed: m/s along growing u; negative for oncoming ones.
        turned: further turn (rad) against its direction of travel, for who crosses the road.
    """

    mesh: Mesh
    u: float
    d: float
    speed: float
    turned: float = 0.0


def preset_of(scene: int) -> Preset:
    """Return the kind of place of scene number `scene`; kinds alternate, so few scenes already differ."""
    return PRESETS[_ORDER[scene % len(_ORDER)]]


def scans(
    preset: Preset, rng: Generator, sensor: Sensor, count: int, *, extinction_per_m: float = 0.0
) -> Iterator[Returns]:
    """Draw a scene and yield `count` scans along the way through it.

    Args:
        preset: the kind of place.
        rng: source of everything that is random about it.
        sensor: what the scans are taken with.
        count: scans to take.
        extinction_per_m: extinction coefficient of the air, see `Caster.scan`.
    """
    layout = draw_layout(preset, rng)
    ground = make_ground(layout, rng)
    site = Site(layout, ground, rng)
    furnish(site)
    speed = float(rng.uniform(*layout.preset.speed))
    spacing = min(float(rng.uniform(5, 11)), 2 * _ROUTE_HALF_M / max(count - 1, 1))
    start = (
        float(rng.uniform(-1, 1)) * (_ROUTE_HALF_M - spacing * (count - 1) / 2) - spacing * (count - 1) / 2
    )
    lane = _lane(layout)
    movers = draw_movers(layout, rng, start, lane, speed, spacing * count)
    caster = Caster(_trimmed(join(site.meshes), layout, ground, lane), ground)
    for k in range(count):
        u = start + k * spacing
        pose = _pose(layout, ground, sensor, rng, u, lane + float(rng.normal(0, 0.15)))
        moving = join([_moved(mover, layout, ground, k * spacing / speed) for mover in movers])
        yield caster.scan(sensor, pose, moving, rng, extinction_per_m=extinction_per_m)


def _trimmed(mesh: Mesh, layout: Layout, ground: Ground, lane: float) -> Mesh:
    """Return the mesh without what reaches into the lane of the sensor's vehicle, such as branches."""
    corner = mesh.triangles[:, 0]
    _, d = layout.main.coordinates(corner[:, 0], corner[:, 1])
    near = np.flatnonzero(np.abs(d - np.float32(lane)) < _CLEAR_M)
    level = ground.base_heights(corner[near, 0], corner[near, 1])
    keep = np.ones(len(corner), np.bool_)
    keep[near[corner[near, 2] < level + _CLEAR_HEIGHT_M]] = False
    return Mesh(mesh.triangles[keep], mesh.label[keep], mesh.material[keep], mesh.tint[keep])


def _lane(layout: Layout) -> float:
    """Return the lateral position of the lane that the sensor's vehicle keeps to, which is on the right."""
    road = layout.main
    if road.median > 0:
        return -(road.median + 2 * road.half_width - 1.5 * road.lane_width)
    return -min(road.half_width / 2, road.lane_width / 2 + 0.2)


def _pose(layout: Layout, ground: Ground, sensor: Sensor, rng: Generator, u: float, d: float) -> Pose:
    x, y, yaw = layout.main.point(u, d)
    forward, left = (np.cos(yaw), np.sin(yaw)), (-np.sin(yaw), np.cos(yaw))
    rise = ground.base_at(x + 1.4 * forward[0], y + 1.4 * forward[1]) - ground.base_at(
        x - 1.4 * forward[0], y - 1.4 * forward[1]
    )
    bank = ground.base_at(x + 0.8 * left[0], y + 0.8 * left[1]) - ground.base_at(
        x - 0.8 * left[0], y - 0.8 * left[1]
    )
    return Pose(
        x=x,
        y=y,
        z=ground.base_at(x, y) + sensor.height_m + float(rng.normal(0, 0.02)),
        yaw=yaw + float(rng.normal(0, 0.02)),
        pitch=float(np.arctan(rise / 2.8) + rng.normal(0, 0.008)),
        roll=float(np.arctan(bank / 1.6) + rng.normal(0, 0.006)),
    )


def _moved(mover: Mover, layout: Layout, ground: Ground, time: float) -> Mesh:
    x, y, yaw = layout.main.point(mover.u + mover.speed * time, mover.d)
    yaw += mover.turned + (np.pi if mover.speed < 0 else 0.0)
    return mover.mesh.placed(x, y, ground.height_at(x, y), yaw)


def draw_movers(
    layout: Layout, rng: Generator, start: float, lane: float, speed: float, travel: float
) -> List[Mover]:
    """Draw what moves along the main road.

    Args:
        layout: of the scene.
        rng: decides what there is, and where.
        start: where the sensor's vehicle is along the road at time 0, m.
        lane: its lateral position, m.
        speed: its speed, m/s.
        travel: how far it goes, m.
    """
    traffic = _Traffic(layout, rng, start, lane, speed, travel)
    preset = layout.preset
    for _ in range(int(rng.integers(preset.cars // 2, preset.cars + 3))):
        traffic.drive(vehicles.car)
    for make, chance in ((vehicles.truck, 0.8), (vehicles.bus, 0.7), (people.motorcyclist, 0.7)):
        for _ in range(2 if preset.dual else 1):
            if rng.random() < chance:
                traffic.drive(make)
    if not preset.dual:
        for _ in range(int(rng.integers(1, 4))):
            traffic.cycle()
        for _ in range(int(rng.integers(preset.people // 2, preset.people + 3))):
            traffic.walk()
        if rng.random() < 0.3:
            traffic.cross()
    return traffic.movers


class _Traffic:
    """Draws movers that neither meet each other nor the sensor's vehicle."""

    def __init__(
        self, layout: Layout, rng: Generator, start: float, lane: float, speed: float, travel: float
    ) -> None:
        self.layout, self.rng, self.start, self.lane, self.speed = layout, rng, start, lane, speed
        self.travel = travel
        self.movers: List[Mover] = []
        self._lanes = _lanes(layout, lane)
        self._used: List[Tuple[int, float]] = []

    def drive(self, make: Callable[[Generator], Mesh]) -> None:
        """Add a vehicle on the sensor's lane (ahead or behind, at its speed) or on another one."""
        rng = self.rng
        for _ in range(10):
            number = int(rng.integers(len(self._lanes)))
            ahead = float(rng.uniform(-45, 60))
            if any(lane == number and abs(other - ahead) < 16 for lane, other in self._used):
                continue
            if number == 0 and abs(ahead) < 13:
                continue
            self._used.append((number, ahead))
            d = self._lanes[number]
            # One speed per lane keeps vehicles apart; oncoming traffic drives to the left of the sensor.
            speed = self.speed * (1.0 if number == 0 else 1.15)
            if d > 0:
                speed, ahead = -speed, ahead + self.travel / 2
            self.movers.append(Mover(make(rng), self.start + ahead, d + float(rng.normal(0, 0.15)), speed))
            return

    def cycle(self) -> None:
        """Add a bicyclist near the edge of the road: oncoming, or well ahead of the sensor."""
        rng, edge = self.rng, self.layout.main.half_width - 0.55
        if rng.random() < 0.6:
            mover = Mover(people.bicyclist(rng), self.start + float(rng.uniform(-5, 40)), edge, -4.5)
        else:
            mover = Mover(people.bicyclist(rng), self.start + float(rng.uniform(8, 26)), -edge, self.speed)
        self.movers.append(mover)

    def walk(self) -> None:
        """Add a pedestrian who walks beside the road."""
        rng, layout = self.rng, self.layout
        index = int(rng.integers(2))
        width = layout.sidewalk[index]
        out = layout.strip[index] + 0.5 + float(rng.uniform(0, max(width - 1.0, 0.4)))
        d = (layout.main.outer_edge + out) * (1 if index == 0 else -1)
        speed = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.6))
        self.movers.append(Mover(people.pedestrian(rng), self.start + float(rng.uniform(-15, 45)), d, speed))

    def cross(self) -> None:
        """Add a pedestrian who stands on the road ahead, facing across it."""
        u = self.start + self.travel + float(self.rng.uniform(6, 22))
        d = float(self.rng.uniform(-1, 1)) * self.layout.main.half_width
        self.movers.append(Mover(people.pedestrian(self.rng), u, d, 0.01, turned=np.pi / 2))


def _lanes(layout: Layout, lane: float) -> List[float]:
    """Return lateral positions of lanes; the sensor's own is the first."""
    road = layout.main
    if road.median == 0:
        return [lane, -lane]
    inner, outer = (
        road.median + 0.5 * road.lane_width,
        road.median + 2 * road.half_width - 0.5 * road.lane_width,
    )
    beside = [d for d in (-inner, -outer) if abs(d - lane) > 2.5]
    return [lane, *beside, inner, outer, road.median + road.half_width]
