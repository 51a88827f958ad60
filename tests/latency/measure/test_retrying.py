from __future__ import annotations

from collections.abc import Callable

import pytest

from hwnas.errors import MeasurementError, TargetLostError, TargetUnreachableError
from hwnas.latency.measure.retrying import again_when_lost


def scripted(*endings: Exception | float) -> Callable[[], float]:
    left = list(endings)

    def measure() -> float:
        ending = left.pop(0)
        if isinstance(ending, Exception):
            raise ending
        return ending

    return measure


def test_a_lost_target_is_waited_for() -> None:
    waits: list[float] = []
    lost, away = TargetLostError("cut"), TargetUnreachableError("away")
    measure = scripted(lost, away, away, away, lost, away, 7.0)
    assert again_when_lost(measure, sleep=waits.append)() == 7.0
    assert waits == [1, 2, 4, 8, 1, 2]


def test_a_measurement_that_keeps_losing_its_target_is_given_up() -> None:
    measure = scripted(*[TargetLostError("cut")] * 3, 7.0)
    with pytest.raises(TargetLostError, match="cut This was the last of 3 attempts"):
        again_when_lost(measure, sleep=lambda _: None)()


def test_a_target_that_stays_away_is_given_up() -> None:
    measure = scripted(TargetLostError("cut"), TargetUnreachableError("away"), 7.0)
    with pytest.raises(TargetUnreachableError, match="away"):
        again_when_lost(measure, max_unreachable_s=0, sleep=lambda _: None)()


def test_other_errors_are_final() -> None:
    with pytest.raises(MeasurementError, match="refused"):
        again_when_lost(scripted(MeasurementError("refused"), 7.0), sleep=lambda _: None)()
