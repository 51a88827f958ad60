"""Samples of large clouds, the same every time.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
