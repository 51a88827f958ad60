"""Cars, trucks and buses, facing +x with their middle on the ground at the origin."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import (
    Mesh,
    Triangles,
    box,
    join,
    loft,
    panel,
    quads,
    surface,
    tube,
    wheel,
)

# length, width, height (m); share of the length that the bonnet takes; share that the boot takes
_CAR_SHAPES = {
    "hatchback": (4.0, 1.75, 1.48, 0.25, 0.03),
    "saloon": (4.7, 1.82, 1.45, 0.27, 0.17),
    "estate": (4.7, 1.82, 1.50, 0.26, 0.02),
    "suv": (4.5, 1.88, 1.70, 0.25, 0.02),
    "small": (3.5, 1.64, 1.50, 0.20, 0.02),
    "van": (4.9, 1.92, 1.95, 0.14, 0.01),
}


def car(rng: Generator) -> Mesh:
    """Return a car of a random shape and colour: bonnet, cabin with windows, wheels, lights, plates."""
    length, width, height, bonnet, boot = _CAR_SHAPES[str(rng.choice(list(_CAR_SHAPES)))]
    length, width, height = (float(v * rng.uniform(0.95, 1.06)) for v in (length, width, height))
    paint, tint = paint_of(rng)
    belt = 0.58 * height if height < 1.8 else 0.52 * height
    parts = [surface(_body(length, width, belt, bonnet, boot), classes.CAR, paint, tint)]
    wall, glass = _cabin(length, width, belt, height, bonnet, boot)
    parts += [surface(wall, classes.CAR, paint, tint), surface(glass, classes.CAR, Material.GLASS)]
    parts += _running_gear(length, width, classes.CAR, radius=0.32)
    parts += _lights_and_plates(length, width, classes.CAR)
    mirrors = [
        box((0.16 * length, side * (width / 2 + 0.08), belt + 0.06), (0.12, 0.2, 0.14)) for side in (-1, 1)
    ]
    parts.append(surface(np.concatenate(mirrors), classes.CAR, paint, tint))
    return join(parts)


def paint_of(rng: Generator) -> Tuple[Material, float]:
    """Return the lacquer of a vehicle and its tint; a third of them are black."""
    if rng.random() < 0.32:
        return Material.BLACK_PAINT, float(rng.uniform(0.4, 2.5))
    return Material.CAR_PAINT, float(rng.choice([0.35, 0.6, 1.0, 1.6, 2.2]) * rng.uniform(0.85, 1.15))


def _body(length: float, width: float, belt: float, bonnet: float, boot: float) -> Triangles:
    """Return the lower body: cross-sections from the tail to the nose with rounded shoulders."""
    half = length / 2
    tail = 0.97 if boot < 0.1 else 0.94
    stations = [
        # x, width factor, underside, top as a share of the belt line
        (-half, 0.86, 0.34, 0.80 * tail),
        (-half + 0.12, 0.96, 0.24, tail),
        (-half + boot * length, 1.0, 0.2, 1.0),
        (0.0, 1.0, 0.19, 1.0),
        (half - bonnet * length, 1.0, 0.2, 0.99),
        (half - 0.35, 0.96, 0.2, 0.86),
        (half - 0.08, 0.88, 0.24, 0.72),
        (half, 0.76, 0.34, 0.58),
    ]
    sections = [_shoulder(x, width / 2 * share, low, top * belt) for x, share, low, top in stations]
    return loft(np.array(sections))


def _shoulder(x: float, half: float, low: float, top: float) -> List[Tuple[float, float, float]]:
    waist = low + 0.55 * (top - low)
    side = [
        (half * 0.9, low),
        (half, low + 0.12),
        (half, waist),
        (half * 0.96, top - 0.06),
        (half * 0.86, top),
    ]
    return [(x, -y, z) for y, z in side] + [(x, y, z) for y, z in reversed(side)]


def _cabin(
    length: float, width: float, belt: float, height: float, bonnet: float, boot: float
) -> Tuple[Triangles, Triangles]:
    front, rear = length / 2 - bonnet * length, -length / 2 + boot * length + 0.08
    rake_front, rake_rear = 0.62 * (height - belt) * 1.5, 0.35 * (height - belt)
    low, high = width / 2 * 0.88, width / 2 * 0.70
    base = np.array([[rear, -low], [front, -low], [front, low], [rear, low]])
    roof = np.array([[rear + rake_rear, -high], [front - rake_front, -high]])
    roof = np.concatenate([roof, roof[::-1] * [1, -1]])
    bottom = np.column_stack([base, np.full(4, belt - 0.03)])
    top = np.column_stack([roof, np.full(4, height)])
    walls: List[Triangles] = [quads([top])]
    glasses: List[Triangles] = []
    for start in range(4):
        end = (start + 1) % 4
        corners = [bottom[start], bottom[end], top[end], top[start]]
        sideways = start in (0, 2)
        across = [0, 0.07, 0.36, 0.42, 0.70, 0.75, 0.93, 1] if sideways else [0, 0.06, 0.94, 1]
        pattern = [False, True, False, True, False, True, False] if sideways else [False, True, False]
        window = np.zeros((3, len(pattern)), np.bool_)
        window[1] = pattern
        wall, glass = panel(corners, across, [0, 0.1, 0.86, 1], window, 0.0)
        walls.append(wall)
        glasses.append(glass)
    return np.concatenate(walls), np.concatenate(glasses)


def _running_gear(length: float, width: float, label: int, radius: float) -> List[Mesh]:
    axles = (-0.29 * length, 0.31 * length)
    tyres = [wheel((x, side * (width / 2 - 0.08), radius), radius, 0.22) for x in axles for side in (-1, 1)]
    hubs = [
        wheel((x, side * (width / 2 + 0.025), radius), radius * 0.62, 0.03, sides=8)
        for x in axles
        for side in (-1, 1)
    ]
    return [
        surface(np.concatenate(tyres), label, Material.TYRE),
        surface(np.concatenate(hubs), label, Material.METAL),
    ]


def _lights_and_plates(length: float, width: float, label: int) -> List[Mesh]:
    half = length / 2
    plates = np.concatenate([box((x, 0, 0.5), (0.03, 0.52, 0.12)) for x in (-half - 0.01, half + 0.01)])
    lights = [box((half - 0.1, s * width * 0.36, 0.64), (0.16, 0.3, 0.14)) for s in (-1, 1)]
    lights += [box((-half + 0.06, s * width * 0.41, 0.78), (0.16, 0.2, 0.2)) for s in (-1, 1)]
    return [
        surface(plates, label, Material.PLATE),
        surface(np.concatenate(lights), label, Material.SIGN_FOIL, 0.45),
    ]


def truck(rng: Generator) -> Mesh:
    """Return a lorry: cab, load box or open platform above a frame that rays pass under, wheels, plates."""
    length = float(rng.uniform(6.0, 12.5))
    width, height = float(rng.uniform(2.3, 2.5)), float(rng.uniform(2.8, 3.9))
    tint = float(rng.uniform(0.5, 2.0))
    front, label = length / 2, classes.TRUCK
    cab_height = min(height, float(rng.uniform(2.6, 3.4)))
    parts = [
        surface(
            box((-1.1, 0, (height + 1.1) / 2), (length - 2.4, width, height - 1.1)),
            label,
            Material.METAL,
            tint,
        ),
        surface(box((0, 0, 0.85), (length - 0.6, 0.9, 0.35)), label, Material.METAL, 0.5),
        surface(box((-front + 0.05, 0, 0.6), (0.1, width - 0.1, 0.3)), label, Material.METAL, 0.6),
    ]
    cab, glass = _windowed_box((front - 1.95, front), width * 0.96, (0.45, cab_height), 1.0, (0.5, 0.82))
    parts += [surface(cab, label, Material.CAR_PAINT, float(rng.uniform(0.5, 2.2)))]
    parts += [surface(glass, label, Material.GLASS)]
    axles = [front - 1.2, -front + 1.6] + ([-front + 2.9] if length > 8 else [])
    tyres = [wheel((x, s * (width / 2 - 0.18), 0.5), 0.5, 0.34) for x in axles for s in (-1, 1)]
    parts.append(surface(np.concatenate(tyres), label, Material.TYRE))
    plates = np.concatenate([box((x, 0, 0.6), (0.04, 0.55, 0.14)) for x in (-front - 0.02, front + 0.02)])
    stripe = box((-front - 0.01, 0, 1.25), (0.02, width - 0.2, 0.07))
    parts += [surface(plates, label, Material.PLATE), surface(stripe, label, Material.SIGN_FOIL, 0.6)]
    return join(parts)


def bus(rng: Generator) -> Mesh:
    """Return a bus with a window band, or for a third of the draws a caravan: other vehicles."""
    label = classes.OTHER_VEHICLE
    if rng.random() < 0.33:
        return _caravan(rng)
    length, width, height = float(rng.uniform(9, 12.5)), 2.5, float(rng.uniform(2.9, 3.2))
    half = length / 2
    shell, glass = _windowed_box((-half, half), width, (0.32, height), 1.4, (0.38, 0.8))
    parts = [
        surface(shell, label, Material.CAR_PAINT, float(rng.uniform(0.8, 2.4))),
        surface(glass, label, Material.GLASS),
    ]
    tyres = [
        wheel((x, s * (width / 2 - 0.1), 0.48), 0.48, 0.3)
        for x in (-0.28 * length, 0.3 * length)
        for s in (-1, 1)
    ]
    parts.append(surface(np.concatenate(tyres), label, Material.TYRE))
    return join(parts + _lights_and_plates(length, width, label))


def _caravan(rng: Generator) -> Mesh:
    label, length = classes.OTHER_VEHICLE, float(rng.uniform(4.0, 5.6))
    shell, glass = _windowed_box((-length / 2, length / 2), 2.2, (0.45, 2.55), 1.3, (0.45, 0.75))
    tyres = np.concatenate([wheel((0, s * 0.95, 0.32), 0.32, 0.2) for s in (-1, 1)])
    bar = tube((length / 2, 0, 0.5), (length / 2 + 1.2, 0, 0.45), 0.05)
    return join(
        [
            surface(shell, label, Material.PLASTIC, 2.0),
            surface(glass, label, Material.GLASS),
            surface(tyres, label, Material.TYRE),
            surface(bar, label, Material.METAL),
        ]
    )


def _windowed_box(
    x: Tuple[float, float], width: float, z: Tuple[float, float], bay: float, band: Tuple[float, float]
) -> Tuple[Triangles, Triangles]:
    """Return the skin of a box with a band of windows round it, and the windows."""
    half = width / 2
    plan = np.array([[x[0], -half], [x[1], -half], [x[1], half], [x[0], half]])
    walls: List[Triangles] = [box(((x[0] + x[1]) / 2, 0, z[1]), (x[1] - x[0], width, 0.04))]
    glasses: List[Triangles] = []
    for start in range(4):
        p, q = plan[start], plan[(start + 1) % 4]
        corners = [(*p, z[0]), (*q, z[0]), (*q, z[1]), (*p, z[1])]
        bays = max(1, round(float(np.linalg.norm(q - p)) / bay))
        across = _bay_edges(bays, 0.06)
        window = np.zeros((3, len(across) - 1), np.bool_)
        window[1, 1::2] = True
        wall, glass = panel(corners, across, [0, band[0], band[1], 1], window, 0.02)
        walls.append(wall)
        glasses.append(glass)
    return np.concatenate(walls), np.concatenate(glasses)


def _bay_edges(bays: int, margin: float) -> NDArray[np.float64]:
    edges: Sequence[float] = [e for k in range(bays) for e in ((k + margin) / bays, (k + 1 - margin) / bays)]
    return np.array([0.0, *edges, 1.0])
