"""What stands beside the roads of a scene: buildings, fences, parked vehicles, poles, trees."""

from __future__ import annotations

import numpy as np

from hwnas.data.synthetic import buildings, classes, people, street, two_wheelers, vehicles
from hwnas.data.synthetic.greenery import plant, street_trees
from hwnas.data.synthetic.layout import Bay
from hwnas.data.synthetic.lines import along
from hwnas.data.synthetic.mesh import Mesh
from hwnas.data.synthetic.placement import PAVED, PLOT, WALKED, Site

_LIMIT = 92.0  # metres along the road on both sides of the scene's middle


def furnish(site: Site) -> None:
    """Put everything that stands still into the scene. Early things take their places first."""
    for bay in site.layout.bays:
        _parked_row(site, bay)
    for side in (1, -1):
        _building_row(site, side)
        _front_line(site, side)
        _street_poles(site, side)
    if site.layout.main.median > 0:
        _motorway_edges(site)
    if site.layout.cross is not None:
        _junction(site)
    _parked_elsewhere(site)
    _bicycle_stands(site)
    _standing_people(site)
    street_trees(site)
    plant(site)


def _parked_row(site: Site, bay: Bay) -> None:
    rng, across = site.rng, bay.width > 4
    fill = float(rng.uniform(0.25, 0.85))
    u = bay.start + 1.5
    while u < bay.end - 3:
        draw = rng.random()
        mesh, room = _parked(site, draw) if not across else (vehicles.car(rng), 2.0)
        length = float(np.ptp(mesh.triangles[..., 0]))
        step = 2.6 if across else max(length, room) + float(rng.uniform(0.5, 1.6))
        if rng.random() < fill and (across or u + length < bay.end):
            x, y, yaw = site.beside(u + (0 if across else length / 2), bay.side, bay.width / 2)
            turn = float(rng.choice([0, np.pi])) + (np.pi / 2 if across else 0.0) + float(rng.normal(0, 0.03))
            size = (length + 0.1, float(np.ptp(mesh.triangles[..., 1])) * 0.85)
            if site.claim(x, y, yaw + turn, size, (*WALKED, classes.ROAD)):
                site.put(mesh, x, y, yaw + turn)
        u += step


def _parked(site: Site, draw: float) -> tuple[Mesh, float]:
    """Return what stands in a place along the road: mostly cars."""
    rng = site.rng
    if draw < 0.83:
        return vehicles.car(rng), 4.0
    if draw < 0.87:
        return vehicles.truck(rng), 6.0
    if draw < 0.91:
        return vehicles.bus(rng), 5.0
    return two_wheelers.motorcycle(rng), 2.0


def _building_row(site: Site, side: int) -> None:
    rng, preset = site.rng, site.layout.preset
    u = -_LIMIT + float(rng.uniform(0, 10))
    setback = float(rng.uniform(*preset.setback))
    while u < _LIMIT:
        width = float(rng.uniform(*preset.building_width))
        depth = float(rng.uniform(*preset.building_depth))
        out = site.layout.frontage(side) + setback + float(rng.uniform(0, 1.5)) * (setback > 1)
        x, y, yaw = site.beside(u + width / 2, side, out)
        if rng.random() < preset.building_share and site.claim(
            x, y, yaw, (width, depth), PAVED, depth=depth / 2
        ):
            floors = int(rng.integers(preset.floors[0], preset.floors[1] + 1))
            site.put(buildings.building(rng, width, depth, floors), x, y, yaw, sink=0.1)
        gap = float(rng.uniform(*preset.building_gap))
        x, y, yaw = site.beside(u + width + gap / 2, side, out + 3)
        if gap > 4 and rng.random() < 0.3 and site.claim(x, y, yaw, (6, 6.5), PAVED, depth=3.2):
            site.put(buildings.garage(rng), x, y, yaw)
        u += width + gap


