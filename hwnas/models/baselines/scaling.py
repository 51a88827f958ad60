"""Widths of a network times a multiplier."""

from __future__ import annotations

from collections.abc import Sequence

DIVISOR = 4
"""A pixel shuffle makes four pixels out of four channels."""


def scaled(widths: Sequence[int], multiplier: float) -> tuple[int, ...]:
    """Return channels times a multiplier, rounded to multiples of `DIVISOR`, and at least that many.

    Raises:
        ValueError: if the multiplier is not positive.
    """
    if not multiplier > 0:
        raise ValueError(f"A width multiplier must be above 0, but is {multiplier!r}.")
    return tuple(max(DIVISOR, round(width * multiplier / DIVISOR) * DIVISOR) for width in widths)
