from __future__ import annotations

import time

import pytest

from hwnas.latency.agent import fixed_rate
from hwnas.latency.agent.fixed_rate import BackgroundLoad, FixedRateClock
from hwnas.latency.backends.errors import AgentError


class FakeTime:
    """A clock that moves only when somebody sleeps or works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(fixed_rate.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(fixed_rate.time, "sleep", self.pass_s)

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


def test_frames_keep_to_the_schedule_whatever_they_take(clock: FakeTime) -> None:
    begins: list[float] = []
    durations = iter([0.01, 0.12, 0.01, 0.01, 0.01])

    def run() -> None:
        begins.append(clock.now - 100.0)
        clock.pass_s(next(durations))

    found = FixedRateClock(run, 10.0).frames(0.5)
    # The third frame waits for the second, the fourth is in time again: nothing adds up.
    assert begins == pytest.approx([0.1, 0.2, 0.32, 0.4])
    assert found["samples_ms"] == pytest.approx([10, 120, 10, 10])
    assert found["lateness_ms"] == pytest.approx([0, 0, 20, 0], abs=1e-6)
    assert (found["missed"], found["dropped"]) == (1, 0)


def test_frames_that_waited_a_whole_period_are_dropped(clock: FakeTime) -> None:
    begins: list[float] = []

    def run() -> None:
        begins.append(clock.now - 100.0)
        clock.pass_s(0.25)

    found = FixedRateClock(run, 10.0).frames(0.9)
    assert begins == pytest.approx([0.1, 0.35, 0.6, 0.85])
    assert found["missed"] == 4
    assert found["dropped"] == 4  # of the nine frames to 0.9 s, four are run, and one is still to come


def test_time_between_two_requests_drops_nothing(clock: FakeTime) -> None:
    schedule = FixedRateClock(lambda: clock.pass_s(0.01), 10.0)
    first = schedule.frames(0.3)
    clock.pass_s(5.03)
    second = schedule.frames(0.3)
    assert first["dropped"] == second["dropped"] == 0
    assert second["lateness_ms"] == pytest.approx([0, 0, 0], abs=1e-6)


def test_at_least_one_frame_is_run(clock: FakeTime) -> None:
    assert len(FixedRateClock(lambda: clock.pass_s(0.01), 1.0).frames(0.0)["samples_ms"]) == 1


def test_background_load_runs_until_it_is_stopped() -> None:
    runs: list[int] = []
    load = BackgroundLoad(lambda: runs.append(1), 200.0)
    load.start()
    time.sleep(0.3)
    found = load.stop()
    ended = len(runs)
    time.sleep(0.05)
    assert len(runs) == ended > 2
    assert 0 < found["achieved_hz"] <= 220


def test_a_background_load_that_fails_is_said() -> None:
    def run() -> None:
        raise AgentError("no memory")

    load = BackgroundLoad(run, 1000.0)
    load.start()
    time.sleep(0.05)
    with pytest.raises(AgentError, match="no memory"):
        load.stop()
