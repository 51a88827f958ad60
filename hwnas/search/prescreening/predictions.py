"""Error and cost of any network, as the trained ones of a study and a latency table let expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray
from hwnas.errors import StudyError
from hwnas.estimators.learned import (
    MIN_EVALUATED,
    MOST_EVALUATED,
    ErrorPredictor,
    capped,
    validated_predictor,
)
from hwnas.one_thread import one_thread
from hwnas.search.prescreening.selection import Predictions
from hwnas.search.strategies import Limits
from hwnas.search_spaces.base import SearchSpace, encode_many, sample_choices

_DRAWS = 200
_TIME_WEIGHT = 0.5
_USUAL = 0.6
"""Networks of a larger error than this share of draws within limits are not worth training, however fast."""

TablePredictions = Callable[[Sequence[Architecture]], tuple[DoubleArray, DoubleArray] | None]
"""Latency and lower end of its interval of many networks, in ms; None if one of them is not covered."""


@dataclass(frozen=True)
class Evaluated:
    """One network that was trained."""

    architecture: Architecture
    error: float
    cost: float


class CandidatePredictor:
    """Predicts chunks of networks; fitted once.

    Large errors are capped before: where some networks learn nothing, telling the others apart matters more.

    Attributes:
        report: of the error predictor, by cross-validation.
        uses_table: whether the second objective is what a latency table says; learned otherwise.
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluated: Sequence[Evaluated],
        limits: Limits,
        table: TablePredictions | None,
        *,
        is_latency: bool,
        seed: int = 0,
    ) -> None:
        """Fit on the latest `MOST_EVALUATED` networks.

        Args:
            space: that the networks are of.
            evaluated: trained ones.
            limits: hard ones.
            table: predictions of a latency table, if there is one.
            is_latency: whether the second objective is the latency that the table predicts.
            seed: of cross-validation.

        Raises:
            StudyError: if too few networks are trained.
        """
        if len(evaluated) < MIN_EVALUATED:
            raise StudyError(
                f"Prescreening learns from at least {MIN_EVALUATED} trained candidates, but there are "
                f"{len(evaluated)}. Raise search.trials, or the limits if few candidates are within them."
            )
        self._space = space
        self._limits = limits
        chosen = evaluated[-MOST_EVALUATED:]
        networks = [each.architecture for each in chosen]
        known = table(networks) if table is not None and _covers(space, table, seed) else None
        self._table = table if known is not None else None
        self.uses_table = known is not None and is_latency
        vectors = encode_many(space, networks).astype(np.float64)
        self._cost: ErrorPredictor | None = None
        with one_thread():
            if not self.uses_table:
                self._cost = ErrorPredictor(vectors, np.log([each.cost for each in chosen]))
            logs = self._log_costs(vectors, known)
            self._log_scale = float(logs.mean()), max(float(logs.std()), 1e-6)
            errors = np.array([each.error for each in chosen])
            errors = capped(errors, float(np.quantile(errors, 0.75)))
            self._error, self.report = validated_predictor(self._features(vectors, logs), errors, seed=seed)
        self._usual = np.inf
        drawn = self(_drawn(space, seed))
        if drawn.are_allowed.any():
            self._usual = float(np.quantile(drawn.errors[drawn.are_allowed], _USUAL))

    def __call__(self, networks: Sequence[Architecture]) -> Predictions:
        """Predict; what is over a limit is not allowed."""
        vectors = encode_many(self._space, networks).astype(np.float64)
        found = self._table(networks) if self._table is not None else None
        with one_thread():
            logs = self._log_costs(vectors, found)
            errors = self._error.predict(self._features(vectors, logs))
        costs, are_allowed = np.exp(logs), np.ones(len(networks), bool)
        if found is not None and self._limits.latency_ms is not None:
            are_allowed &= found[0] <= self._limits.latency_ms
        if self._limits.objective is not None:
            are_allowed &= costs <= self._limits.objective
        return Predictions(errors, costs, are_allowed, errors <= self._usual)

    def _log_costs(self, vectors: DoubleArray, found: tuple[DoubleArray, DoubleArray] | None) -> DoubleArray:
        """Return logarithms of the second objective, as learned or, where it is that, as in the table."""
        if self._cost is not None:
            return self._cost.predict(vectors)
        if found is None:
            raise ValueError("A prediction needs a table that covers the space, or a predictor of costs.")
        return np.log(found[0])

    def _features(self, vectors: DoubleArray, log_costs: DoubleArray) -> DoubleArray:
        mean, spread = self._log_scale
        # As far apart as networks that differ in several genes: a cost says much about the error.
        weight = _TIME_WEIGHT * np.sqrt(len(self._space.choices))
        return np.column_stack([vectors, weight * (log_costs - mean) / spread])


def _covers(space: SearchSpace, table: TablePredictions, seed: int) -> bool:
    """Return whether a table says something about all of some drawn networks."""
    return table(_drawn(space, seed)) is not None


def _drawn(space: SearchSpace, seed: int) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.decode(sample_choices(space, rng)) for _ in range(_DRAWS)]
