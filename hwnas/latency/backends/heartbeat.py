"""Tells the driver that a long request is still being worked on, so that it does not count as hung."""

from __future__ import annotations

from typing import Callable, List

_listeners: List[Callable[[str, bool], None]] = []


def listen(listener: Callable[[str, bool], None]) -> None:
    """Have what is said from now on, and whether it is waiting for others, go to `listener` alone."""
    _listeners[:] = [listener]


def say(what: str, *, is_waiting: bool = False) -> None:
    """Tell what is being done, or waited for; each time renews the driver's patience."""
    for listener in _listeners:
        listener(what, is_waiting)
