"""Optuna's own samplers as strategies.

Each trial gets a sampler of its own, seeded by the seed of the run and the number of the trial, so that a
study that was stopped and resumed proposes what it would have proposed without the stop: all that these
samplers learn stands in the study.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hwnas.search.strategies.base import StrategyContext, distributions_of, seed_after

_MIN_POPULATION, _MAX_POPULATION = 8, 50


class SamplerPerTrial(BaseSampler):
    """Asks a sampler that is made anew for every trial."""

    def __init__(self, context: StrategyContext, make: Callable[[int], BaseSampler]) -> None:
        """Take over a factory.

        Args:
            context: of the strategy.
            make: returns a sampler with a seed.
        """
        self._seed = context.seed
        self._make = make
        genes = distributions_of(context.space)
        self._genes: dict[str, BaseDistribution] = {
            gene: genes[gene] for gene in genes if not genes[gene].single()
        }
        self._current: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all genes with a choice: they are the same in every trial."""
        return dict(self._genes)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose values for all genes, or none where they are drawn one by one."""
        return self._sampler(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Propose a value for one gene."""
        return self._sampler(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the trial's sampler begin."""
        self._sampler(trial).before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the trial's sampler note what became of it."""
        self._sampler(trial).after_trial(study, trial, state, values)

    def _sampler(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            self._current = trial.number, self._make(seed_after(self._seed, trial.number))
        return self._current[1]


def random_sampler(context: StrategyContext) -> BaseSampler:
    """Draw every gene uniformly.

    Cost: next to nothing. Use it as a baseline, and with so many workers that nothing can be learned in time.

    Source: Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
    """
    return SamplerPerTrial(context, lambda seed: RandomSampler(seed=seed))


def tpe_sampler(context: StrategyContext) -> BaseSampler:
    """Multi-objective tree-structured Parzen estimator over all genes together.

    Candidates over the budget are learned from as constraint violations, and those still in
    training count as bad ones, so that workers do not all try the same.

    Cost: milliseconds a proposal, growing with the number of trials. Use it to compare with what others use,
    or where trainings take less time than `surrogate` needs to propose.

    Source: Ozaki et al., "Multiobjective Tree-Structured Parzen Estimator", JAIR 73, 2022.
    """
    return SamplerPerTrial(context, lambda seed: TPESampler(multivariate=True, constant_liar=True, seed=seed))


def nsga2_sampler(context: StrategyContext) -> BaseSampler:
    """NSGA-II, with a population that leaves room for several generations.

    Cost: about a millisecond. Use it for hundreds of short trainings on many workers.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
    TEC 6(2), 2002.
    """
    population = _population(context)
    return SamplerPerTrial(context, lambda seed: NSGAIISampler(population_size=population, seed=seed))


def nsga3_sampler(context: StrategyContext) -> BaseSampler:
    """NSGA-III, which spreads its population along reference directions.

    Cost: about a millisecond. Use it as NSGA-II; with two objectives they hardly differ.

    Source: Deb and Jain, "An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point-Based
    Nondominated Sorting Approach, Part I", IEEE TEC 18(4), 2014.
    """
    population = _population(context)

    def make(seed: int) -> BaseSampler:
        with _experimental():
            return NSGAIIISampler(population_size=population, seed=seed)

    return SamplerPerTrial(context, make)


def gp_sampler(context: StrategyContext) -> BaseSampler:
    """Optuna's Gaussian process with expected hypervolume improvement.

    Both objectives are modelled, and a latency table is not used: `surrogate` does.

    Cost: from a quarter of a second to many seconds, growing with trials and genes. Use it for up to 100
    trials of few genes, to compare with what others use.

    Source: Daulton et al., "Differentiable Expected Hypervolume Improvement for Parallel Multi-Objective
    Bayesian Optimization", NeurIPS 2020; Ament et al., "Unexpected Improvements to Expected Improvement for
    Bayesian Optimization", NeurIPS 2023.
    """

    def make(seed: int) -> BaseSampler:
        with _experimental():
            return GPSampler(seed=seed)

    return SamplerPerTrial(context, make)


@contextmanager
def _experimental() -> Iterator[None]:
    """Use samplers that Optuna may still change; the pinned version is what the tests ran with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _population(context: StrategyContext) -> int:
    return min(_MAX_POPULATION, max(_MIN_POPULATION, context.limits.trials // 5))
