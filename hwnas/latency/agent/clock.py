"""Warms a backend up and clocks it."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Any, Callable, Dict, List, Optional

_WINDOW_S = 0.1
_MIN_WINDOW_RUNS = 3
_SELF_CLOCKED_WINDOW = 20
_SLOW_WINDOW_S = 1.0

FAR_OVER = 1.5
"""A network is far over a limit if its fastest inference takes this many times as long."""
_FAR_OVER_AT_ONCE = 10.0
"""The first inference includes work that is done once; it alone is proof only from this factor on."""


def warm_up(
    run: Callable[[], None],
    min_s: float,
    max_s: float,
    tolerance: float,
    give_up_over_ms: Optional[float] = None,
) -> Dict[str, Any]:
    """Run until at least `min_s` have passed and the medians of the last two windows agree.

    A window lasts 0.1 s and holds at least three runs, or ends with the run that reaches one second, so that
    slow networks do not hold the clock: the whole takes `max_s` and at most one window more.

    Args:
        run: one inference.
        min_s: shortest duration.
        max_s: ends it, settled or not.
        tolerance: relative difference at which two medians agree.
        give_up_over_ms: a network whose inferences are far over this is not worth more time.

    Returns:
        `seconds` spent, `median_ms` and `window_ms`, all samples, of the last window, `is_settled` false if
        `max_s` ended it before two windows agreed, `gave_up` whether the limit did.
    """
    return _warm_up(lambda: _window_ms(run), min_s, max_s, tolerance, give_up_over_ms)


def warm_up_self_clocked(
    own_clock: Callable[[int], List[float]],
    min_s: float,
    max_s: float,
    tolerance: float,
    give_up_over_ms: Optional[float] = None,
) -> Dict[str, Any]:
    """Have a backend that clocks itself do so until the medians of two calls agree; see `warm_up`.

    Such a backend warms up within each call; this settles what changes between calls, and gives the median.
    """
    return _warm_up(lambda: own_clock(_SELF_CLOCKED_WINDOW), min_s, max_s, tolerance, give_up_over_ms)


def _warm_up(
    window: Callable[[], List[float]],
    min_s: float,
    max_s: float,
    tolerance: float,
    give_up_over_ms: Optional[float],
) -> Dict[str, Any]:
    start = time.perf_counter()
    before = 0.0
    runs_ms: List[float] = []
    while True:
        window_ms = window()
        runs_ms += window_ms
        now = median(window_ms)
        seconds = time.perf_counter() - start
        is_settled = abs(now - before) < tolerance * now
        gave_up = give_up_over_ms is not None and _is_far_over(runs_ms, give_up_over_ms)
        if gave_up or seconds >= max_s or (seconds >= min_s and is_settled):
            return {
                "seconds": seconds,
                "median_ms": now,
                "window_ms": window_ms,
                "is_settled": is_settled,
                "gave_up": gave_up,
            }
        before = now


def _is_far_over(runs_ms: List[float], limit_ms: float) -> bool:
    # The fastest, since whatever disturbs a machine only makes it slower.
    factor = FAR_OVER if len(runs_ms) >= _MIN_WINDOW_RUNS else _FAR_OVER_AT_ONCE
    return min(runs_ms) > factor * limit_ms


def _window_ms(run: Callable[[], None]) -> List[float]:
    window_ms: List[float] = []
    start = time.perf_counter()
    while True:
        window_ms.append(_timed_ms(run))
        seconds = time.perf_counter() - start
        if seconds >= _SLOW_WINDOW_S or (seconds >= _WINDOW_S and len(window_ms) >= _MIN_WINDOW_RUNS):
            return window_ms


def clock(run: Callable[[], None], count: int, lead: int = 1) -> List[float]:
    """Return `count` durations in ms, one inference after the other.

    Args:
        run: one inference.
        count: samples.
        lead: inferences before the first sample that are not clocked, because another network had the caches
            meanwhile.
    """
    for _ in range(lead):
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
