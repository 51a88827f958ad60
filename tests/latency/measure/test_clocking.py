"""What is clocked by turns, and when clocking ends, on sessions that say what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from hwnas.latency.measure import clocking
from hwnas.latency.measure.clocking import (
    MODEL,
    OTHER,
    OVER_LIMIT,
    PRECISE,
    SAMPLE_LIMIT,
    TIME_LIMIT,
    Clocked,
    clock_model,
    clock_pair,
)
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE
from hwnas.latency.measure.session import Block, Warmup

CALM = {"throttle_counters": {}, "gpus": None, "alarms": []}
TIMES_MS = {MODEL: 10.0, OTHER: 20.0, REFERENCE: 4.0}
# A round is 10 samples of the model in each of two processes.
PROTOCOL = MeasuringProtocol(
    processes=2, min_rounds=2, min_samples=1, max_samples=10_000, max_s=1000.0, limit_s=1000.0
)


class MadeUpSession:
    """Two processes; `noise(round)` is by how much all samples of the model differ in that round."""

    agents = ("first", "second")

    def __init__(
        self,
        noise: Callable[[int], float] = lambda _: 0.0,
        states: Sequence[dict] = (CALM, CALM),
        gives_up: str = "",
    ) -> None:
        self.noise, self.states, self.gives_up = noise, list(states), gives_up
        self.plans: list[tuple[Block, ...]] = []
        self.warmed: list[tuple[str, str]] = []
        self.seconds = 0.0

    def state(self) -> dict:
        return self.states.pop(0)

    def warm_up(self, agent: str, name: str, give_up_over_ms: float | None = None) -> Warmup:
        self.warmed.append((agent, name))
        gave_up = agent == self.gives_up and give_up_over_ms is not None
        return Warmup(0.5, TIMES_MS[name], (TIMES_MS[name], 11.0, 12.0), is_settled=False, gave_up=gave_up)

    def clock(self, agents: Sequence[str], plan: Sequence[Block]) -> list[dict[str, list[float]]]:
        assert tuple(agents) == self.agents
        factor = 1.0 + self.noise(len(self.plans))
        self.plans.append(tuple(plan))
        self.seconds += 1.0
        rounds = []
        for _ in agents:
            samples: dict[str, list[float]] = {}
            for block in plan:
                ms = TIMES_MS[block.name] * (factor if block.name == MODEL else 1.0)
                samples.setdefault(block.name, []).extend([ms] * block.count)
            rounds.append(samples)
        return rounds


def unsteady(number: int) -> float:
    """Differs so much from round to round that no ratio is ever known to a percent."""
    return 0.5 * (number % 2)


def ending(session: MadeUpSession, limit_ms: float | None = None, **changes: float) -> tuple[str, int]:
    """Return why clocking ended, and after how many rounds."""
    found = clock_model(session, replace(PROTOCOL, **changes), limit_ms)
    assert found.samples_ms[MODEL].shape == (2, len(session.plans), 10)
    return found.ended, len(session.plans)


def test_the_reference_is_clocked_before_and_after_the_model() -> None:
    session = MadeUpSession()
    clock_model(session, replace(PROTOCOL, block_s=0.1, reference_block_s=0.06), None)
    # 60 ms of 4 ms are 15 samples: 8 before and 8 after, since half of them must not be fewer.
    assert session.plans[0] == (Block(REFERENCE, 8), Block(MODEL, 10), Block(REFERENCE, 8))


def test_of_two_models_one_is_clocked_around_the_other() -> None:
    session = MadeUpSession()
    found = clock_pair(session, replace(PROTOCOL, block_s=0.1, reference_block_s=0.016))
    half = Block(MODEL, 5)
    assert session.plans[0] == (Block(REFERENCE, 2), half, Block(OTHER, 5), half, Block(REFERENCE, 2))
    np.testing.assert_array_equal(found.ratios(OTHER, MODEL), np.full((2, len(session.plans)), 2.0))
    assert found.ended == PRECISE
    assert len(session.warmed) == 6
    assert {name: len(warmups) for name, warmups in found.warmups.items()} == dict.fromkeys(TIMES_MS, 2)


def test_two_models_are_clocked_until_their_own_ratio_is_known() -> None:
    session = MadeUpSession(unsteady)
    assert clock_pair(session, replace(PROTOCOL, max_samples=35)).ended == SAMPLE_LIMIT


def test_a_block_of_one_sample_stays_one_around_the_other() -> None:
    session = MadeUpSession()
    clock_pair(session, replace(PROTOCOL, max_block_samples=1, min_samples=2))
    assert [block.count for block in session.plans[0]] == [1] * 5


@pytest.mark.parametrize(("min_rounds", "rounds"), [(1, 2), (2, 2), (3, 3), (5, 5)])
def test_a_steady_ratio_is_precise_after_the_fewest_rounds(min_rounds: int, rounds: int) -> None:
    """One round has no interval, so that there are two at least."""
    assert ending(MadeUpSession(), min_rounds=min_rounds) == (PRECISE, rounds)


@pytest.mark.parametrize(("min_samples", "rounds"), [(40, 2), (41, 3), (60, 3)])
def test_a_steady_ratio_is_precise_with_the_fewest_samples(min_samples: int, rounds: int) -> None:
    assert ending(MadeUpSession(), min_samples=min_samples) == (PRECISE, rounds)


@pytest.mark.parametrize(
    ("max_samples", "min_samples", "rounds"), [(60, 1, 3), (61, 1, 4), (10, 60, 3), (10, 61, 4), (20, 1, 1)]
)
def test_an_unsteady_ratio_ends_at_the_most_samples(max_samples: int, min_samples: int, rounds: int) -> None:
    session = MadeUpSession(unsteady)
    assert ending(session, max_samples=max_samples, min_samples=min_samples) == (SAMPLE_LIMIT, rounds)


def test_how_narrow_the_interval_must_be_is_the_protocols() -> None:
    # Rounds alternate by 2 %, so that the half-width is 1 to 2 %, widened for two processes and few rounds.
    def slightly(number: int) -> float:
        return 0.02 * (number % 2)

    wide = ending(MadeUpSession(slightly), relative_interval=0.2, max_samples=200)
    narrow = ending(MadeUpSession(slightly), relative_interval=0.001, max_samples=200)
    assert (wide, narrow) == ((PRECISE, 2), (SAMPLE_LIMIT, 10))


@pytest.mark.parametrize(
    ("max_s", "limit_s", "min_samples", "rounds"),
    [
        (3.0, 1.0, 1, 3),
        (3.5, 9.0, 1, 4),
        (3.0, 5.0, 1000, 5),  # too few samples: until the later of the two
        (3.0, 1.0, 1000, 3),
    ],
)
def test_an_unsteady_ratio_ends_when_time_is_over(
    max_s: float, limit_s: float, min_samples: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = MadeUpSession(unsteady)
    monkeypatch.setattr(clocking.time, "monotonic", lambda: 7.0 + session.seconds)  # a round takes a second
    found = ending(session, max_s=max_s, limit_s=limit_s, min_samples=min_samples)
    assert found == (TIME_LIMIT, rounds)


def test_what_is_over_a_limit_ends_after_two_rounds_and_what_is_at_it_goes_on() -> None:
    assert ending(MadeUpSession(), 9.99, min_rounds=5) == (OVER_LIMIT, 2)
    assert ending(MadeUpSession(), 10.0, min_rounds=5) == (PRECISE, 5)
    # The limit is compared with the interval, not with the median.
    assert ending(MadeUpSession(unsteady), 10.5, max_samples=40)[0] == SAMPLE_LIMIT


@pytest.mark.parametrize("agent", ["first", "second"])
def test_what_is_given_up_while_it_warms_up_has_the_samples_of_that(agent: str) -> None:
    session = MadeUpSession(gives_up=agent)
    found = clock_model(session, PROTOCOL, 5.0)
    assert found.ended == OVER_LIMIT
    assert session.plans == []
    assert session.warmed[-1] == (agent, MODEL)
    assert {name: samples.tolist() for name, samples in found.samples_ms.items()} == {
        MODEL: [[[10.0, 11.0, 12.0]]]
    }
    assert [warmup.gave_up for warmup in found.warmups[MODEL]] == [True]


@pytest.mark.parametrize("clock", [lambda *a: clock_model(a[0], a[1], None, *a[2:]), clock_pair])
def test_a_further_attempt_is_warm_already(clock: Callable[..., Clocked]) -> None:
    first = clock(MadeUpSession(), PROTOCOL)
    assert not any(warmup.is_settled for warmups in first.warmups.values() for warmup in warmups)
    session = MadeUpSession()
    again = clock(session, PROTOCOL, first)
    assert session.warmed == []
    for name, warmups in first.warmups.items():
        assert list(again.warmups[name]) == [replace(warmup, is_settled=True) for warmup in warmups]


def test_states_before_and_after_tell_of_throttling() -> None:
    calm = clock_model(MadeUpSession(), PROTOCOL, None)
    assert (calm.throttling, calm.states) == ((), (CALM, CALM))
    hot = {**CALM, "alarms": ["hot"]}
    found = clock_model(MadeUpSession(states=(CALM, hot)), PROTOCOL, None)
    assert (found.throttling, found.states) == (("hot",), (CALM, hot))


@pytest.mark.parametrize(("width", "ended"), [(0.01, PRECISE), (0.0101, SAMPLE_LIMIT)])
def test_an_interval_that_is_just_as_narrow_as_wished_is_enough(
    width: float, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocking, "relative_half_width", lambda _median, _interval: width)
    assert ending(MadeUpSession(), relative_interval=0.01, max_samples=60)[0] == ended
