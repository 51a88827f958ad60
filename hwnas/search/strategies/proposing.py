"""What the strategies of this project share: a sampler around a function that proposes genes.

They keep nothing that the study does not hold. A proposal depends on the seed of the run, the number of the
trial and what was told before, so that a resumed study proposes what it would have proposed without the stop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hwnas.architecture import Architecture
from hwnas.search.strategies.base import StrategyContext, distributions_of
from hwnas.search.strategies.observations import Genes, Observations

_DRAWS = 100
"""So many proposals are asked of a strategy before it gets help by uniform draws."""
_UNIFORM_DRAWS = 2000
_REMEMBERED = 50_000


class GeneCodec:
    """From genes to architectures and back to choices, remembering the latest."""

    def __init__(self, context: StrategyContext) -> None:
        """Take over the space."""
        self.context = context
        self.space = context.space
        self.names = tuple(context.space.choices)
        self.values = tuple(context.space.choices.values())
        self.sizes = np.array([len(values) for values in self.values])
        self._movable = tuple(gene for gene, values in enumerate(self.values) if len(values) > 1)
        self._architectures: OrderedDict[Genes, Architecture] = OrderedDict()
        self._sizes_fit: OrderedDict[str, bool] = OrderedDict()

    def choices(self, genes: Genes) -> dict[str, Any]:
        """Return the value of every gene by name."""
        return {
            name: values[index] for name, values, index in zip(self.names, self.values, genes, strict=True)
        }

    def architecture(self, genes: Genes) -> Architecture:
        """Return what the genes decode to."""
        found = self._architectures.get(genes)
        if found is None:
            found = self._architectures[genes] = self.space.decode(self.choices(genes))
            if len(self._architectures) > _REMEMBERED:
                self._architectures.popitem(last=False)
        return found

    def uniform(self, rng: np.random.Generator) -> Genes:
        """Draw every gene uniformly."""
        return tuple(int(index) for index in rng.integers(self.sizes))

    def mutated(self, genes: Genes, rng: np.random.Generator, changes: int = 1) -> Genes:
        """Return genes of another network: `changes` genes drawn anew, more only if that has no effect."""
        result = list(genes)
        if not self._movable:
            return genes
        before = self.architecture(genes)
        for attempt in range(20):
            for gene in self._drawn(min(changes, len(self._movable)), rng):
                size = len(self.values[gene])
                result[gene] = (result[gene] + 1 + int(rng.integers(size - 1))) % size
            if self.architecture(tuple(result)) != before:
                break
            if attempt < 10:
                result = list(genes)
        return tuple(result)

    def _drawn(self, count: int, rng: np.random.Generator) -> Sequence[int]:
        """Draw different genes of those that have several values."""
        if count == 1:  # what `choice` draws, in a third of its time
            return (self._movable[int(rng.integers(len(self._movable)))],)
        return [int(gene) for gene in rng.choice(self._movable, count, replace=False)]

    def sizes_fit(self, genes: Genes) -> bool:
        """Return whether what can be counted of a network is within the hard limits."""
        architecture = self.architecture(genes)
        found = self._sizes_fit.get(architecture.id)
        if found is None:
            found = self._sizes_fit[architecture.id] = self.context.sizes_fit(architecture)
            if len(self._sizes_fit) > _REMEMBERED:
                self._sizes_fit.popitem(last=False)
        return found

    def allowed(self, candidates: Sequence[Genes]) -> list[bool]:
        """Return for each whether a latency table leaves it a chance to be within the hard limit."""
        if self.context.limits.latency_ms is None:
            return [True] * len(candidates)
        predictions = self.context.latencies([self.architecture(genes) for genes in candidates])
        return [not self.context.is_forbidden(prediction) for prediction in predictions]


class ProposingSampler(BaseSampler):
    """A sampler that proposes all genes at once, never what is known or forbidden while there is other.

    Forbidden is what the latency table or a count says to be over a hard limit. Some 2,000 draws are made to
    find something else; where fewer networks are within the limit, a proposal may be rejected after all.

    Subclasses implement `propose`.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Begin with what the context says."""
        self.context = context
        self.codec = GeneCodec(context)
        self.observations = Observations(context.space)
        self._genes: dict[str, BaseDistribution] = dict(distributions_of(context.space))

    @abstractmethod
    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return genes for the trial `number`; called again while they are known or forbidden."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all genes: they are the same in every trial."""
        return dict(self._genes)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose values for all genes."""
        self.observations.update(study)
        return self.codec.choices(self._first_new(trial.number, self.rng_of(trial.number)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw uniformly what is no gene of the space."""
        rng = np.random.default_rng([self.context.seed, trial.number, sum(param_name.encode())])
        choices = getattr(param_distribution, "choices", None)
        if choices is None:
            raise ValueError(f"Expected categorical genes, but {param_name!r} is {param_distribution!r}.")
        return choices[int(rng.integers(len(choices)))]

    def rng_of(self, number: int) -> np.random.Generator:
        """Return the random numbers of a trial."""
        return np.random.default_rng([self.context.seed, number])

    def _first_new(self, number: int, rng: np.random.Generator) -> Genes:
        known_but_allowed: Genes | None = None
        for attempt in range(_DRAWS + _UNIFORM_DRAWS // 50):
            candidates = (
                [self.propose(number, rng)]
                if attempt < _DRAWS
                else [self.codec.uniform(rng) for _ in range(50)]
            )
            for genes, allowed in zip(candidates, self.codec.allowed(candidates), strict=True):
                if not allowed or not self.codec.sizes_fit(genes):
                    continue
                if not self.observations.is_known(self.codec.architecture(genes)):
                    return genes
                known_but_allowed = known_but_allowed or genes
        return known_but_allowed or self._fastest(rng)

    def _fastest(self, rng: np.random.Generator) -> Genes:
        """Return the fastest of some, where nothing within the limit was found."""
        candidates = [self.codec.uniform(rng) for _ in range(_UNIFORM_DRAWS)]
        predictions = self.context.latencies([self.codec.architecture(genes) for genes in candidates])
        times = [prediction.latency_ms if prediction else np.inf for prediction in predictions]
        return candidates[int(np.argmin(times))]
