"""Generated images: noise, a bar, and in half of them a disc."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 32


def image(seed: int, index: int) -> tuple[npt.NDArray[np.uint8], bool]:
    """Return image `index` of a seed, RGB [H, W, 3], and whether it shows a disc: every second one does."""
    rng = np.random.default_rng([seed, index])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pixels = rng.normal(80, 20, (SIDE, SIDE, 3))
    at = int(rng.integers(4, SIDE - 6))
    if rng.random() < 0.5:
        pixels[at : at + 3] += 60
    else:
        pixels[:, at : at + 3] += 60
    has_disc = index % 2 == 0
    if has_disc:
        row, column = rng.uniform(8, SIDE - 8, 2)
        pixels[np.hypot(rows - row, columns - column) < rng.uniform(5, 7)] += [110, 60, -30]
    return np.clip(pixels, 0, 255).astype(np.uint8), has_disc
