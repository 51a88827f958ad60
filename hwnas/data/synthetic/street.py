"""What lines a street: fences, walls, rails, poles, signs, lights, and objects outside the 19 classes."""

from __future__ import annotations

from typing import List

import numpy as np
from numpy.random import Generator

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Mesh, Triangles, box, join, surface, tube


def fence(rng: Generator, length: float) -> Mesh:
    """Return a fence along x from 0 to `length` metres: pickets, wire mesh, wooden boards or a low wall."""
    kind = str(rng.choice(["pickets", "wire", "boards", "wall"], p=[0.35, 0.25, 0.2, 0.2]))
    height = float(rng.uniform(0.9, 1.9))
    if kind == "wall":
        wall = box((length / 2, 0, height / 2 - 0.1), (length, 0.25, height + 0.2))
        return surface(wall, classes.FENCE, Material.BRICK, float(rng.uniform(0.7, 1.4)))
    posts = [box((x, 0, height / 2), (0.09, 0.09, height + 0.1)) for x in np.arange(0, length + 0.1, 2.4)]
    if kind == "boards":
        parts = [*posts, box((length / 2, 0, height / 2 + 0.05), (length, 0.04, height - 0.1))]
        return surface(np.concatenate(parts), classes.FENCE, Material.WOOD, float(rng.uniform(0.6, 1.3)))
    rails = [box((length / 2, 0, z), (length, 0.04, 0.07)) for z in (0.2, height - 0.12)]
    gap, width = (0.16, 0.07) if kind == "pickets" else (0.11, 0.022)
    bars = np.arange(0, length, gap)
    pattern = box((0, 0, height / 2), (width, 0.02, height))
    uprights = (pattern[None] + np.column_stack([bars, 0 * bars, 0 * bars])[:, None, None]).reshape(-1, 3, 3)
    if kind == "wire":
        rails += [box((length / 2, 0, z), (length, 0.02, 0.022)) for z in np.arange(0.3, height - 0.1, 0.15)]
    material = Material.WOOD if kind == "pickets" else Material.METAL
    return surface(
        np.concatenate([*posts, *rails, uprights]), classes.FENCE, material, float(rng.uniform(0.6, 1.4))
    )


def guard_rail(length: float) -> Mesh:
    """Return a steel crash barrier along x from 0 to `length` metres."""
    posts = [box((x, 0, 0.35), (0.1, 0.12, 0.75)) for x in np.arange(0, length, 3.0)]
    rails = [box((length / 2, 0.08, z), (length, 0.05, 0.12)) for z in (0.55, 0.71)]
    return surface(np.concatenate(posts + rails), classes.FENCE, Material.METAL, 1.1)


def noise_barrier(rng: Generator, length: float) -> Mesh:
    """Return a noise barrier along x from 0 to `length` metres, 2.5..4 m tall."""
    height = float(rng.uniform(2.5, 4.0))
    posts = [box((x, 0, height / 2), (0.2, 0.26, height)) for x in np.arange(0, length, 4.0)]
    wall = box((length / 2, 0, height / 2), (length, 0.12, height))
    return surface(
        np.concatenate([*posts, wall]), classes.FENCE, Material.CONCRETE, float(rng.uniform(0.7, 1.2))
    )


def lamp_post(rng: Generator) -> Mesh:
    """Return a street lamp whose arm reaches over the road (towards +y)."""
    height, reach = float(rng.uniform(4.5, 9.0)), float(rng.uniform(0.4, 2.0))
    parts = [
        tube((0, 0, -0.2), (0, 0, height), 0.09, 0.05),
        tube((0, 0, -0.2), (0, 0, 1.0), 0.12, 0.12),
        tube((0, 0, height - 0.05), (0, reach, height + 0.15), 0.04, sides=6),
        box((0, reach + 0.25, height + 0.12), (0.25, 0.6, 0.12)),
    ]
    return surface(np.concatenate(parts), classes.POLE, Material.METAL, float(rng.uniform(0.5, 1.4)))


def utility_pole(rng: Generator) -> Mesh:
    """Return a wooden or concrete pole 7..9 m tall with a cross-arm."""
    height = float(rng.uniform(7, 9))
    parts = [tube((0, 0, -0.2), (0, 0, height), 0.15, 0.1), box((0, 0, height - 0.6), (0.1, 1.6, 0.1))]
    return surface(np.concatenate(parts), classes.POLE, Material.WOOD, 0.9)


def bollard(rng: Generator) -> Mesh:
    """Return a bollard about a metre tall with a reflecting band."""
    height = float(rng.uniform(0.7, 1.1))
    body = surface(tube((0, 0, 0), (0, 0, height), 0.06), classes.POLE, Material.METAL, 0.8)
    band = tube((0, 0, height - 0.25), (0, 0, height - 0.13), 0.065)
    return join([body, surface(band, classes.POLE, Material.SIGN_FOIL, 0.6)])