def _front_line(site: Site, side: int) -> None:
    """Put fences and hedges between the street and the plots, with gaps for entrances."""
    rng, preset = site.rng, site.layout.preset
    out = (
        site.layout.frontage(side) + float(rng.uniform(0.25, 0.6)) + (1.5 if preset.name == "rural" else 0.0)
    )
    u = -_LIMIT
    while u < _LIMIT:
        length = float(rng.uniform(4, 16))
        if rng.random() < preset.front_fence:
            along(site, side, u, length, out, "hedge" if rng.random() < 0.35 else "fence")
        u += length + float(rng.uniform(1.0, 4.5))
    # Boundaries between neighbours run away from the street.
    for u in np.arange(-_LIMIT, _LIMIT, 18.0):
        if rng.random() < 0.5 * preset.front_fence:
            x, y, yaw = site.beside(float(u) + float(rng.uniform(0, 6)), side, out + 0.6)
            length = float(rng.uniform(6, 16))
            turned = yaw + np.pi / 2
            middle = (x + np.cos(turned) * length / 2, y + np.sin(turned) * length / 2)
            if site.claim(*middle, turned, (length, 0.5), PAVED):
                site.put(street.fence(rng, length), x, y, turned)


def _street_poles(site: Site, side: int) -> None:
    rng, preset, layout = site.rng, site.layout.preset, site.layout
    index = 0 if side > 0 else 1
    out = layout.strip[index] + 0.35
    if layout.sidewalk[index] == 0:
        out = layout.frontage(side) + float(rng.uniform(0.8, 1.6))
    spacing = float(rng.uniform(22, 38))
    lamps = preset.name in ("residential", "urban") or rng.random() < 0.35
    for u in np.arange(-_LIMIT + float(rng.uniform(0, 20)), _LIMIT, spacing):
        x, y, yaw = site.beside(float(u), side, out)
        if lamps and site.claim(x, y, yaw, (0.4, 0.4), WALKED):
            site.put(street.lamp_post(rng), x, y, yaw + np.pi)
    if preset.name == "rural" and rng.random() < 0.6:
        for u in np.arange(-_LIMIT, _LIMIT, 35.0):
            x, y, yaw = site.beside(float(u), side, out + 3)
            if site.claim(x, y, yaw, (0.5, 0.5), PLOT):
                site.put(street.utility_pole(rng), x, y, yaw)
    _signs(site, side, out)


def _signs(site: Site, side: int, out: float) -> None:
    """Put signs, bollards and clutter along a line `out` metres beside the road."""
    rng, preset = site.rng, site.layout.preset
    for u in rng.uniform(-55, 55, int(rng.integers(3, 7)) + 3 * (preset.name == "urban")):
        x, y, yaw = site.beside(float(u), side, out + float(rng.uniform(-0.1, 0.4)))
        if site.claim(x, y, yaw, (0.5, 0.5), WALKED):
            large = preset.dual or (preset.name == "rural" and rng.random() < 0.2)
            sign = street.motorway_sign(rng) if large and rng.random() < 0.6 else street.traffic_sign(rng)
            # Signs face who drives on their side of the road.
            site.put(sign, x, y, yaw + np.pi + float(rng.normal(0, 0.1)))
    for u in rng.uniform(-60, 60, 3 + 4 * (preset.name in ("urban", "residential"))):
        x, y, yaw = site.beside(float(u), side, out + float(rng.uniform(0, 1.5)))
        if rng.random() < 0.5 and site.claim(x, y, yaw, (0.8, 0.8), WALKED):
            site.put(street.bollard(rng) if rng.random() < 0.5 else street.clutter(rng), x, y, yaw)


def _motorway_edges(site: Site) -> None:
    rng, road = site.rng, site.layout.main
    along(site, 1, -_LIMIT, 2 * _LIMIT, -road.outer_edge + 0.3, "rail")
    for side in (1, -1):
        along(site, side, -_LIMIT, 2 * _LIMIT, 0.8, "rail" if rng.random() < 0.7 else "fence")
        if rng.random() < 0.22:
            along(site, side, -_LIMIT, 2 * _LIMIT, float(rng.uniform(3, 6)), "barrier")
    if rng.random() < 0.6:
        x, y, yaw = road.point(float(rng.uniform(-30, 50)), 0.0)
        site.put(street.gantry(2 * road.outer_edge + 3), x, y, yaw)


