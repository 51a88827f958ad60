"""What a surrogate believes of networks that are not trained, or not trained in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.rank_correlation import MIN_NETWORKS, rank_correlation_of
from hwnas.search.strategies.base import StrategyContext, Transfer
from hwnas.search.strategies.candidate_pool import CandidatePool, Encoded
from hwnas.search.strategies.expected_improvement import expected_hypervolume_improvement
from hwnas.search.strategies.observations import Observation, Observations
from hwnas.search.strategies.surrogate.data import Data, TrainedNetworks
from hwnas.search.strategies.surrogate.earlier import (
    EarlierErrors,
    TransferredErrors,
    is_borne_out,
    rest_of_line,
    usual_error,
)
from hwnas.search.strategies.surrogate.fidelities import LEAST_KNOWN, ErrorModel, LongerTraining
from hwnas.search.strategies.surrogate.model import Covariance, GaussianProcess, Scale
from hwnas.search.strategies.surrogate.view import View

_FITTED_POINTS = 150
_GROWTH = 1.2
"""Covariances are fitted anew whenever there are this many times as many networks."""
_EXACT = 1e-3
"""Where predictions miss costs by a smaller share, they are taken as they are."""
_USUAL = 0.6
"""Networks with a larger error than this share of uniform draws add nothing to a front."""
_CERTAIN = 1e-6
"""Standard deviation of the logarithm of a cost that is known."""


@dataclass(frozen=True)
class Beliefs:
    """Models, and what they were asked for already.

    Attributes:
        error: after the longest training of which anything is known.
        cost: model of the logarithm of the cost, over the predicted one where there are predictions; a number
            where that is exact.
        is_feasible: model of being within the hard limits; None while everything was.
        has_predictions: whether a latency table covers what models are made of.
        front: believed (cost, error) of the networks that models are made of, then of running ones, [n, 2].
        reference: the worst corner of what is worth having: (cost, error).
        view: makes features of encodings.
    """

    error: ErrorModel
    cost: GaussianProcess | float
    is_feasible: GaussianProcess | None
    has_predictions: bool
    front: DoubleArray
    reference: tuple[float, float]
    view: View

    def features(self, known: Encoded) -> DoubleArray:
        """Return one row of features for every network."""
        return self.view.features(known, with_latency=self.has_predictions)

    def gains(self, pool: Encoded) -> DoubleArray:
        """Return the expected hypervolume improvement of untrained networks over the front, [n]."""
        features = self.features(pool)
        gains = expected_hypervolume_improvement(
            self.log_costs(pool, features), self.error.predict(features), self.front, self.reference
        )
        if self.is_feasible is None:
            return gains
        return np.asarray(gains * np.clip(self.is_feasible.predict(features)[0], 0.02, 1.0))

    def gains_over(
        self, taken: Encoded, taken_costs: DoubleArray, others: Encoded, costs: DoubleArray
    ) -> DoubleArray:
        """Return the expected hypervolume improvement of networks of known costs over some of such, [n].

        Args:
            taken: networks that are the front.
            taken_costs: of theirs, [m].
            others: networks that may improve on them.
            costs: of theirs, [n].
        """
        front = np.column_stack([taken_costs, self.error.predict(self.features(taken))[0]])
        log_costs = np.log(costs), np.full(len(costs), _CERTAIN)
        error = self.error.predict(self.features(others))
        return expected_hypervolume_improvement(log_costs, error, front, self.reference)

    def log_costs(self, pool: Encoded, features: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation of logarithms of costs, each [n]."""
        base = np.zeros(len(features))
        if self.has_predictions:
            base = np.nan_to_num(pool.log_ms, nan=self.view.usual_log_ms)
        if isinstance(self.cost, GaussianProcess):
            mean, spread = self.cost.predict(features)
            return base + mean, spread
        return base + self.cost, np.full(len(features), _CERTAIN)

    def believing(self, running: Encoded) -> Beliefs:
        """Return what would be believed if running trials were told what the models predict for them."""
        features = self.features(running)
        mean, _ = self.error.predict(features)
        log_cost, _ = self.log_costs(running, features)
        cost = self.cost.believing(features) if isinstance(self.cost, GaussianProcess) else self.cost
        front = np.concatenate([self.front, np.column_stack([np.exp(log_cost), mean])])
        return replace(self, error=self.error.believing(features), cost=cost, front=front)


