"""Long things that follow a road: fences, hedges, rails, barriers, thickets."""

from __future__ import annotations

import numpy as np

from hwnas.data.synthetic import street, vegetation
from hwnas.data.synthetic.placement import PAVED, Site


def along(site: Site, side: int, u: float, length: float, out: float, kind: str) -> None:
    """Put something along the road in pieces that follow its bends and slopes.

    Args:
        site: where.
        side: +1 left, -1 right of the main road.
        u: where it begins along the road, m.
        length: m.
        out: metres outside the road's edge.
        kind: fence, hedge, rail, barrier or thicket.
    """
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
