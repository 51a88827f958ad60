"""What every strategy must do; a test class inherits and names one.

```python
class TestMine(StrategySuite):
    strategy = "mine"
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from hwnas.architecture import Architecture
from hwnas.budget import Costs, Limit, Metric
from hwnas.search.strategies import Limits, StrategyContext, distributions_of, make_sampler
from hwnas.search.study import SearchStudy

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

    def decode(self, choices: dict[str, Any]) -> Architecture:
        return Architecture(self.name, choices, (1, 8, 8), 2)


def latency_of(choices: dict[str, Any]) -> float:
    return 1 + choices["a"] + choices["b"] + 2 * choices["c"] + 3 * (choices["d"] == "large")


def error_of(choices: dict[str, Any]) -> float:
    return 1 / (1 + latency_of(choices)) + (0.2 if choices["c"] else 0.0)


class StrategySuite:
    strategy: str

    def study(self, journal: Path, *, seed: int = 0, budget_ms: float | None = None) -> SearchStudy:
        study = SearchStudy(journal)
        context = StrategyContext(GridSpace(), None, Limits(budget_ms, 40), seed)
        study.set_sampler(make_sampler(self.strategy, context))
        return study

    def play(self, study: SearchStudy, rounds: int, budget_ms: float | None = None) -> list[dict[str, Any]]:
        proposed = []
        costs = Costs(limits=() if budget_ms is None else (Limit(Metric("latency_ms"), budget_ms),))
        for number in range(rounds):
            trial, choices = study.ask(distributions_of(GridSpace()))
            study.describe(trial, GridSpace().decode(choices))
            latency_ms = latency_of(choices)
            figures = {"latency_ms": latency_ms}
            if number % 7 == 6:
                study.tell_failed(trial, "it happens", elapsed_s=number)
            elif budget_ms is not None and latency_ms > budget_ms:
                study.tell_infeasible(trial, figures=figures, costs=costs, elapsed_s=number)
            else:
                study.tell_trained(
                    trial,
                    error=error_of(choices),
                    figures=figures,
                    costs=costs,
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
