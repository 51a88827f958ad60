"""How candidates are proposed: factories of Optuna samplers, registered as `hwnas.strategies`.

A strategy needs to know nothing of the space but its choices: every gene is suggested in every
trial as a categorical, and the space maps equal networks to equal architectures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from hwnas.architecture import Architecture
from hwnas.plugins import load_plugin
from hwnas.search_spaces.base import SearchSpace


@dataclass(frozen=True)
class Limits:
    """What bounds a search.

    Attributes:
        latency_ms: hard budget, or None.
        trials: how many candidates are to be trained.
    """

    latency_ms: float | None
    trials: int


@dataclass(frozen=True)
class LatencyPrediction:
    """A predicted latency in milliseconds, with the interval that it claims."""

    latency_ms: float
    interval_ms: tuple[float, float]


@dataclass(frozen=True)
class StrategyContext:
    """Everything that a strategy may use.

    Attributes:
        space: what can be built.
        predict_latency: None where there is no latency table; returns None for what it does not cover.
        limits: of the search.
        seed: differs at every resume, so that a strategy does not propose the same again.
    """

    space: SearchSpace
    predict_latency: Callable[[Architecture], LatencyPrediction | None] | None
    limits: Limits
    seed: int


StrategyFactory = Callable[[StrategyContext], BaseSampler]
"""What plug-ins register in `hwnas.strategies`."""


def random_sampler(context: StrategyContext) -> BaseSampler:
    """Draw every gene uniformly."""
    return RandomSampler(seed=context.seed)


def tpe_sampler(context: StrategyContext) -> BaseSampler:
    """Multi-objective tree-structured Parzen estimator over all genes together.

    Candidates over the budget are learned from as constraint violations, and those still in
    training count as bad ones, so that workers do not all try the same.

    Source: Ozaki et al., "Multiobjective Tree-Structured Parzen Estimator", JAIR 73, 2022.
    """
    return TPESampler(multivariate=True, constant_liar=True, seed=context.seed)


def nsga2_sampler(context: StrategyContext) -> BaseSampler:
    """NSGA-II, with a population that leaves room for several generations.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
    TEC 6(2), 2002.
    """
    population = min(50, max(8, context.limits.trials // 5))
    return NSGAIISampler(population_size=population, seed=context.seed)


def make_sampler(name: str, context: StrategyContext) -> BaseSampler:
    """Return the sampler of the registered strategy `name`.

    Raises:
        PluginError: if the name is unknown.
    """
    factory: StrategyFactory = load_plugin("hwnas.strategies", name)
    return factory(context)


def distributions_of(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """Return one categorical distribution a gene, in the order of the space."""
    return {gene: CategoricalDistribution(values) for gene, values in space.choices.items()}


def seed_after(seed: int, num_trials: int) -> int:
    """Return the seed of a sampler that starts when `num_trials` were asked before."""
    return int(np.random.SeedSequence([seed, num_trials]).generate_state(1)[0])
