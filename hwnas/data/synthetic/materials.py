"""How strongly materials send laser light of 905 nm back.

The numbers are chosen by hand from what is generally known of these materials in the near infrared
(asphalt dark, vegetation bright, glass specular, sign foil retro-reflective); they are fitted on no data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """Surface materials; the value indexes the columns of `TABLE`."""

    ASPHALT = 0
    PAVING = 1
    CONCRETE = 2
    PAINT_MARKING = 3
    GRASS = 4
    SOIL = 5
    GRAVEL = 6
    BRICK = 7
    PLASTER = 8
    ROOF_TILE = 9
    GLASS = 10
    WOOD = 11
    METAL = 12
    LEAF = 13
    BARK = 14
    CAR_PAINT = 15
    BLACK_PAINT = 16
    PLASTIC = 17
    TYRE = 18
    CLOTH = 19
    SKIN = 20
    SIGN_FOIL = 21
    PLATE = 22
    CHROME = 23


@dataclass(frozen=True)
class _Optics:
    """Diffuse reflectance 0..1, its spread within one surface (log), and what makes returns vanish.

    `lambert` is the exponent of the cosine of incidence (0: equally bright from everywhere, 1: Lambert);
    `loss` the share of rays that never come back; `specular` the share mirrored away at oblique incidence.
    """

    reflectance: float
    spread: float
    lambert: float
    loss: float
    specular: float


_OPTICS = {
    Material.ASPHALT: _Optics(0.20, 0.28, 0.18, 0.010, 0.00),
    Material.PAVING: _Optics(0.29, 0.22, 0.18, 0.006, 0.00),
    Material.CONCRETE: _Optics(0.33, 0.18, 0.30, 0.006, 0.00),
    Material.PAINT_MARKING: _Optics(0.50, 0.25, 0.10, 0.004, 0.00),
    Material.GRASS: _Optics(0.36, 0.26, 0.05, 0.020, 0.00),
    Material.SOIL: _Optics(0.27, 0.25, 0.15, 0.012, 0.00),
    Material.GRAVEL: _Optics(0.27, 0.30, 0.10, 0.010, 0.00),
    Material.BRICK: _Optics(0.33, 0.22, 0.45, 0.008, 0.00),
    Material.PLASTER: _Optics(0.45, 0.15, 0.45, 0.006, 0.00),
    Material.ROOF_TILE: _Optics(0.26, 0.25, 0.40, 0.010, 0.00),
    Material.GLASS: _Optics(0.08, 0.70, 0.60, 0.780, 0.80),
    Material.WOOD: _Optics(0.36, 0.25, 0.40, 0.010, 0.00),
    Material.METAL: _Optics(0.28, 0.45, 0.60, 0.040, 0.10),
    Material.LEAF: _Optics(0.36, 0.40, 0.25, 0.035, 0.00),
    Material.BARK: _Optics(0.32, 0.32, 0.35, 0.012, 0.00),
    Material.CAR_PAINT: _Optics(0.24, 0.50, 0.90, 0.020, 0.20),
    Material.BLACK_PAINT: _Optics(0.025, 0.80, 0.90, 0.080, 0.60),
    Material.PLASTIC: _Optics(0.20, 0.40, 0.50, 0.020, 0.05),
    Material.TYRE: _Optics(0.06, 0.40, 0.30, 0.080, 0.00),
    Material.CLOTH: _Optics(0.40, 0.35, 0.30, 0.015, 0.00),
    Material.SKIN: _Optics(0.45, 0.15, 0.40, 0.010, 0.00),
    Material.SIGN_FOIL: _Optics(1.30, 0.45, 0.10, 0.004, 0.00),
    Material.PLATE: _Optics(1.15, 0.45, 0.15, 0.006, 0.00),
    Material.CHROME: _Optics(0.50, 0.80, 1.00, 0.150, 0.30),
}

REFLECTANCE = np.array([_OPTICS[m].reflectance for m in Material], np.float32)
SPREAD = np.array([_OPTICS[m].spread for m in Material], np.float32)
LAMBERT = np.array([_OPTICS[m].lambert for m in Material], np.float32)
LOSS = np.array([_OPTICS[m].loss for m in Material], np.float32)
SPECULAR = np.array([_OPTICS[m].specular for m in Material], np.float32)
