from __future__ import annotations

import numpy as np
import pytest

from hwnas.latency.measure.survey import SurveyedNetwork
from hwnas.latency.predict.machine_speed import MachineSpeed


def network(latency_ms: float, reference_ms: float) -> SurveyedNetwork:
    """A network whose second block and second reference were disturbed."""
    blocks = ((latency_ms, latency_ms, 3 * latency_ms), (2 * latency_ms,) * 3)
    return SurveyedNetwork(0.0, blocks, (reference_ms, 2 * reference_ms), None, reference_ms, "0" * 64)


def test_the_calmest_blocks_speak() -> None:
    assert network(7.0, 4.0).latency_ms == 7.0
    speed = MachineSpeed.usual([network(7.0, 4.0), network(8.0, 5.0), network(9.0, 6.0)])
    assert speed == MachineSpeed(5.0, 0.0)
    assert speed.of(network(7.0, 99.0)) == 7.0, "networks that do not follow the reference stay as they are"


def test_latencies_move_to_one_speed() -> None:
    speed = MachineSpeed(4.0, 0.5)
    assert speed.of(network(10.0, 4.0 * 1.21)) == pytest.approx(10.0 / 1.1)
    assert MachineSpeed.from_json(speed.to_json()) == speed


def test_how_far_networks_follow_the_reference_is_found_in_spite_of_outliers() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(5, 500, 60)
    slower = rng.normal(0, 0.1, 60)
    clocked = truth * np.exp(0.4 * slower + rng.normal(0, 0.02, 60))
    clocked[:4] *= 1.8
    found = [network(ms, 4.0 * np.exp(s)) for ms, s in zip(clocked, slower, strict=True)]
    speed = MachineSpeed.usual(found).refitted(found, truth)
    assert speed.elasticity == pytest.approx(0.4, abs=0.08)
    errors = np.log(speed.all_of(found) / truth)[4:]
    assert np.std(errors) < 0.03 < np.std(np.log(clocked / truth)[4:])


def test_a_machine_that_stayed_the_same_tells_nothing() -> None:
    found = [network(ms, 4.0) for ms in (5.0, 6.0, 7.0)]
    speed = MachineSpeed.usual(found).refitted(found, np.array([5.0, 5.0, 5.0]))
    assert speed.elasticity == 0.0


def test_elasticity_stays_between_none_and_all() -> None:
    references = [4.0, 5.0, 6.0]
    found = [network(ms, reference) for ms, reference in zip((5.0, 9.0, 14.0), references, strict=True)]
    usual = MachineSpeed.usual(found)
    assert usual.refitted(found, np.array([5.0, 5.0, 5.0])).elasticity == 1.0
    assert usual.refitted(found, np.array([5.0, 12.0, 30.0])).elasticity == 0.0
