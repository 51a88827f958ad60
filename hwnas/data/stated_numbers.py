"""Numbers that a manifest states, read strictly: a text, NaN or a truth value is none of them.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

Pair = Tuple[float, float]


def stated_number(value: Any) -> float:
    """Return a finite number; TypeError or ValueError for anything else."""
    number = float(value)
    if isinstance(value, (bool, str)) or not np.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return number


def stated_pair(value: Any) -> Pair:
    """Return two finite numbers in any order; TypeError or ValueError for anything else."""
    first, second = (stated_number(number) for number in value)
    return first, second


def least_and_most(value: Any) -> Pair:
    """Return two finite numbers of which the first is not the larger; TypeError or ValueError for others."""
    least, most = stated_pair(value)
    if least > most:
        raise ValueError(f"{value!r} are not the least and the most of something")
    return least, most
