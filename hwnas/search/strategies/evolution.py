"""Regularised evolution, for two objectives."""

from __future__ import annotations

import numpy as np
from optuna.samplers import BaseSampler

from hwnas.pareto import best_first
from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.observations import Genes
from hwnas.search.strategies.proposing import ProposingSampler

_MIN_POPULATION, _MAX_POPULATION = 10, 100
_SAMPLED = 0.25
"""Share of the population among which a parent is chosen; 25 of 100 in the source."""
_FRESH = 0.05
"""Share of uniform draws, so that what left the population for ever is met again."""


class EvolutionSampler(ProposingSampler):
    """Mutates one gene of the best of a sample of the latest trained networks.

    The population are the networks that were trained last, so that a lucky training dies of age. Of the
    sample, the parent is of the lowest non-dominated rank and there of the largest crowding distance; the
    source has one objective and takes the most accurate. Running trials do not matter to it.

    Cost: about a millisecond. Use it for hundreds of short, noisy trainings that nothing is to model.

    Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019; ranks
    and crowding of Deb et al., "NSGA-II", IEEE TEC 6(2), 2002.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Fix the size of the population, so that there is room for several lives."""
        super().__init__(context)
        self._size = min(_MAX_POPULATION, max(_MIN_POPULATION, context.limits.trials // 5))

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return a child; at first, and sometimes later, uniform draws."""
        population = self.observations.trained[-self._size :]
        if len(population) < self._size // 2 or rng.random() < _FRESH:
            return self.codec.uniform(rng)
        sampled = rng.choice(
            len(population), max(2, round(_SAMPLED * len(population))), replace=False
        ).tolist()
        points = np.array([(population[index].error, population[index].cost) for index in sampled])
        parent = population[sampled[best_first(points)[0]]]
        return self.codec.mutated(parent.genes, rng)


def evolution_sampler(context: StrategyContext) -> BaseSampler:
    """Regularised evolution; see `EvolutionSampler`."""
    return EvolutionSampler(context)
