"""Bicycles and motorcycles, facing +x with their middle on the ground at the origin."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from hwnas.data.synthetic import classes
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import Mesh, box, hoop, join, loft, surface, tube, wheel
from hwnas.data.synthetic.vehicles import paint_of


def bicycle(rng: Generator) -> Mesh:
    """Return a bicycle: two thin wheels with spokes, a tube frame, handlebar and saddle."""
    label = classes.BICYCLE
    metal = [
        tube((-0.5, 0, 0.35), (-0.12, 0, 0.86), 0.022, sides=5),
        tube((-0.5, 0, 0.35), (-0.05, 0, 0.3), 0.022, sides=5),
        tube((-0.05, 0, 0.3), (-0.14, 0, 0.92), 0.025, sides=5),
        tube((-0.05, 0, 0.3), (0.4, 0, 0.85), 0.03, sides=5),
        tube((-0.12, 0, 0.82), (0.4, 0, 0.85), 0.026, sides=5),
        tube((0.4, 0, 0.95), (0.53, 0, 0.35), 0.025, sides=5),
        tube((0.36, -0.29, 1.04), (0.36, 0.29, 1.04), 0.022, sides=5),
        tube((0.4, 0, 0.9), (0.36, 0, 1.04), 0.022, sides=5),
    ]
    for x in (-0.53, 0.53):
        for turn in np.arange(4) * np.pi / 4 + float(rng.uniform(0, 1)):
            spoke = np.array([np.cos(turn), 0, np.sin(turn)]) * 0.32
            metal.append(tube(np.array([x, 0, 0.35]) - spoke, np.array([x, 0, 0.35]) + spoke, 0.008, sides=3))
    tyres = [hoop((x, 0, 0.35), 0.35, 0.045) for x in (-0.53, 0.53)]
    soft = [box((-0.16, 0, 0.95), (0.26, 0.15, 0.07))]
    if rng.random() < 0.5:
        soft.append(box((-0.55, 0, 0.78), (0.4, 0.3, 0.22)))
    return join(
        [
            surface(np.concatenate(metal), label, Material.METAL, 1.5),
            surface(np.concatenate(tyres), label, Material.TYRE, 2.5),
            surface(np.concatenate(soft), label, Material.PLASTIC),
            surface(box((-0.75, 0, 0.62), (0.02, 0.07, 0.07)), label, Material.SIGN_FOIL),
        ]
    )


def motorcycle(rng: Generator) -> Mesh:
    """Return a motorcycle or scooter: thick wheels, engine, tank, seat, fork and handlebar."""
    label = classes.MOTORCYCLE
    paint, tint = paint_of(rng)
    scooter = rng.random() < 0.4
    radius = 0.24 if scooter else 0.31
    tyres = [wheel((x, 0, radius), radius, 0.14) for x in (-0.68, 0.7)]
    metal = [
        tube((0.7, -0.09, radius), (0.42, -0.09, 0.95), 0.03, sides=5),
        tube((0.7, 0.09, radius), (0.42, 0.09, 0.95), 0.03, sides=5),
        tube((0.38, -0.38, 1.03), (0.38, 0.38, 1.03), 0.022, sides=5),
        tube((-0.7, -0.16, 0.35), (0.05, -0.16, 0.3), 0.05, sides=6),
    ]
    if scooter:
        hull = [box((0.36, 0, 0.66), (0.1, 0.42, 0.6)), box((0.05, 0, 0.3), (0.6, 0.34, 0.08))]
        hull += [box((-0.45, 0, 0.5), (0.75, 0.36, 0.4))]
    else:
        metal.append(box((0.02, 0, 0.42), (0.5, 0.36, 0.42)))
        tank = [
            (0.45, 0.1, 0.62, 0.86),
            (0.25, 0.17, 0.6, 0.95),
            (-0.1, 0.13, 0.6, 0.84),
            (-0.85, 0.1, 0.66, 0.86),
        ]
        hull = [loft(np.array([[(x, -w, a), (x, -w, b), (x, w, b), (x, w, a)] for x, w, a, b in tank]))]
    return join(
        [
            surface(np.concatenate(tyres), label, Material.TYRE, 1.5),
            surface(np.concatenate(metal), label, Material.CHROME, 0.7),
            surface(np.concatenate(hull), label, paint, tint),
            surface(box((-0.4, 0, 0.86), (0.65, 0.26, 0.08)), label, Material.PLASTIC),
            surface(box((-0.95, 0, 0.62), (0.02, 0.2, 0.16)), label, Material.PLATE),
            surface(box((0.5, 0, 0.9), (0.08, 0.2, 0.2)), label, Material.SIGN_FOIL, 0.4),
        ]
    )
