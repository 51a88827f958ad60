"""What is missing between stamps."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hwnas.robotics.stamp_gaps import StampGaps

PERIOD_NS = 100_000_000


def missing(stamps: list[int]) -> int:
    gaps = StampGaps()
    return sum(gaps.arrived(stamp) for stamp in stamps)


@given(
    st.integers(1, 50),
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.lists(st.integers(-5_000_000, 5_000_000), min_size=210, max_size=210),
)
def test_what_is_left_out_is_counted(rate_hz: int, kept: list[bool], jitter: list[int]) -> None:
    period = 1_000_000_000 // rate_hz
    present = [True] * 8 + kept + [True]
    # Up to 20 in a row; more is a pause.
    for end in range(20, len(present)):
        if not any(present[end - 20 : end]):
            present[end] = True
    noise = [one * period // PERIOD_NS for one in jitter]
    stamps = [number * period + noise[number] for number, one in enumerate(present) if one]
    # Every step counts for the period, and the longest gap is a part of 20 off by 0.1 periods of noise.
    longest = max(later - earlier for earlier, later in itertools.pairwise(stamps)) / period
    expected = len(present) - len(stamps)
    assert abs(missing(stamps) - expected) <= (0 if longest < 5 else expected // 4)


def test_pauses_and_bags_that_begin_anew_miss_nothing() -> None:
    drive = [number * PERIOD_NS for number in range(10)]
    assert missing(drive + [stamp + 60_000_000_000 for stamp in drive]) == 0
    assert missing(drive * 3) == 0
    assert missing([]) == missing([5]) == missing([5, 5]) == 0


def test_nothing_is_said_before_the_period_is_known() -> None:
    assert missing([0, PERIOD_NS, 5 * PERIOD_NS]) == 0
    assert missing([*(number * PERIOD_NS for number in range(6)), 8 * PERIOD_NS]) == 2
