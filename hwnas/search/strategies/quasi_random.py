"""Covers a space evenly, whatever the trials say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from optuna.samplers import BaseSampler
from scipy.stats import qmc

from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.observations import Genes
from hwnas.search.strategies.proposing import ProposingSampler

_BLOCK = 1024


class QuasiRandomSampler(ProposingSampler):
    """The n-th point of a scrambled Sobol sequence for the n-th trial.

    Optuna's own quasi-random sampler leaves categorical genes to chance, and here all genes are
    categorical. A gene takes the value in whose share of the unit interval its coordinate lies.

    Cost: next to nothing. Use it to cover a space evenly, such as for a predictor or for prescreening.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing Points", J. Complexity 14(4), 1998.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Fix the scrambling by the seed."""
        super().__init__(context)
        self._used = -1
        self._points: tuple[int, npt.NDArray[np.float64]] | None = None

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return the point of the trial; where that will not do, uniform draws."""
        if self._used == number:
            return self.codec.uniform(rng)
        self._used = number
        block, place = divmod(number, _BLOCK)
        if self._points is None or self._points[0] != block:
            sequence = qmc.Sobol(len(self.codec.sizes), scramble=True, rng=self.context.seed)
            if block:
                sequence.fast_forward(block * _BLOCK)
            self._points = block, sequence.random(_BLOCK)
        return tuple(int(index) for index in np.floor(self._points[1][place] * self.codec.sizes))


def quasi_random_sampler(context: StrategyContext) -> BaseSampler:
    """Scrambled Sobol points; see `QuasiRandomSampler`."""
    return QuasiRandomSampler(context)
