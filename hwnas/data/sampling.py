"""Samples of large clouds, the same every time.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_SAMPLES = 8192


def sample(count: int, most: int = _SAMPLES) -> npt.NDArray[np.intp]:
    """Return the same up to `most` indices below `count` every time, growing, spread evenly.

    They are not equally spaced: a fixed stride may meet the same few beams of a cloud again and again.
    """
    if count <= most:
        return np.arange(count)
    stride = count / most
    within = np.random.default_rng(most).random(most)
    return np.minimum(((np.arange(most) + within) * stride).astype(np.intp), count - 1)


def ranges_of(points: FloatArray) -> FloatArray:
    """Return the distances [N] of points [N, 3] from the origin; infinite where float32 cannot hold them."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", points, points)), np.float32)