def _junction(site: Site) -> None:
    """Put lights or signs at the corners of the crossing."""
    rng, layout = site.rng, site.layout
    cross = layout.cross
    if cross is None:
        return
    lights = layout.preset.name == "urban"
    for side in (1, -1):
        for ahead in (-1, 1):
            u = cross.shift + ahead * (cross.half_width + 5.5)
            x, y, yaw = site.beside(u, side, 0.6 + layout.strip[0 if side > 0 else 1] * 0)
            if site.claim(x, y, yaw, (0.5, 0.5), WALKED):
                mesh = street.traffic_light() if lights else street.traffic_sign(rng)
                site.put(mesh, x, y, yaw + (np.pi if side > 0 else 0.0))


def _parked_elsewhere(site: Site) -> None:
    """Park cars on driveways and yards, and a lorry, a bus or a caravan where there is room."""
    rng, preset = site.rng, site.layout.preset
    if preset.dual:
        return
    wanted = [vehicles.car] * (10 if preset.parking > 0.3 else 3) + [vehicles.truck, vehicles.bus]
    for make in wanted:
        for _ in range(8):
            side = int(rng.choice([-1, 1]))
            x, y, yaw = site.beside(
                float(rng.uniform(-45, 45)), side, site.layout.frontage(side) + float(rng.uniform(1.5, 12))
            )
            yaw += float(rng.choice([0, np.pi / 2])) + float(rng.normal(0, 0.1))
            mesh = make(rng)
            size = (float(np.ptp(mesh.triangles[..., 0])), float(np.ptp(mesh.triangles[..., 1])))
            kinds = (classes.PARKING, classes.OTHER_GROUND) if make is vehicles.car else WALKED
            if site.claim(x, y, yaw, size, kinds):
                site.put(mesh, x, y, yaw)
                break


def _bicycle_stands(site: Site) -> None:
    rng, preset, layout = site.rng, site.layout.preset, site.layout
    if preset.dual:
        return
    for _ in range(7 if preset.name in ("urban", "residential") else 3):
        side = int(rng.choice([-1, 1]))
        start, count = float(rng.uniform(-32, 32)), int(rng.integers(1, 6))
        low = layout.strip[0 if side > 0 else 1] + 0.9
        out = max(low, layout.frontage(side) - float(rng.uniform(0.2, 1.2)))
        motor = rng.random() < 0.35
        across = rng.random() < 0.6
        for k in range(min(count, 3) if motor else count):
            x, y, yaw = site.beside(start + k * ((1.0 if motor else 0.75) if across else 2.3), side, out)
            mesh = two_wheelers.motorcycle(rng) if motor else two_wheelers.bicycle(rng)
            turn = (np.pi / 2 if across else 0.0) + float(rng.normal(0, 0.12))
            if site.claim(x, y, yaw + turn, (1.5, 0.3), WALKED):
                site.put(mesh, x, y, yaw + turn)


def _standing_people(site: Site) -> None:
    rng, preset, layout = site.rng, site.layout.preset, site.layout
    for _ in range(preset.people):
        side = int(rng.choice([-1, 1]))
        out = layout.strip[0 if side > 0 else 1] + float(rng.uniform(0.4, 4.0))
        x, y, _ = site.beside(float(rng.uniform(-40, 40)), side, out)
        for _ in range(int(rng.choice([1, 1, 2]))):
            if site.claim(x, y, 0.0, (0.3, 0.3), WALKED):
                site.put(people.pedestrian(rng), x, y, float(rng.uniform(0, 2 * np.pi)))
            x, y = x + float(rng.uniform(-1, 1)), y + float(rng.uniform(-1, 1))
