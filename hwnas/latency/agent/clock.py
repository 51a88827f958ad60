"""Warms a runtime up and clocks it."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Any, Callable, Dict, List

_WINDOW_S = 0.1
_MIN_WINDOW_RUNS = 3
_SELF_CLOCKED_WINDOW = 20


def warm_up(run: Callable[[], None], min_s: float, max_s: float, tolerance: float) -> Dict[str, Any]:
    """Run until at least `min_s` have passed and the medians of the last two windows agree.

    A window lasts 0.1 s and holds at least three runs.

    Returns:
        `seconds` spent, `median_ms` of the last window, `is_settled` false if `max_s` ended it first.
    """
    start = time.perf_counter()
    before = 0.0
    while True:
        window_ms = _window_ms(run)
        now = median(window_ms)
        seconds = time.perf_counter() - start
        is_settled = abs(now - before) < tolerance * now
        if seconds >= max_s or (seconds >= min_s and is_settled):
            return {"seconds": seconds, "median_ms": now, "is_settled": is_settled}
        before = now


def warm_up_self_clocked(
    own_clock: Callable[[int], List[float]], min_s: float, max_s: float, tolerance: float
) -> Dict[str, Any]:
    """Have a runtime that clocks itself do so until the medians of two calls agree; see `warm_up`.

    Such a runtime warms up within each call; this settles what changes between calls, and gives the median.
    """
    start = time.perf_counter()
    before = 0.0
    while True:
        now = median(own_clock(_SELF_CLOCKED_WINDOW))
        seconds = time.perf_counter() - start
        is_settled = abs(now - before) < tolerance * now
        if seconds >= max_s or (seconds >= min_s and is_settled):
            return {"seconds": seconds, "median_ms": now, "is_settled": is_settled}
        before = now


def _window_ms(run: Callable[[], None]) -> List[float]:
    window_ms: List[float] = []
    end = time.perf_counter() + _WINDOW_S
    while len(window_ms) < _MIN_WINDOW_RUNS or time.perf_counter() < end:
        window_ms.append(_timed_ms(run))
    return window_ms


def clock(run: Callable[[], None], count: int) -> List[float]:
    """Return `count` durations in ms, one inference after the other.

    One inference before the first sample is not clocked: another process had the caches meanwhile.
    """
    run()
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return [_timed_ms(run) for _ in range(count)]
    finally:
        if is_collecting:
            gc.enable()


def _timed_ms(run: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6
