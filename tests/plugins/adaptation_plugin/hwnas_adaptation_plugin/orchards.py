"""Orchards: in each of them ripe fruit has a colour of its own, which nobody knows beforehand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 16
HELD_OUT = 1000
"""Numbers of orchards that are evaluated on begin here."""


def image(seed: int, orchard: int, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return image `index` of an orchard, [3, H, W], and where fruit is ripe, [1, H, W] of 0.0 and 1.0."""
    direction = np.random.default_rng([seed, orchard]).normal(size=3)
    direction /= np.linalg.norm(direction)
    rng = np.random.default_rng([seed, orchard, index])
    patches = rng.normal(size=(3, SIDE // 4, SIDE // 4))
    ripe = np.einsum("c,chw->hw", direction, patches) > 0
    pixels = patches.repeat(4, axis=1).repeat(4, axis=2) + rng.normal(0, 0.15, (3, SIDE, SIDE))
    truth = ripe.repeat(4, axis=0).repeat(4, axis=1)[None]
    return pixels.astype(np.float32), truth.astype(np.float32)
