"""Figures with their intervals: as many digits as tell something, the same decimals for all three."""

from __future__ import annotations

import math

import pytest

from hwnas.text import figure, with_interval


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.004837, 4, "0.004837"),
        (0.000293, 4, "0.0002930"),
        (0.0099999, 3, "0.0100"),
        (9.9996, 3, "10.0"),
        (23.456, 3, "23.5"),
        (456.7, 3, "457"),
        (123456.0, 3, "123456"),
        (-0.0123, 3, "-0.0123"),
        (0.0, 3, "0.00"),
        (math.inf, 3, "inf"),
        (1e-30, 3, "0.000000000000"),
    ],
)
def test_figures_have_significant_digits_and_no_exponent(value: float, digits: int, shown: str) -> None:
    assert figure(value, digits) == shown


@pytest.mark.parametrize(
    ("value", "interval", "digits", "shown"),
    [
        (0.004837, (0.003412, 0.005098), 4, ("0.004837", "0.003412", "0.005098")),
        (0.000293, (0.0002, 0.0004), 4, ("0.0002930", "0.0002000", "0.0004000")),
        (20.0, (19.9, 20.25), 3, ("20.0", "19.9", "20.2")),
        (457.2, (457.1, 457.3), 3, ("457.2", "457.1", "457.3")),  # more where the ends would look alike
        (2.0, (2.0, 2.0), 3, ("2.00", "2.00", "2.00")),
        (0.0, (0.0, 0.0), 3, ("0.00", "0.00", "0.00")),
    ],
)
def test_ends_of_intervals_have_the_decimals_of_the_figure(
    value: float, interval: tuple[float, float], digits: int, shown: tuple[str, str, str]
) -> None:
    assert with_interval(value, interval, digits) == shown
