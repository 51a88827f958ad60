"""Gradients: draws from choices that a relaxation over the shared weights has moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from optuna.samplers import BaseSampler

from hwnas.plugin_settings import takes_settings
from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.observations import Genes
from hwnas.search.strategies.proposing import ProposingSampler
from hwnas.training.relaxed_choices import RelaxedChoices


class GradientSampler(ProposingSampler):
    """Draws every gene from probabilities that gradients found, trial n for weight n mod m of the latency.

    They are found before the search, by `hwnas relax`, see `hwnas.training.relaxation` for the method and its
    sources. What is told does not move them; known networks and those over the limit are drawn again.

    Cost: a draw. The relaxation costs what its steps cost, each somewhat more than twice a training step for
    every weight of the latency. Use it where there is a supernet and a latency table, and many networks of a
    promising part of the space are wanted.

    Source: that of the relaxation, `hwnas.training.relaxation`.
    """

    def __init__(self, context: StrategyContext, relaxed: RelaxedChoices) -> None:
        """Draw from what a relaxation of the context's space found."""
        super().__init__(context)
        self._relaxed = relaxed

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Draw from the set whose turn it is."""
        turn = number % len(self._relaxed.weights)
        rows = [self._relaxed.probabilities[gene][turn] for gene in self.codec.names]
        return tuple(int(rng.choice(len(row), p=row / row.sum())) for row in rows)


@takes_settings(inputs=("relaxed",))
def gradient_sampler(context: StrategyContext, *, relaxed: str) -> BaseSampler:
    """Draws from relaxed choices; see `GradientSampler`.

    Args:
        context: of the search.
        relaxed: directory that `hwnas relax` wrote.

    Raises:
        TrainingError: if there are no relaxed choices there, or they are damaged, or of another space or
            other data.
    """
    found = RelaxedChoices.load(Path(relaxed), context.space.name, context.space.choices, context.data)
    return GradientSampler(context, found)
