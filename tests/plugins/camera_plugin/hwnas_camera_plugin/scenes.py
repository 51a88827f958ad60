"""Generated camera images: discs, boxes and stripes before a textured background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 48, 64
CLASS_NAMES = ("background", "disc", "box", "stripe")
COLORS = ((52, 58, 66), (230, 126, 34), (41, 128, 185), (39, 174, 96))
"""Of the classes in pictures, RGB."""

IGNORED = 255
_TINTS = np.array([(0.45, 0.42, 0.38), (0.75, 0.45, 0.2), (0.25, 0.45, 0.7), (0.3, 0.65, 0.35)], np.float32)


def scene(seed: int, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return image `index` of a seed: RGB [3, H, W] in 0..1 and classes [H, W], 255 at unclear edges."""
    rng = np.random.default_rng([seed, index])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    inside = np.zeros((HEIGHT, WIDTH), np.int32)
    for number in range(1, int(rng.integers(3, 7))):
        kind = (number - 1) % 3 + 1  # every image holds a disc and a box
        shape = _shape(kind, rows, columns, rng)
        classes[shape], inside[shape] = kind, number
    tints = _TINTS[classes] * rng.uniform(0.7, 1.3, (HEIGHT, WIDTH, 1))
    shade = 1 + 0.25 * np.sin(rows / rng.uniform(3, 9) + columns / rng.uniform(3, 9))[..., None]
    image = tints * shade * rng.uniform(0.7, 1.2) + rng.normal(0, 0.06, (HEIGHT, WIDTH, 3))
    classes[_edges(inside)] = IGNORED
    return np.clip(image, 0, 1).transpose(2, 0, 1).astype(np.float32), classes


def _shape(
    kind: int, rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    row, column = rng.uniform(6, HEIGHT - 6), rng.uniform(6, WIDTH - 6)
    down, across = rows - row, columns - column
    if kind == 1:
        return np.asarray(np.hypot(down, across) < rng.uniform(4, 10))
    if kind == 2:
        return np.asarray((np.abs(down) < rng.uniform(4, 9)) & (np.abs(across) < rng.uniform(4, 12)))
    angle = rng.uniform(0, np.pi)
    return np.asarray(np.abs(down * np.cos(angle) + across * np.sin(angle)) < rng.uniform(1.5, 3))


def _edges(inside: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour belongs to another shape."""
    edges = np.zeros(inside.shape, bool)
    edges[:-1] |= inside[:-1] != inside[1:]
    edges[:, :-1] |= inside[:, :-1] != inside[:, 1:]
    return edges
