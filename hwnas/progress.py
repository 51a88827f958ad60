"""How far long work is: its `progress` is a function that is given a status, a frozen dataclass.

Python 3.8 syntax: synthetic scans are made on boards, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Status = TypeVar("Status")
Listener = Callable[[Status], None]
"""What is told how far something is, such as `Listener[SearchStatus]`."""


@dataclass(frozen=True)
class CountStatus:
    """How many of several things, such as scans, are done.

    Attributes:
        number: how many are done.
        wanted: how many there are in all.
    """

    number: int
    wanted: int
