"""What stands beside the roads of a scene: buildings, fences, parked vehicles, poles, trees."""

from __future__ import annotations

import numpy as np

from hwnas.data.synthetic import buildings, classes, people, street, vehicles, vegetation
from hwnas.data.synthetic.layout import Bay
from hwnas.data.synthetic.mesh import Mesh
from hwnas.data.synthetic.placement import PAVED, PLOT, WALKED, Site

_LIMIT = 92.0  # metres along the road on both sides of the scene's middle
_NEAR_M = 34.0  # trees nearer than this to the main road are drawn with all their leaves


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
    _street_trees(site)
    _greenery(site)


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
    return vehicles.motorcycle(rng), 2.0


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
            _along(site, side, u, length, out, "hedge" if rng.random() < 0.35 else "fence")
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


def _along(site: Site, side: int, u: float, length: float, out: float, kind: str) -> None:
    """Put a fence, hedge, rail or barrier along the road, in pieces that follow its bends and slopes."""
    pieces = max(1, round(length / 6))
    piece = length / pieces
    for k in range(pieces):
        start = u + k * piece + (0 if side > 0 else piece)
        x, y, _ = site.beside(start, side, out)
        end_x, end_y, _ = site.beside(u + k * piece + (piece if side > 0 else 0), side, out)
        yaw = float(np.arctan2(end_y - y, end_x - x))
        if not site.claim((x + end_x) / 2, (y + end_y) / 2, yaw, (piece * 0.9, 0.4), PAVED):
            continue
        run = float(np.hypot(end_x - x, end_y - y))
        mesh = {
            "fence": street.fence,
            "hedge": vegetation.hedge,
            "rail": lambda _, metres: street.guard_rail(metres),
            "barrier": street.noise_barrier,
            "thicket": vegetation.thicket,
        }[kind](site.rng, run)
        site.put(mesh, x, y, yaw, sink=0.03)


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
    for u in rng.uniform(-55, 55, int(rng.integers(3, 7)) + 3 * (preset.name == "urban")):
        x, y, yaw = site.beside(float(u), side, out + float(rng.uniform(-0.1, 0.4)))
        if site.claim(x, y, yaw, (0.5, 0.5), WALKED):
            large = preset.dual or (preset.name == "rural" and rng.random() < 0.2)
            sign = street.motorway_sign(rng) if large and rng.random() < 0.6 else street.traffic_sign(rng)
            # Signs face who drives on their side of the road.
            site.put(sign, x, y, (yaw + np.pi if side > 0 else yaw + np.pi) + float(rng.normal(0, 0.1)))
    for u in rng.uniform(-60, 60, 3 + 4 * (preset.name in ("urban", "residential"))):
        x, y, yaw = site.beside(float(u), side, out + float(rng.uniform(0, 1.5)))
        if rng.random() < 0.5 and site.claim(x, y, yaw, (0.8, 0.8), WALKED):
            site.put(street.bollard(rng) if rng.random() < 0.5 else street.clutter(rng), x, y, yaw)


def _motorway_edges(site: Site) -> None:
    rng, road = site.rng, site.layout.main
    _along(site, 1, -_LIMIT, 2 * _LIMIT, -road.outer_edge + 0.3, "rail")
    for side in (1, -1):
        _along(site, side, -_LIMIT, 2 * _LIMIT, 0.8, "rail" if rng.random() < 0.7 else "fence")
        if rng.random() < 0.35:
            _along(site, side, -_LIMIT, 2 * _LIMIT, float(rng.uniform(3, 6)), "barrier")
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
            mesh = vehicles.motorcycle(rng) if motor else vehicles.bicycle(rng)
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


def _street_trees(site: Site) -> None:
    rng, preset, layout = site.rng, site.layout.preset, site.layout
    for side in (1, -1):
        if rng.random() >= preset.street_trees:
            continue
        index = 0 if side > 0 else 1
        out = layout.strip[index] + (layout.verge / 2 if layout.verge > 0 else 0.7)
        crowns = [vegetation.broadleaf(rng) for _ in range(3)]
        for u in np.arange(-_LIMIT, _LIMIT, float(rng.uniform(8, 14))):
            x, y, yaw = site.beside(float(u), side, out)
            if rng.random() < 0.85 and site.claim(x, y, yaw, (0.5, 0.5), PAVED):
                mesh = crowns[int(rng.integers(3))]
                site.put(mesh, x, y, float(rng.uniform(0, 6.3)), float(rng.uniform(0.75, 1.05)))


def _thickets(site: Site) -> None:
    """Grow shrubs along the road and, as the back of the scene, behind the plots."""
    rng, layout = site.rng, site.layout
    for side in (1, -1):
        first = layout.frontage(side) + (2.5 if layout.preset.dual else 0.8)
        for low, high, share in ((first, first + 5, layout.preset.thicket), (22, 30, 0.55), (34, 55, 0.65)):
            u = -_LIMIT
            while u < _LIMIT:
                length = float(rng.uniform(8, 26))
                if rng.random() < share:
                    _along(site, side, u, length, float(rng.uniform(low, high)), "thicket")
                u += length + float(rng.uniform(0, 6))


def _greenery(site: Site) -> None:
    """Scatter trees, bushes and tall grass over plots, and close the view with more trees behind."""
    rng, preset = site.rng, site.layout.preset
    near = [vegetation.broadleaf(rng) for _ in range(4)] + [vegetation.conifer(rng) for _ in range(2)]
    far = [vegetation.broadleaf(rng, detail=0.2) for _ in range(4)]
    far += [vegetation.conifer(rng, detail=0.25) for _ in range(2)]
    bushes = [vegetation.bush(rng) for _ in range(6)]
    first = 4.0 if preset.dual else 0.6
    for k in range(preset.trees + 45):
        behind = k >= preset.trees
        side = int(rng.choice([-1, 1]))
        out = float(rng.uniform(22, 75)) if behind else first + float(rng.exponential(11))
        x, y, _ = site.beside(float(rng.uniform(-_LIMIT, _LIMIT)), side, site.layout.frontage(side) + out)
        if site.claim(x, y, 0.0, (0.9, 0.9), PLOT):
            kinds = far if out > _NEAR_M or behind else near
            mesh = kinds[int(rng.integers(len(kinds)))]
            site.put(mesh, x, y, float(rng.uniform(0, 6.3)), float(rng.uniform(0.65, 1.25)))
    _thickets(site)
    for _ in range(preset.bushes):
        side = int(rng.choice([-1, 1]))
        out = site.layout.frontage(side) + first + float(rng.exponential(7))
        x, y, _ = site.beside(float(rng.uniform(-70, 70)), side, out)
        if site.claim(x, y, 0.0, (1.0, 1.0), PLOT):
            mesh = bushes[int(rng.integers(len(bushes)))]
            site.put(mesh, x, y, float(rng.uniform(0, 6.3)), float(rng.uniform(0.6, 1.3)))
    if preset.name in ("rural", "motorway"):
        for _ in range(14):
            x, y, _ = site.beside(
                float(rng.uniform(-50, 50)), int(rng.choice([-1, 1])), 4 + float(rng.exponential(6))
            )
            if site.allowed(x, y, PLOT):
                site.put(vegetation.tall_grass(rng, 500, float(rng.uniform(1, 3))), x, y)