class Believer:
    """Makes models of what was told, and remembers covariances."""

    def __init__(
        self, context: StrategyContext, pool: CandidatePool, rungs: Sequence[Observations], *, start: int
    ) -> None:
        """Take over space and trials.

        Args:
            context: of the strategy.
            pool: encodes networks.
            rungs: what was told of each length of training, the shortest first; usually one.
            start: this many networks are trained before models are asked.
        """
        self._context = context
        self._pool = pool
        self._start = start
        self._view = View(pool, context)
        self._rungs = [
            TrainedNetworks(observations, pool, self._view, seed=context.seed, start=start)
            for observations in rungs
        ]
        self._covariances: dict[tuple[str, int, bool], Covariance] = {}

    def chosen(self) -> list[Observation]:
        """Return the networks that models are made of."""
        return self._rungs[0].chosen(len(self._rungs[0]))

    def beliefs(self) -> Beliefs:
        """Return what is believed by what was told."""
        lowest = self._rungs[0]
        has_predictions = lowest.have_predictions()
        data = self._data(len(lowest), has_predictions=has_predictions)
        scale = self._view.scale(with_latency=has_predictions)
        error = self._error(data, has_predictions=has_predictions)
        cost: GaussianProcess | float = float(np.median(data.log_costs)) if len(data.log_costs) else 0.0
        if not has_predictions or (len(data.log_costs) and float(data.log_costs.std()) > _EXACT):
            covariance = self._covariance("cost", has_predictions=has_predictions)
            cost = GaussianProcess(data.features, data.log_costs, scale, covariance)
        feasibility = self._feasibility(has_predictions=has_predictions)
        # What the model believes of trained networks: a lucky training must not hide what is better.
        front = np.column_stack([data.costs, error.predict(data.features)[0]])
        reference = self._corner(error, data, has_predictions=has_predictions)
        beliefs = Beliefs(error, cost, feasibility, has_predictions, front, reference, self._view)
        running = lowest.observations.running
        return (
            beliefs.believing(self._pool.described([each.genes for each in running])) if running else beliefs
        )

    def _error(self, data: Data, *, has_predictions: bool) -> ErrorModel:
        """Return a model of the error after the longest training that enough networks had."""
        scale = self._view.scale(with_latency=has_predictions)
        error = self._shortest_error(data, scale, has_predictions=has_predictions)
        for longer in self._rungs[1:]:
            if len(longer) < LEAST_KNOWN:
                break
            known = longer.data(len(longer), has_predictions=has_predictions)
            error = LongerTraining.learned(error, known.features, known.errors, scale)
        return error

    def needs_draws(self) -> bool:
        """Return whether the next network is to be drawn, since too little is known to ask models."""
        count, has_predictions = len(self._rungs[0]), self._rungs[0].have_predictions()
        if self._earlier is None or count >= self._start:
            return count < self._start
        if count < LEAST_KNOWN and not has_predictions:
            return True  # costs are not known
        return not self._is_earlier_used(self._data(count, has_predictions=has_predictions))

    def transfer(self) -> Transfer | None:
        """Return how far earlier studies tell networks of this one apart; None where there are none."""
        lowest, studies = self._rungs[0], self._context.earlier
        if not studies:
            return None
        names = tuple(study.name for study in studies)
        networks = len({architecture.id for study in studies for architecture in study.architectures})
        if self._earlier is None:
            return Transfer(names, networks, None, is_used=False)
        has_predictions = lowest.have_predictions()
        data = self._data(len(lowest), has_predictions=has_predictions)
        alike, is_used = None, self._is_earlier_used(data)
        if len(lowest) >= MIN_NETWORKS:
            alike = rank_correlation_of(self._earlier.predict(data.features)[0], data.errors)
        if len(lowest) >= self._start:
            scale = self._view.scale(with_latency=has_predictions)
            error = self._shortest_error(data, scale, has_predictions=has_predictions)
            is_used = isinstance(error, TransferredErrors)
        return Transfer(names, networks, alike, is_used)

    def _shortest_error(self, data: Data, scale: Scale, *, has_predictions: bool) -> ErrorModel:
        """Return a model of the error after the shortest training."""
        if self._earlier is not None and len(data.errors) < LEAST_KNOWN:
            return self._earlier
        if self._earlier is not None and len(data.errors) < self._start:
            return TransferredErrors.learned(self._earlier, data.features, data.errors, scale)
        covariance = self._covariance("error", has_predictions=has_predictions)
        own = GaussianProcess(data.features, data.errors, scale, covariance)
        if self._earlier is None:
            return own
        covariance = self._covariance("rest", has_predictions=has_predictions)
        found = TransferredErrors.learned(self._earlier, data.features, data.errors, scale, covariance)
        return found if self._is_earlier_used(data, found.rest, own) else own

    def _is_earlier_used(
        self, data: Data, rest: GaussianProcess | None = None, own: GaussianProcess | None = None
    ) -> bool:
        return self._earlier is not None and is_borne_out(
            self._earlier, data.features, data.errors, rest, own
        )

    @cached_property
    def _earlier(self) -> EarlierErrors | None:
        context = self._context
        scale = self._view.scale(with_latency=False)
        return EarlierErrors.learned(context.earlier, context.space, scale, context.seed)

    def _data(self, count: int, *, has_predictions: bool) -> Data:
        """Return the first networks, whose errors are capped by what is usual."""
        lowest = self._rungs[0]
        if self._earlier is None:
            return lowest.data(count, has_predictions=has_predictions)
        told = lowest.data(count, has_predictions=has_predictions, usual=np.inf)
        everywhere = self._view.features(self._view.everywhere, with_latency=has_predictions)
        usual = usual_error(self._earlier, everywhere, told.features, told.errors)
        return lowest.data(count, has_predictions=has_predictions, usual=usual)

    def _feasibility(self, *, has_predictions: bool) -> GaussianProcess | None:
        latest = self._rungs[0].latest_evaluated
        if all(each.is_trained for each in latest):
            return None
        known = self._pool.described([each.genes for each in latest])
        features = self._view.features(known, with_latency=has_predictions)
        values = np.array([float(each.is_trained) for each in latest])
        scale = self._view.scale(with_latency=has_predictions)
        return GaussianProcess(features, values, scale, Covariance.prior(len(scale.parts)))

    def _covariance(self, name: str, *, has_predictions: bool) -> Covariance:
        """Return the covariance that was fitted when the study was somewhat smaller."""
        known, count = len(self._rungs[0]), min(self._start, len(self._rungs[0]))
        while int(_GROWTH * count) + 1 <= known:
            count = int(_GROWTH * count) + 1
        if name == "rest" and known <= _FITTED_POINTS:
            count = known  # it hangs on the line, which moves with every network
        key = name, count, has_predictions
        if key not in self._covariances:
            data = self._data(count, has_predictions=has_predictions)
            values = data.log_costs if name == "cost" else data.errors
            if name == "rest" and self._earlier is not None:
                values = rest_of_line(self._earlier, data.features, data.errors)
            rng = np.random.default_rng([self._context.seed, count])
            some = np.sort(rng.permutation(len(values))[:_FITTED_POINTS])
            scale = self._view.scale(with_latency=has_predictions)
            self._covariances[key] = GaussianProcess(data.features[some], values[some], scale).covariance
        return self._covariances[key]

    def _corner(self, error: ErrorModel, data: Data, *, has_predictions: bool) -> tuple[float, float]:
        """Return the worst corner of what is worth having: (cost, error).

        Asked of the models over uniform draws, it does not hang on what happened to be trained first: slow
        networks are worth having even while all trained ones are faster.
        """
        everywhere, limits = self._view.everywhere, self._context.limits
        features = self._view.features(everywhere, with_latency=has_predictions)
        usual = float(np.quantile(error.predict(features)[0], _USUAL))
        most = limits.objective or (self._rungs[0].worst_corner[0] if len(self._rungs[0]) else 0.0)
        known = everywhere.log_ms[np.isfinite(everywhere.log_ms)]
        if limits.objective is not None or not has_predictions or not len(known):
            return most, usual
        slowest = min(float(known.max()), np.log(limits.latency_ms) if limits.latency_ms else np.inf)
        off = float(np.median(data.log_costs)) if len(data.log_costs) else 0.0
        return max(most, 1.1 * float(np.exp(slowest + off))), usual
