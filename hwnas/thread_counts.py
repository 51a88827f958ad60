"""How many threads one inference may have: more than a few for each core only wait for each other.

With thousands of them, a process takes minutes to start and to end, and slows down all others of the machine.
Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import os
from typing import Any

from hwnas.errors import ConfigError
from hwnas.text import shown

_LEAST_LIMIT = 64
_OF_EACH_CORE = 4


def most_threads() -> int:
    """Return how many threads are taken on this machine; `export/cpp/src/thread_counts.h` has the same."""
    return max(_LEAST_LIMIT, _OF_EACH_CORE * (os.cpu_count() or 1))


def problem_of_threads(threads: Any, least: int = 0) -> str:
    """Return why this is no number of threads; empty if it is one."""
    most = most_threads()
    is_whole = hasattr(threads, "__index__") and not isinstance(threads, bool)
    if is_whole and least <= int(threads) <= most:
        return ""
    first = "0, which is one for every core," if least == 0 else str(least)
    said = int(threads) if is_whole else threads
    return f"The number of threads is {shown(said)}; expected a whole number from {first} to {most}."


def checked_threads(threads: Any, least: int = 0) -> int:
    """Return a number of threads.

    Args:
        threads: as a caller gave it.
        least: 0 where that means one for every core, else 1.

    Raises:
        ConfigError: if it is no whole number, or more than this machine can use.
    """
    problem = problem_of_threads(threads, least)
    if problem:
        raise ConfigError(problem)
    return int(threads)
