"""Strategies of other libraries, asked and told like ours: pymoo and syne-tune, extra `benchmarks`.

They get no latency table, as they have no place for one. What they propose again is told again, not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Choices = dict[str, Any]
Space = Mapping[str, tuple[Any, ...]]


class Peer(Protocol):
    """One search of another library."""

    def propose(self) -> Choices:
        """Return a value for every gene."""

    def tell(self, choices: Choices, error: float, cost: float) -> None:
        """Take note of what was proposed last."""


class PymooNsga2:
    """NSGA-II of pymoo for categorical variables, as its manual builds it for mixed ones.

    Source: Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8, 2020.
    """

    def __init__(self, space: Space, evaluations: int, seed: int) -> None:
        """Begin with a population of a fifth of the evaluations."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.mixed import (
            MixedVariableDuplicateElimination,
            MixedVariableMating,
            MixedVariableSampling,
        )
        from pymoo.core.problem import Problem
        from pymoo.core.variable import Choice

        variables = {name: Choice(options=list(values)) for name, values in space.items()}
        self._algorithm = NSGA2(
            pop_size=population(evaluations),
            sampling=MixedVariableSampling(),
            mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        )
        problem = Problem(vars=variables, n_obj=2)
        self._algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
        self._asked: Any = []
        self._position = 0

    def propose(self) -> Choices:
        """Return the next of the generation."""
        if self._position == len(self._asked):
            if len(self._asked):
                self._algorithm.tell(infills=self._asked)
            self._asked, self._position = self._algorithm.ask(), 0
        return dict(self._asked[self._position].X)

    def tell(self, choices: Choices, error: float, cost: float) -> None:
        """Give the individual its objectives; the algorithm hears of them with its whole generation."""
        individual = self._asked[self._position]
        individual.set("F", np.array([error, cost]))
        individual.evaluated = {"F"}
        self._position += 1


class SyneTuneEvolution:
    """Multi-objective regularised evolution of syne-tune, with the population of the other evolutions here.

    Source: Salinas et al., "Syne Tune: A Library for Large Scale Hyperparameter Tuning and Reproducible
    Research", AutoML 2022.
    """

    def __init__(self, space: Space, evaluations: int, seed: int) -> None:
        """Begin with an empty population.

        Its first members are drawn here: syne-tune would draw them from NumPy's global random numbers,
        whatever the seed.
        """
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution

        rng, size = np.random.default_rng(seed), population(evaluations)
        first = [
            {name: values[rng.integers(len(values))] for name, values in space.items()} for _ in range(size)
        ]
        self._searcher = MultiObjectiveRegularizedEvolution(
            {name: choice(list(values)) for name, values in space.items()},
            first,
            population_size=size,
            random_seed=seed,
        )
        self._told = 0

    def propose(self) -> Choices:
        """Return a mutant, or a uniform draw at first."""
        return dict(self._searcher.suggest())

    def tell(self, choices: Choices, error: float, cost: float) -> None:
        """Add it to the population."""
        self._searcher.on_trial_complete(str(self._told), choices, [error, cost])
        self._told += 1


def population(evaluations: int) -> int:
    """Return the size of a population, as for Optuna's NSGA-II here."""
    return min(50, max(8, evaluations // 5))


PEERS: dict[str, Callable[[Space, int, int], Peer]] = {
    "pymoo-nsga2": PymooNsga2,
    "syne-tune-evolution": SyneTuneEvolution,
}
