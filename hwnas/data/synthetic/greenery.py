"""Where trees and shrubs stand in a scene."""

from __future__ import annotations

import numpy as np

from hwnas.data.synthetic import vegetation
from hwnas.data.synthetic.lines import along
from hwnas.data.synthetic.placement import PAVED, PLOT, Site

_LIMIT = 92.0  # metres along the road on both sides of the scene's middle
_NEAR_M = 34.0  # trees nearer than this to the main road are drawn with all their leaves


def street_trees(site: Site) -> None:
    """Plant rows of trees at the road's edge."""
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
                    along(site, side, u, length, float(rng.uniform(low, high)), "thicket")
                u += length + float(rng.uniform(0, 6))


def plant(site: Site) -> None:
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
        out = float(rng.uniform(22, 75)) if behind else first + float(rng.exponential(8))
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
