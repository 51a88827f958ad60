"""Rings and label ids: numbers that are not whole, or that the type does not hold, are refused and never cut.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import numpy.typing as npt

RING_LIMITS = (0, 2**31 - 1)
LABEL_LIMITS = (0, 2**32 - 1)
"""What files may hold: what int32 and uint32 hold, counted from 0."""


def is_whole_within(values: npt.NDArray[Any], limits: Tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which of real numbers are whole and lie within limits, both included."""
    least, most = limits
    if values.dtype.kind != "f":
        return np.asarray((values >= least) & (values <= most))
    # Limits would be rounded otherwise: in float32 2**31 - 1 is 2**31, which int32 does not hold, and in
    # float64 2**63 - 1 is 2**63. One more than the limit is exact.
    exact = values.astype(np.result_type(values.dtype, np.float64), copy=False)
    with np.errstate(invalid="ignore"):
        return np.asarray((exact == np.rint(exact)) & (exact >= least) & (exact < float(most + 1)))


def expected_within(limits: Tuple[int, int]) -> str:
    """Return what is expected of such numbers, for an error."""
    return f"expected whole numbers from {limits[0]} to {limits[1]}"
