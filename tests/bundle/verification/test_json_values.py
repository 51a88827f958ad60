from __future__ import annotations

import math

import pytest

from hwnas.bundle.verification.json_values import is_same

HUGE = 10**400


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.0 + 1e-7, True),
        (1.0, 1.0 + 1e-5, False),
        (1, 1.0, True),
        (1, True, False),
        (HUGE, HUGE, True),
        (HUGE, 1.0, False),
        ({"a": [1, HUGE]}, {"a": [1, 2]}, False),
        (math.nan, math.nan, False),
    ],
)
def test_numbers_of_any_length_are_compared(one: object, other: object, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same
