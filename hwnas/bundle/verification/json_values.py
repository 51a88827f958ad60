"""Compares values with what a JSON file made of them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

_RELATIVE_TOLERANCE = 1e-6


def as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of a value: tuples become lists, keys become text."""
    result: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return result


def is_same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, numbers up to one part in a million.

    Sums over data, such as means, differ in the last digits between versions of numpy and processors.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, int) and isinstance(other, int) and one == other:
        return type(one) is type(other)
    if _is_number(one) and _is_number(other):
        if max(abs(one), abs(other)) > sys.float_info.max:  # whole numbers of JSON may have any length
            return False
        return math.isclose(one, other, rel_tol=_RELATIVE_TOLERANCE)
    return bool(one == other and type(one) is type(other))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
