from collections.abc import Callable
from typing import Any

import pytest

from hwnas.data.stated_numbers import least_and_most, stated_number, stated_pair


def test_numbers_are_read() -> None:
    assert stated_number(3) == 3.0
    assert stated_pair([2, 1.5]) == (2.0, 1.5)
    assert least_and_most([1.5, 1.5]) == (1.5, 1.5)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (stated_number, True),
        (stated_number, "1"),
        (stated_number, float("nan")),
        (stated_number, float("inf")),
        (stated_number, None),
        (stated_pair, [1]),
        (stated_pair, [1, 2, 3]),
        (stated_pair, [1, True]),
        (stated_pair, "12"),
        (least_and_most, [2, 1]),
    ],
)
def test_other_values_are_refused(read: Callable[[Any], object], value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        read(value)
