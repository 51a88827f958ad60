"""People: walking, and riding bicycles and motorcycles. They face +x and stand at the origin."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
from numpy.random import Generator

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Mesh, Triangles, box, ellipsoid, join, surface, tube
from hwnas.data.synthetic.two_wheelers import bicycle, motorcycle

_Point = Tuple[float, float, float]


def pedestrian(rng: Generator) -> Mesh:
    """Return a person in a random phase of walking (or standing), 1.2..1.95 m tall, some with a bag."""
    scale = float(rng.normal(1.0, 0.05)) if rng.random() < 0.88 else float(rng.uniform(0.68, 0.85))
    stride = float(rng.uniform(-0.34, 0.34))
    swing = -stride * float(rng.uniform(0.5, 1.0))
    legs = _limb((0, 0.1, 0.9), (0.5 * stride + 0.05, 0.1, 0.48), (stride - 0.02, 0.1, 0.05), 0.085)
    legs += _limb((0, -0.1, 0.9), (-0.5 * stride + 0.05, -0.1, 0.48), (-stride - 0.02, -0.1, 0.05), 0.085)
    legs += [box((x + 0.06, y, 0.04), (0.26, 0.1, 0.08)) for x, y in ((stride, 0.1), (-stride, -0.1))]
    arms = _limb((0, 0.23, 1.42), (0.4 * swing, 0.27, 1.15), (swing + 0.06, 0.25, 0.9), 0.05)
    arms += _limb((0, -0.23, 1.42), (-0.4 * swing, -0.27, 1.15), (-swing + 0.06, -0.25, 0.9), 0.05)
    upper = [tube((0, 0, 0.86), (0.01, 0, 1.18), 0.17, 0.18, flatten=0.68)]
    upper += [tube((0.01, 0, 1.18), (0.02, 0, 1.48), 0.18, 0.16, flatten=0.68)]
    cloth, trousers = float(rng.uniform(0.4, 1.7)), float(rng.uniform(0.3, 1.5))
    parts = [
        surface(np.concatenate(legs), classes.PERSON, Material.CLOTH, trousers),
        surface(np.concatenate(upper + arms), classes.PERSON, Material.CLOTH, cloth),
        *_head((0.03, 0, 1.63)),
    ]
    if rng.random() < 0.35:
        bag = box((-0.2, 0, 1.25), (0.2, 0.3, 0.42))
        parts.append(surface(bag, classes.PERSON, Material.CLOTH, float(rng.uniform(0.3, 1.5))))
    return join(parts).placed(0, 0, 0, 0, scale)


def bicyclist(rng: Generator) -> Mesh:
    """Return a person riding a bicycle; all of it is of the class bicyclist."""
    rider = _rider(
        rng, hip=(-0.14, 0, 1.0), shoulder=(0.14, 0, 1.5), hand=(0.36, 0.25, 1.06), foot=(0.0, 0.13, 0.3)
    )
    return join([bicycle(rng), rider]).relabelled(classes.BICYCLIST)


def motorcyclist(rng: Generator) -> Mesh:
    """Return a person riding a motorcycle; all of it is of the class motorcyclist."""
    rider = _rider(
        rng, hip=(-0.32, 0, 0.95), shoulder=(-0.05, 0, 1.46), hand=(0.38, 0.34, 1.05), foot=(0.1, 0.22, 0.3)
    )
    return join([motorcycle(rng), rider]).relabelled(classes.MOTORCYCLIST)


def _rider(rng: Generator, hip: _Point, shoulder: _Point, hand: _Point, foot: _Point) -> Mesh:
    pedal = float(rng.uniform(-0.14, 0.14))
    trousers: List[Triangles] = []
    sleeves: List[Triangles] = []
    for side in (-1.0, 1.0):
        sole = (foot[0] + side * pedal, side * foot[1], foot[2] + side * pedal * 0.8)
        knee = (0.5 * (hip[0] + sole[0]) + 0.26, side * 0.14, 0.5 * (hip[2] + sole[2]) + 0.12)
        trousers += _limb((hip[0], side * 0.1, hip[2]), knee, sole, 0.085)
        elbow = (0.5 * (shoulder[0] + hand[0]) - 0.03, side * 0.29, 0.5 * (shoulder[2] + hand[2]) - 0.05)
        sleeves += _limb(
            (shoulder[0], side * 0.21, shoulder[2]), elbow, (hand[0], side * hand[1], hand[2]), 0.05
        )
    torso = tube(hip, shoulder, 0.17, flatten=0.72)
    return join(
        [
            surface(np.concatenate(trousers), 0, Material.CLOTH, float(rng.uniform(0.3, 1.4))),
            surface(np.concatenate([torso, *sleeves]), 0, Material.CLOTH, float(rng.uniform(0.4, 1.8))),
            *_head((shoulder[0] + 0.07, 0, shoulder[2] + 0.17)),
        ]
    )


def _limb(start: _Point, joint: _Point, end: _Point, radius: float) -> List[Triangles]:
    return [
        tube(start, joint, radius, 0.8 * radius, sides=6),
        tube(joint, end, 0.8 * radius, 0.6 * radius, sides=6),
    ]


def _head(centre: _Point) -> List[Mesh]:
    head = ellipsoid(centre, (0.1, 0.085, 0.13), rings=4, sides=7)
    neck = tube((centre[0], 0, centre[2] - 0.2), centre, 0.06, sides=6)
    return [surface(np.concatenate([head, neck]), classes.PERSON, Material.SKIN)]
