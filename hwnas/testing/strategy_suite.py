"""What every strategy must do; a test class inherits and names one.

```python
class TestMine(StrategySuite):
    strategy = "mine"
```
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from torch import nn

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.plugins import load_plugin
from hwnas.search.failure import Failure
from hwnas.search.strategies import (
    EarlierStudy,
    LatencyPrediction,
    Limits,
    StrategyContext,
    SupportsEarlierStudies,
    Transfer,
    distributions_of,
    make_sampler,
)
from hwnas.search.study import SearchStudy
from hwnas.search_spaces.base import BlockSignature

BUDGET_MS = 6.0


class GridSpace:
    """Five genes; the sum of the first four is the latency, the last is never free."""

    name = "grid"
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {
        "a": (0, 1, 2, 3),
        "b": (0.5, 1.5),
        "c": (True, False),
        "d": ("small", "large"),
        "single": (7,),
    }

    def decode(self, choices: Mapping[str, Any]) -> Architecture:
        return Architecture(self.name, choices, (1, 8, 8), dense_logits(2))

    def encode(self, architecture: Architecture) -> np.ndarray[Any, Any]:
        return np.array(
            [architecture.genes[gene] == value for gene, values in self.choices.items() for value in values],
            np.float32,
        )

    def build(self, architecture: Architecture) -> nn.Module:
        return nn.Conv2d(1, 2, 2 * int(architecture.genes["a"]) + 1, padding=int(architecture.genes["a"]))

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        settings = tuple(sorted(architecture.genes.items()))
        return [BlockSignature("whole", ((1, 8, 8),), (2, 8, 8), settings)]


def latency_of(choices: dict[str, Any]) -> float:
    return float(1 + choices["a"] + choices["b"] + 2 * choices["c"] + 3 * (choices["d"] == "large"))


def error_of(choices: dict[str, Any]) -> float:
    return 1 / (1 + latency_of(choices)) + (0.2 if choices["c"] else 0.0)


def predict(architecture: Architecture) -> LatencyPrediction:
    latency_ms = latency_of(dict(architecture.genes))
    return LatencyPrediction(latency_ms, (0.9 * latency_ms, 1.1 * latency_ms))


def earlier_studies() -> tuple[EarlierStudy, EarlierStudy]:
    """Two studies of other data, each of half of the space, whose errors are on another scale."""
    space = GridSpace()
    everything = [
        dict(zip(space.choices, values, strict=True)) for values in itertools.product(*space.choices.values())
    ]
    first, second = (
        EarlierStudy(
            name,
            name,
            tuple(space.decode(choices) for choices in part),
            tuple(0.1 + 0.5 * error_of(choices) for choices in part),
        )
        for name, part in (("first", everything[::2]), ("second", everything[1::2]))
    )
    return first, second


class StrategySuite:
    """Subclasses name a strategy and give its options."""

    strategy: ClassVar[str]
    options: Mapping[str, Any] = MappingProxyType({})
    knows_limits = True
    """Whether it never proposes what a latency table says to be over the hard limit; Optuna's own do."""

    def study(
        self,
        journal: Path,
        *,
        seed: int = 0,
        budget_ms: float | None = None,
        table: bool = False,
        sizes_fit: Callable[[Architecture], bool] = lambda _architecture: True,
        earlier: Sequence[EarlierStudy] = (),
    ) -> SearchStudy:
        study = SearchStudy(journal)
        limits = Limits(budget_ms, 40)
        known = predict if table else None
        context = StrategyContext(GridSpace(), known, limits, seed, sizes_fit=sizes_fit, earlier=earlier)
        study.set_sampler(make_sampler(self.strategy, context, self.options))
        return study

    def play(
        self, study: SearchStudy, rounds: int, budget_ms: float | None = None, first: int = 0
    ) -> list[dict[str, Any]]:
        proposed: list[dict[str, Any]] = []
        objectives = Objectives(
            constraints=() if budget_ms is None else (Constraint(Metric("latency_ms"), budget_ms),)
        )
        for number in range(first, first + rounds):
            trial, choices = study.ask(distributions_of(GridSpace()))
            study.describe(trial, GridSpace().decode(choices))
            latency_ms = latency_of(choices)
            measurements = {"latency_ms": latency_ms}
            if number % 7 == 6:
                study.tell_failed(trial, Failure("it happens"), elapsed_s=number)
            elif budget_ms is not None and latency_ms > budget_ms:
                study.tell_infeasible(
                    trial, measurements=measurements, objectives=objectives, elapsed_s=number
                )
            else:
                study.tell_trained(
                    trial,
                    error=error_of(choices),
                    measurements=measurements,
                    objectives=objectives,
                    elapsed_s=number,
                )
            proposed.append(choices)
        return proposed

    def test_every_gene_gets_one_of_its_values(self, tmp_path: Path) -> None:
        for choices in self.play(self.study(tmp_path / "j"), 40):
            assert list(choices) == list(GridSpace.choices)
            for gene, value in choices.items():
                known = GridSpace.choices[gene]
                assert any(value == each and type(value) is type(each) for each in known)

    def test_the_seed_decides(self, tmp_path: Path) -> None:
        first = self.play(self.study(tmp_path / "1", seed=1), 30)
        assert first == self.play(self.study(tmp_path / "2", seed=1), 30)
        assert first != self.play(self.study(tmp_path / "3", seed=2), 30)

    @pytest.mark.filterwarnings("error")
    def test_infeasible_and_failed_trials_are_no_obstacle(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j", budget_ms=BUDGET_MS)
        self.play(study, 50, BUDGET_MS)
        states = [trial.state for trial in study.summaries()]
        assert {"COMPLETE", "PRUNED", "FAIL"} <= set(states)

    def test_several_trials_may_run_at_once(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j")
        self.play(study, 15)
        opened = [study.ask(distributions_of(GridSpace())) for _ in range(4)]
        assert len({trial.number for trial, _ in opened}) == 4

    def test_a_study_goes_on_after_a_restart(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j")
        self.play(study, 15)
        study.ask(distributions_of(GridSpace()))
        study.close()
        again = self.study(tmp_path / "j", seed=3)
        assert again.fail_stale() == [15]
        self.play(again, 15)
        assert [trial.number for trial in again.summaries()] == list(range(31))

    @pytest.mark.parametrize("table", [False, True])
    def test_a_resumed_study_proposes_as_if_it_had_not_stopped(self, tmp_path: Path, table: bool) -> None:
        whole = self.study(tmp_path / "whole", budget_ms=BUDGET_MS, table=table)
        expected = self.play(whole, 36, BUDGET_MS)
        proposed: list[dict[str, Any]] = []
        for rounds in (3, 15, 18):
            study = self.study(tmp_path / "parts", budget_ms=BUDGET_MS, table=table)
            proposed += self.play(study, rounds, BUDGET_MS, first=len(proposed))
            study.close()
        assert proposed == expected

    def test_the_study_is_a_plain_one(self, tmp_path: Path) -> None:
        """Whatever reads Optuna's studies reads these; nothing that a strategy notes hinders another one."""
        self.play(self.study(tmp_path / "j"), 20)
        loaded = SearchStudy(tmp_path / "j", read_only=True)
        assert [trial.state for trial in loaded.summaries()].count("COMPLETE") == 18
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "j"))
        )
        (summary,) = optuna.get_all_study_summaries(storage)
        plain = optuna.load_study(study_name=summary.study_name, storage=storage)
        assert len(plain.trials) == 20
        assert plain.best_trials
        other = "random" if self.strategy != "random" else "tpe"
        loaded.close()
        study = self.study(tmp_path / "j")
        study.set_sampler(make_sampler(other, StrategyContext(GridSpace(), None, Limits(None, 40), 0)))
        self.play(study, 5)
        study.set_sampler(
            make_sampler(self.strategy, StrategyContext(GridSpace(), None, Limits(None, 40), 0), self.options)
        )
        assert len(self.play(study, 5)) == 5

    def test_what_the_table_forbids_is_not_proposed(self, tmp_path: Path) -> None:
        if not self.knows_limits:
            pytest.skip("an Optuna sampler; the candidate loop rejects what it proposes over the limit")
        study = self.study(tmp_path / "j", budget_ms=4.0, table=True)
        for choices in self.play(study, 15, 4.0):
            assert 0.9 * latency_of(choices) <= 4.0

    def test_what_is_counted_to_be_over_a_limit_is_not_proposed(self, tmp_path: Path) -> None:
        if not self.knows_limits:
            pytest.skip("an Optuna sampler; the candidate loop finds out before it trains")
        study = self.study(tmp_path / "j", sizes_fit=lambda network: not network.genes["c"])
        proposed = self.play(study, 10)
        assert [choices["c"] for choices in proposed] == [False] * 10
        # One of the ten fails, and may be tried again.
        assert len({str(choices) for choices in proposed}) >= 9

    @pytest.mark.parametrize("table", [False, True])
    def test_a_study_that_learns_from_earlier_ones_proposes_what_is_allowed(
        self, tmp_path: Path, table: bool
    ) -> None:
        study = self.learning_study(tmp_path / "j", budget_ms=4.0, table=table)
        for choices in self.play(study, 9, 4.0):
            GridSpace().decode(choices)
            assert all(value in GridSpace.choices[gene] for gene, value in choices.items())
            assert not (table and self.knows_limits) or 0.9 * latency_of(choices) <= 4.0

    @pytest.mark.parametrize("table", [False, True])
    def test_a_resumed_study_learns_from_earlier_ones_as_if_it_had_not_stopped(
        self, tmp_path: Path, table: bool
    ) -> None:
        expected = self.play(self.learning_study(tmp_path / "whole", table=table), 12)
        proposed: list[dict[str, Any]] = []
        for rounds in (1, 2, 6, 3):
            study = self.learning_study(tmp_path / "parts", table=table)
            proposed += self.play(study, rounds, first=len(proposed))
            study.close()
        assert proposed == expected

    def test_it_tells_which_earlier_studies_it_learns_from(self, tmp_path: Path) -> None:
        study = self.learning_study(tmp_path / "j")
        for rounds in (0, 2, 12):
            self.play(study, rounds)
            told = self.transfer(study)
            assert told is not None
            assert told.studies == ("first", "second")
            assert told.networks == 32
            assert Transfer.from_json(told.to_json()) == told
        assert self.transfer(self.study(tmp_path / "alone")) is None

    def learning_study(self, journal: Path, **settings: Any) -> SearchStudy:
        """A study with earlier ones; skips the test where the strategy learns from none."""
        study = self.study(journal, earlier=earlier_studies(), **settings)
        if not isinstance(study.optuna_study.sampler, SupportsEarlierStudies):
            pytest.skip("its sampler learns from no earlier studies: it has no method `transfer`")
        return study

    def transfer(self, study: SearchStudy) -> Transfer | None:
        sampler = study.optuna_study.sampler
        assert isinstance(sampler, SupportsEarlierStudies)
        return sampler.transfer(study.optuna_study)

    def test_a_limit_that_nothing_keeps_ends_no_search(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j", budget_ms=0.1, table=True)
        assert len(self.play(study, 3, 0.1)) == 3


class DocumentedStrategySuite(StrategySuite):
    """What the documentation of strategies of ours says."""

    def test_it_says_where_it_comes_from_what_it_costs_and_what_it_is_for(self) -> None:
        factory = load_plugin("hwnas.strategies", self.strategy)
        named = re.findall(r"see `(\w+)`", factory.__doc__)
        documents = [
            factory.__doc__,
            *(sys.modules[factory.__module__].__dict__[name].__doc__ for name in named),
        ]
        for word in ("Source: ", "Cost: ", "Use it "):
            assert sum(word in document for document in documents) == 1, word


class OwnStrategySuite(DocumentedStrategySuite):
    """What strategies of ours promise beyond that."""

    def test_nothing_is_proposed_twice_while_there_is_other(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j")
        everything = 4 * 2 * 2 * 2
        proposed = []
        for _ in range(everything):
            trial, choices = study.ask(distributions_of(GridSpace()))
            latency_ms = latency_of(choices)
            measurements = {"latency_ms": latency_ms}
            study.tell_trained(
                trial,
                error=error_of(choices),
                measurements=measurements,
                objectives=Objectives(),
                elapsed_s=float(trial.number),
            )
            proposed.append(GridSpace().decode(choices).id)
        assert len(set(proposed[: everything // 2])) == everything // 2
        assert len(set(proposed)) == everything

    def test_running_trials_are_not_proposed_again(self, tmp_path: Path) -> None:
        study = self.study(tmp_path / "j")
        self.play(study, 12)
        running = [GridSpace().decode(study.ask(distributions_of(GridSpace()))[1]).id for _ in range(6)]
        assert len(set(running)) == 6