def traffic_sign(rng: Generator) -> Mesh:
    """Return one or two sign plates on a thin pole; they face -x, towards who drives along +x."""
    foot = float(rng.uniform(1.9, 2.5))
    kind = str(rng.choice(["round", "triangle", "square", "wide"], p=[0.4, 0.25, 0.2, 0.15]))
    size = float(rng.uniform(0.55, 0.8))
    plates = [_plate(kind, size, foot + size / 2, float(rng.uniform(0.15, 1.0)))]
    if rng.random() < 0.35:
        plates.append(_plate("wide", 0.45, foot - 0.22, float(rng.uniform(0.15, 1.0))))
    pole = surface(
        tube((0, 0, -0.1), (0, 0, foot + size * 0.7), 0.035, sides=7), classes.POLE, Material.METAL
    )
    return join([pole, *plates])


def _plate(kind: str, size: float, height: float, tint: float) -> Mesh:
    """Return a plate 2 cm thick: its front (-x) retro-reflective foil, its back bare metal."""
    corners = {"round": 12, "triangle": 3, "square": 4, "wide": 4}[kind]
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + (np.pi / 4 if corners == 4 else np.pi / 2)
    radius = size / 2 * (1.4 if corners < 5 else 1.0)
    outline = np.column_stack([np.zeros(corners), np.cos(angle), np.sin(angle)]) * radius
    outline *= [1, 1.0, 0.5] if kind == "wide" else [1, 1, 1]
    outline += [0, 0, height]
    fan = np.stack([np.repeat(outline[:1], corners - 2, 0), outline[1:-1], outline[2:]], axis=1)
    front, back = ((fan - [shift, 0, 0]).astype(np.float32) for shift in (0.06, 0.04))
    return join(
        [
            surface(front, classes.TRAFFIC_SIGN, Material.SIGN_FOIL, tint),
            surface(back, classes.TRAFFIC_SIGN, Material.METAL, 1.2),
        ]
    )


def traffic_light() -> Mesh:
    """Return a traffic light: a pole with a box of lamps, which belongs to none of the 19 classes."""
    pole = tube((0, 0, -0.1), (0, 0, 3.4), 0.07)
    lamps = box((-0.1, 0, 2.9), (0.25, 0.32, 0.95))
    return join(
        [
            surface(pole, classes.POLE, Material.METAL),
            surface(lamps, classes.OTHER_OBJECT, Material.PLASTIC, 0.4),
        ]
    )


def gantry(span: float) -> Mesh:
    """Return a sign bridge over a road: posts at y = -span/2 and span/2 and big signs facing -x."""
    half = span / 2
    steel: List[Triangles] = [tube((0, y, -0.3), (0, y, 6.9), 0.22) for y in (-half, half)]
    steel += [tube((0, -half, z), (0, half, z), 0.12, sides=6) for z in (6.0, 6.8)]
    signs = [box((-0.25, y, 6.7), (0.06, 0.36 * span, 2.2)) for y in (-0.24 * span, 0.24 * span)]
    return join(
        [
            surface(np.concatenate(steel), classes.POLE, Material.METAL),
            surface(np.concatenate(signs), classes.TRAFFIC_SIGN, Material.SIGN_FOIL),
        ]
    )


def motorway_sign(rng: Generator) -> Mesh:
    """Return a large sign on two posts beside the road, facing -x."""
    width, height = float(rng.uniform(1.6, 3.6)), float(rng.uniform(1.2, 2.4))
    posts = np.concatenate([tube((0, y, -0.2), (0, y, 1.6 + height), 0.08) for y in (-width / 3, width / 3)])
    return join(
        [
            surface(posts, classes.POLE, Material.METAL),
            surface(
                box((-0.12, 0, 1.7 + height / 2), (0.05, width, height)),
                classes.TRAFFIC_SIGN,
                Material.SIGN_FOIL,
            ),
        ]
    )


def clutter(rng: Generator) -> Mesh:
    """Return a bin, a bench, a letter box or a cabinet: objects outside the 19 classes."""
    kind = int(rng.integers(0, 3))
    if kind == 0:
        shape = np.concatenate([box((0, 0, 0.5), (0.55, 0.6, 0.95)), box((0, 0, 1.02), (0.6, 0.66, 0.08))])
        return surface(shape, classes.OTHER_OBJECT, Material.PLASTIC, float(rng.uniform(0.4, 1.6)))
    if kind == 1:
        shape = np.concatenate(
            [box((0, 0, 0.45), (1.7, 0.45, 0.06)), box((0, -0.22, 0.72), (1.7, 0.05, 0.35))]
            + [box((x, 0, 0.22), (0.07, 0.4, 0.44)) for x in (-0.7, 0.7)]
        )
        return surface(shape, classes.OTHER_OBJECT, Material.WOOD)
    return surface(
        box((0, 0, 0.6), (0.9, 0.4, 1.2)), classes.OTHER_OBJECT, Material.METAL, float(rng.uniform(0.7, 1.5))
    )
