"""What the models of a surrogate are made of: a bounded number of the trained networks of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.estimators.learned import capped
from hwnas.pareto import non_dominated_ranks
from hwnas.search.strategies.candidate_pool import CandidatePool
from hwnas.search.strategies.observations import Observation, Observations
from hwnas.search.strategies.surrogate.view import View

_MAX_POINTS, _STEP = 300, 50
"""A model is made of this many networks at most, half of them the best, the others drawn from the rest,
chosen anew every `_STEP` networks, and of those that were trained since."""


@dataclass(frozen=True)
class Data:
    """Trained networks: features [n, d], errors, costs and their logarithms (over predictions) [n]."""

    features: DoubleArray
    errors: DoubleArray
    costs: DoubleArray
    log_costs: DoubleArray


class TrainedNetworks:
    """The trained networks of one study, as models see them."""

    def __init__(
        self, observations: Observations, pool: CandidatePool, view: View, *, seed: int, start: int
    ) -> None:
        """Take over a study.

        Args:
            observations: of the study.
            pool: encodes networks.
            view: makes features of encodings.
            seed: of the run.
            start: this many networks are trained before models are asked.
        """
        self.observations = observations
        self._pool = pool
        self._view = view
        self._seed = seed
        self._start = start
        self._kept: tuple[int, list[Observation]] = 0, []

    def __len__(self) -> int:
        """How many there are."""
        return len(self.observations.trained)

    @property
    def latest_evaluated(self) -> list[Observation]:
        """The last networks that were trained or found to be over a limit."""
        return self.observations.evaluated[-_MAX_POINTS:]

    @property
    def worst_corner(self) -> tuple[float, float]:
        """Cost and error still of interest: a tenth over the largest, and usual for first networks."""
        first = points_of(self.observations.trained[: self._start])
        largest = max((each.cost or 0.0 for each in self.observations.trained), default=0.0)
        return 1.1 * largest, float(np.quantile(first[:, 0], 0.75))

    def chosen(self, count: int) -> list[Observation]:
        """Return those of the first `count` networks that models are made of."""
        trained = self.observations.trained
        if count <= _MAX_POINTS:
            return trained[:count]
        base = count - (count - _MAX_POINTS) % _STEP
        if self._kept[0] != base:
            self._kept = base, _best_and_some(trained[:base], _MAX_POINTS, self._seed)
        return [*self._kept[1], *trained[base:count]]

    def have_predictions(self) -> bool:
        """Return whether a latency table covers all that models are made of, or uniform draws before that."""
        chosen = [each.genes for each in self.chosen(len(self))]
        known = self._pool.described(chosen) if chosen else self._view.everywhere
        return bool(np.isfinite(known.log_ms).all())

    def data(self, count: int, *, has_predictions: bool, usual: float | None = None) -> Data:
        """Return the first `count` networks as models see them.

        Args:
            count: may be 0.
            has_predictions: whether a latency table covers them.
            usual: error beyond which errors are capped; None for one that is usual for first networks.
        """
        chosen = self.chosen(count)
        known = self._pool.described([each.genes for each in chosen])
        errors, costs = points_of(chosen).T
        if len(errors):
            errors = capped(errors, self.worst_corner[1] if usual is None else usual)
        log_costs = np.log(costs) - (known.log_ms if has_predictions else 0.0)
        return Data(self._view.features(known, with_latency=has_predictions), errors, costs, log_costs)


def points_of(evaluated: Sequence[Observation]) -> DoubleArray:
    """Return (error, cost) of trained networks, [n, 2]."""
    return np.array([(each.error, each.cost) for each in evaluated], np.float64).reshape(len(evaluated), 2)


def _best_and_some(trained: Sequence[Observation], number: int, seed: int) -> list[Observation]:
    """Return this many networks, half of them the best and the others drawn from the rest."""
    best = number // 2
    order = np.argsort(non_dominated_ranks(points_of(trained), best), kind="stable")
    rng = np.random.default_rng([seed, len(trained)])
    drawn = rng.permutation(order[best:])[: number - best]
    return [trained[index] for index in sorted([*order[:best], *drawn])]
