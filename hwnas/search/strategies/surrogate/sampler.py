"""The default: models of error and cost, asked where the front is expected to gain most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.samplers import BaseSampler
from optuna.study import Study

from hwnas.arrays import DoubleArray
from hwnas.one_thread import one_thread
from hwnas.pareto import non_dominated_ranks
from hwnas.search.strategies.base import StrategyContext, Transfer
from hwnas.search.strategies.candidate_pool import CandidatePool, Encoded
from hwnas.search.strategies.observations import Genes, Observation, Observations
from hwnas.search.strategies.proposing import ProposingSampler
from hwnas.search.strategies.surrogate.beliefs import Beliefs, Believer
from hwnas.search.strategies.surrogate.data import points_of
from hwnas.search.strategies.surrogate.fidelities import LEAST_KNOWN

_MIN_START, _MAX_START = 5, 10
_START_DRAWS = 64
_PARENTS = 20
_LOCAL_BEST, _NEIGHBOURS, _LOCAL_ROUNDS = 8, 10, 2
"""After drawing, this many of the best candidates are replaced by better neighbours, this many times."""
_COUNTED = 100
"""Of this many of the best at most is it counted whether they are within limits on sizes."""


class SurrogateSampler(ProposingSampler):
    """Gaussian processes over encodings; the candidate with the largest expected hypervolume improvement.

    - Error: a process over the space's encoding and, with a latency table, the predicted latency.
    - Cost: what the table predicts, times what a second process learns of its error; without a table that
      process is over the logarithm of the cost alone.
    - Hard limits: what the table says to be over them is never proposed, and once trials were found to be
      over one, a process over being feasible weights the improvement.
    - Running trials count as if told with what the models predict for them (a believer), so that workers do
      not all try the same.
    - The first trials are drawn: with a table spread over its latencies, else uniformly.
    - With earlier studies, the error is a line over what these say, plus a rest that is learned, and no
      trials are drawn where a table predicts latencies. While these studies do not tell this one's networks
      apart, it is as without them (`earlier`).
    - With several lengths of training, proposals aim at the front of the longest: its error is a line over
      that of the next shorter one, plus a rest that is learned. Which network is trained longer is chosen by
      the same models.

    Cost: a quarter of a second, with 10,000 told trials as with 300: models are made of a bounded number
    of networks; the first proposal after a resume takes up to three seconds. Use it wherever training a
    network takes longer than that.

    Source: expected hypervolume improvement as in `expected_improvement`; believer: Ginsbourger et al.,
    "Kriging Is Well-Suited to Parallelize Optimization", 2010; weighting by feasibility: Gardner et al.,
    "Bayesian Optimization with Inequality Constraints", ICML 2014; a process over encoded architectures with
    mutated candidates: White et al., "BANANAS", AAAI 2021.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Begin with what the context says."""
        super().__init__(context)
        self._pool = CandidatePool(self.codec, self.observations)
        self._start = min(_MAX_START, max(_MIN_START, context.limits.trials // 5))
        self._longer = [Observations(context.space) for _ in context.rungs[1:]]
        self._believer = Believer(context, self._pool, [self.observations, *self._longer], start=self._start)

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return the most promising of some hundreds of candidates."""
        with one_thread():
            if self._believer.needs_draws():
                return self._first(number, rng)
            self._read_longer()
            beliefs = self._believer.beliefs()
            pool = self._pool.around(self._parents(beliefs), number, rng)
            best = self._ranked(beliefs, pool)
            for _ in range(_LOCAL_ROUNDS):
                near = self._pool.neighbours([genes for _, genes in best], _NEIGHBOURS, rng)
                best = sorted([*best, *self._ranked(beliefs, near)], reverse=True)[:_LOCAL_BEST]
            return best[0][1] if best else self.codec.uniform(rng)

    def promote(self, rung: int, waiting: Sequence[int]) -> int | None:
        """Return which of the networks trained on the rung below gains most by being trained on this one.

        Args:
            rung: where it is to be trained, from 1; the lowest is 0.
            waiting: numbers of trials of the rung below.

        Returns:
            one of these numbers; None while too few were trained on this rung, or if none promises a gain.
        """
        self.observations.update(self.context.rungs[0])
        self._read_longer()
        here = self._longer[rung - 1]
        if len(here.trained) < LEAST_KNOWN or len(self.observations.trained) < self._start:
            return None
        # Costs are measured on the lowest rung; what is promoted is not measured again.
        costs = {each.architecture: each.cost for each in self.observations.trained if each.cost is not None}
        below, wanted = [self.observations, *self._longer][rung - 1].trained, set(waiting)
        candidates = [each for each in below if each.number in wanted and each.architecture in costs]
        taken = [each for each in [*here.trained, *here.running] if each.architecture in costs]
        if not candidates:
            return None

        def known(networks: list[Observation]) -> tuple[Encoded, DoubleArray]:
            encoded = self._pool.described([each.genes for each in networks])
            return encoded, np.array([costs[each.architecture] for each in networks], np.float64)

        with one_thread():
            gains = self._believer.beliefs().gains_over(*known(taken), *known(candidates))
        best = int(np.argmax(gains))
        return candidates[best].number if gains[best] > 0 else None

    def transfer(self, study: Study) -> Transfer | None:
        """Return how far earlier studies tell networks of this one apart; None where there are none."""
        self.observations.update(study)
        with one_thread():
            return self._believer.transfer()

    def _read_longer(self) -> None:
        """Read what was told of longer trainings."""
        for observations, study in zip(self._longer, self.context.rungs[1:], strict=True):
            observations.update(study)

    def _first(self, number: int, rng: np.random.Generator) -> Genes:
        """Return a draw whose predicted latency is at another quantile each time."""
        drawn = self._pool.encoded([self.codec.uniform(rng) for _ in range(_START_DRAWS)])
        known = np.flatnonzero(np.isfinite(drawn.log_ms))
        if not len(known):
            return drawn.genes[0] if drawn.genes else self.codec.uniform(rng)
        order = known[np.argsort(drawn.log_ms[known], kind="stable")]
        return drawn.genes[int(order[int(_van_der_corput(number) * len(order))])]

    def _ranked(self, beliefs: Beliefs, pool: Encoded) -> list[tuple[float, Genes]]:
        """Return the best of a pool that are within limits on sizes, with what they promise."""
        if not pool.genes:
            return []
        gains = beliefs.gains(pool)
        best: list[tuple[float, Genes]] = []
        for index in np.argsort(-gains, kind="stable")[:_COUNTED]:
            if self.codec.sizes_fit(pool.genes[index]):
                best.append((float(gains[index]), pool.genes[index]))
            if len(best) == _LOCAL_BEST:
                break
        return best

    def _parents(self, beliefs: Beliefs) -> list[Observation]:
        """Return the best networks: as told; with several lengths of training, as believed of the longest."""
        chosen = self._believer.chosen()
        points = beliefs.front[: len(chosen)] if self._longer else points_of(chosen)
        ranks = non_dominated_ranks(points, _PARENTS)
        return [chosen[index] for index in np.argsort(ranks, kind="stable")[:_PARENTS]]


def _van_der_corput(number: int) -> float:
    """Return the number's binary digits mirrored at the point: evenly spread whatever comes next."""
    result, share = 0.0, 0.5
    while number:
        result += share * (number & 1)
        number, share = number >> 1, share / 2
    return result


def surrogate_sampler(context: StrategyContext) -> BaseSampler:
    """Models of error and cost with expected hypervolume improvement; see `SurrogateSampler`."""
    return SurrogateSampler(context)
