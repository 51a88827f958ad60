"""Losses are counted once, whoever tells of them first."""

from __future__ import annotations

import random
from typing import Any

from hwnas.robotics.message_losses import MessageLosses


def facts(number: int | None, publisher: bytes | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"source_timestamp": 5, "publication_sequence_number": number}
    return found if publisher is None else {**found, "publisher_gid": {"data": publisher}}


def test_gaps_are_lost_messages_and_those_before_the_first_are_not() -> None:
    losses = MessageLosses()
    assert [losses.arrived(facts(number), 1) for number in (7, 8, 10, 11, 20)] == [0, 0, 1, 0, 8]


def test_what_the_middleware_tells_of_is_counted_once() -> None:
    losses = MessageLosses()
    assert losses.arrived(facts(1), 1) == 0
    assert losses.reported(3) == 3
    assert losses.arrived(facts(5), 1) == 0
    assert losses.arrived(facts(9), 1) == 3
    assert losses.reported(3) == 0
    assert losses.reported(1) == 1


def test_a_publisher_that_begins_anew_has_lost_nothing() -> None:
    losses = MessageLosses()
    assert [losses.arrived(facts(number), 1) for number in (100, 1, 2, 4)] == [0, 0, 0, 1]


def test_publishers_are_reported_apart_or_nothing_is_said() -> None:
    losses = MessageLosses()
    sent = [(b"a", 1), (b"b", 50), (b"a", 2), (b"b", 52), (b"a", 5)]
    assert [losses.arrived(facts(number, name), 2) for name, number in sent] == [0, 0, 0, 1, 2]
    losses = MessageLosses()
    assert [losses.arrived(facts(number), 2) for _, number in sent] == [0] * 5
    assert [losses.arrived(facts(number), 1) for number in (60, 62)] == [0, 1]
    assert losses.arrived(facts(65), 0) == 2  # of a publisher that went, or is not seen for a moment


def test_without_numbers_only_the_middleware_tells() -> None:
    losses = MessageLosses()
    assert [losses.arrived(one, 1) for one in (facts(None), facts(0), {}, facts(None))] == [0] * 4
    assert losses.reported(2) == 2


def test_whatever_is_dropped_the_counts_add_up() -> None:
    for seed in range(50):
        draw, losses = random.Random(seed), MessageLosses()
        lost = arrived = 0
        for number in range(1, 200):
            fate = "arrives" if number in (1, 199) else draw.choice(["arrives", "reported", "silent"])
            if fate == "arrives":
                arrived += 1
                lost += losses.arrived(facts(number), 1)
            elif fate == "reported":
                lost += losses.reported(1)
        assert arrived + lost == 199
