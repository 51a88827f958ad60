"""Frame conventions of point clouds. Python 3.8 syntax, numpy only: this module travels to boards."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
import numpy.typing as npt

# Column and sign of x, y, z (forward, left, up) in each frame convention.
_AXES: Dict[str, Tuple[Tuple[int, int, int], Tuple[int, int, int]]] = {
    "x-forward": ((0, 1, 2), (1, 1, 1)),
    "y-forward": ((1, 0, 2), (1, -1, 1)),
    "z-forward": ((2, 0, 1), (1, -1, -1)),
}

FRAMES = tuple(_AXES)


def to_our_frame(points: npt.NDArray[np.float32], frame: str) -> npt.NDArray[np.float32]:
    """Return points [N, 3] with x forward, y left and z up.

    Args:
        points: [N, 3] in the axes of their file.
        frame: one of `FRAMES`; KeyError for another.
    """
    if frame == "x-forward":
        return points
    columns, signs = _AXES[frame]
    return np.ascontiguousarray(points[:, columns] * np.asarray(signs, np.float32))
