from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import PluginError
from hwnas.search.strategies import Limits, StrategyContext, make_sampler, seed_after
from tests.conformance.strategy_suite import BUDGET_MS, GridSpace, StrategySuite, latency_of


class TestRandom(StrategySuite):
    strategy = "random"


class TestTpe(StrategySuite):
    strategy = "tpe"

    def test_the_budget_is_learned(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j", budget_ms=BUDGET_MS)
        late = self.play(study, 80, BUDGET_MS)[40:]
        within = sum(latency_of(choices) <= BUDGET_MS for choices in late) / len(late)
        everywhere = [1 + a + b + c + d for a in range(4) for b in (0.5, 1.5) for c in (0, 2) for d in (0, 3)]
        assert within > sum(latency <= BUDGET_MS for latency in everywhere) / len(everywhere) + 0.2


class TestNsga2(StrategySuite):
    strategy = "nsga2"


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(PluginError, match="Did you mean 'tpe'"):
        make_sampler("tpee", StrategyContext(GridSpace(), None, Limits(None, 1), 0))


def test_a_resumed_sampler_has_another_seed() -> None:
    seeds = {seed_after(0, trials) for trials in range(100)}
    assert len(seeds) == 100
    assert seed_after(0, 5) == seed_after(0, 5) != seed_after(1, 5)
