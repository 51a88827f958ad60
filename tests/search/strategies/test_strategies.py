from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import PluginError
from hwnas.search.strategies import Limits, StrategyContext, make_sampler, seed_after
from hwnas.testing.strategy_suite import (
    BUDGET_MS,
    DocumentedStrategySuite,
    GridSpace,
    OwnStrategySuite,
    latency_of,
)
from hwnas.training.relaxed_choices import RelaxedChoices


class TestRandom(DocumentedStrategySuite):
    strategy = "random"
    knows_limits = False


class TestTpe(DocumentedStrategySuite):
    strategy = "tpe"
    knows_limits = False

    def test_the_budget_is_learned(self, tmp_path: Path) -> None:
        late = []
        for seed in range(4):
            study = self.study(tmp_path / f"j{seed}", seed=seed, budget_ms=BUDGET_MS)
            late += self.play(study, 60, BUDGET_MS)[30:]
        within = sum(latency_of(choices) <= BUDGET_MS for choices in late) / len(late)
        everywhere = [1 + a + b + c + d for a in range(4) for b in (0.5, 1.5) for c in (0, 2) for d in (0, 3)]
        assert within > sum(latency <= BUDGET_MS for latency in everywhere) / len(everywhere) + 0.1


class TestNsga2(DocumentedStrategySuite):
    strategy = "nsga2"
    knows_limits = False


class TestNsga3(DocumentedStrategySuite):
    strategy = "nsga3"
    knows_limits = False


class TestGp(DocumentedStrategySuite):
    strategy = "gp"
    knows_limits = False


class TestGradient(OwnStrategySuite):
    strategy = "gradient"

    @pytest.fixture(autouse=True)
    def relaxed(self, tmp_path: Path) -> None:
        plain = {gene: list(values) for gene, values in GridSpace.choices.items()}
        rows = {
            gene: np.full((3, len(values)), 1 / len(values)) for gene, values in GridSpace.choices.items()
        }
        RelaxedChoices({"name": "grid", "choices": plain}, (0.1, 0.2, 0.4), rows, {}, "").save(tmp_path)
        self.options = {"relaxed": str(tmp_path)}


class TestQuasiRandom(OwnStrategySuite):
    strategy = "quasi-random"

    def test_values_of_a_gene_come_equally_often(self, tmp_path: Path) -> None:
        counts = Counter(choices["a"] for choices in self.play(self.study(tmp_path / "j"), 32))
        assert set(counts.values()) <= {7, 8, 9}


class TestEvolution(OwnStrategySuite):
    strategy = "evolution"


class TestReinforce(OwnStrategySuite):
    strategy = "reinforce"


@pytest.mark.slow(seconds=4)
class TestSurrogate(OwnStrategySuite):
    strategy = "surrogate"


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(PluginError, match="Did you mean 'tpe'"):
        make_sampler("tpee", StrategyContext(GridSpace(), None, Limits(None, 1), 0))


def test_a_resumed_sampler_has_another_seed() -> None:
    seeds = {seed_after(0, trials) for trials in range(100)}
    assert len(seeds) == 100
    assert seed_after(0, 5) == seed_after(0, 5) != seed_after(1, 5)
