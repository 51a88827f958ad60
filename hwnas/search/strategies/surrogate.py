"""The default: models of error and cost, asked where the front is expected to gain most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from optuna.samplers import BaseSampler
from threadpoolctl import threadpool_limits

from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.candidate_pool import CandidatePool, Encoded
from hwnas.search.strategies.expected_improvement import expected_hypervolume_improvement
from hwnas.search.strategies.proposing import ProposingSampler
from hwnas.search.strategies.ranking import non_dominated_ranks
from hwnas.search.strategies.surrogate_model import Covariance, GaussianProcess
from hwnas.search.strategies.surrogate_view import View
from hwnas.search.strategies.told import Genes, Judged

Floats = npt.NDArray[np.float64]

_MIN_START, _MAX_START = 5, 10
_START_DRAWS = 64
_MAX_POINTS, _STEP = 300, 50
"""A model is made of so many networks at most, half of them the best, the others drawn from the rest, chosen
anew every `_STEP` networks, and of those that were trained since."""
_FITTED_POINTS = 150
_PARENTS = 20
_CLIMBED, _NEIGHBOURS, _CLIMBS = 8, 10, 2
"""After drawing, so many of the best candidates are replaced by better neighbours, so many times."""
_GROWTH = 1.2
"""Covariances are fitted anew whenever there are so many times as many networks."""
_EXACT = 1e-3
"""Where predictions miss costs by a smaller share, they are taken as they are."""
_USUAL, _USUAL_DRAWS = 0.6, 300
"""Networks with a larger error than this share of uniform draws add nothing to a front."""


@dataclass(frozen=True)
class _Data:
    """Trained networks: features [n, d], errors, costs and their logarithms (over predictions) [n]."""

    features: Floats
    errors: Floats
    costs: Floats
    log_costs: Floats


@dataclass(frozen=True)
class _Models:
    """What is believed of networks that are not trained."""

    error: GaussianProcess
    cost: GaussianProcess | float
    is_feasible: GaussianProcess | None
    has_predictions: bool
    front: Floats
    reference: tuple[float, float]


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

    A proposal takes about 0.7 seconds, at 10,000 told trials as at 300: models are made of a bounded
    number of networks. Use it wherever training a network takes longer than that.

    Source: expected hypervolume improvement as in `expected_improvement`; believer: Ginsbourger et al.,
    "Kriging Is Well-Suited to Parallelize Optimization", 2010; weighting by feasibility: Gardner et al.,
    "Bayesian Optimization with Inequality Constraints", ICML 2014; a process over encoded architectures with
    mutated candidates: White et al., "BANANAS", AAAI 2021.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Begin with what the context says."""
        super().__init__(context)
        self._pool = CandidatePool(self.codec, self.told)
        self._start = min(_MAX_START, max(_MIN_START, context.limits.trials // 5))
        self._view = View(self._pool, context)
        self._covariances: dict[tuple[str, int, bool], Covariance] = {}
        self._kept: tuple[int, list[Judged]] = 0, []

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return the most promising of some hundreds of candidates."""
        with threadpool_limits(1, user_api="blas"):
            if len(self.told.trained) < self._start:
                return self._first(number, rng)
            models = self._models()
            pool = self._pool.around(self._parents(), number, rng)
            best = self._ranked(models, pool, _CLIMBED)
            for _ in range(_CLIMBS):
                near = self._pool.neighbours([genes for _, genes in best], _NEIGHBOURS, rng)
                best = sorted([*best, *self._ranked(models, near, _CLIMBED)], reverse=True)[:_CLIMBED]
            return best[0][1] if best else self.codec.uniform(rng)

    def _first(self, number: int, rng: np.random.Generator) -> Genes:
        """Return a draw whose predicted latency is at another quantile each time."""
        drawn = self._pool.encoded([self.codec.uniform(rng) for _ in range(_START_DRAWS)])
        known = np.flatnonzero(np.isfinite(drawn.log_ms))
        if not len(known):
            return drawn.genes[0] if drawn.genes else self.codec.uniform(rng)
        order = known[np.argsort(drawn.log_ms[known], kind="stable")]
        return drawn.genes[int(order[int(_van_der_corput(number) * len(order))])]

    def _parents(self) -> list[Judged]:
        chosen = self._chosen(len(self.told.trained))
        ranks = non_dominated_ranks(_points(chosen), _PARENTS)
        return [chosen[index] for index in np.argsort(ranks, kind="stable")[:_PARENTS]]

    def _data(self, count: int, *, has_predictions: bool) -> _Data:
        """Return the first so many trained networks as models see them."""
        chosen = self._chosen(count)
        known = self._pool.described([each.genes for each in chosen])
        errors, costs = _points(chosen).T
        reference = self._reference()
        # Networks that learn nothing must not stretch the scale on which the good ones are told apart.
        ceiling = reference[1] + max(reference[1] - float(errors.min()), 1e-6)
        errors = np.minimum(errors, ceiling)
        log_costs = np.log(costs) - (known.log_ms if has_predictions else 0.0)
        return _Data(self._view.features(known, with_latency=has_predictions), errors, costs, log_costs)

    def _models(self) -> _Models:
        count = len(self.told.trained)
        described = self._pool.described([each.genes for each in self._chosen(count)])
        has_predictions = bool(np.isfinite(described.log_ms).all())
        data, scale = (
            self._data(count, has_predictions=has_predictions),
            self._view.scale(with_latency=has_predictions),
        )
        error = GaussianProcess(
            data.features, data.errors, scale, self._covariance("error", has_predictions=has_predictions)
        )
        cost: GaussianProcess | float = float(np.median(data.log_costs))
        if not has_predictions or float(data.log_costs.std()) > _EXACT:
            covariance = self._covariance("cost", has_predictions=has_predictions)
            cost = GaussianProcess(data.features, data.log_costs, scale, covariance)
        feasibility = self._feasibility(has_predictions=has_predictions)
        # What the model believes of trained networks: a lucky training must not hide what is better.
        front = np.column_stack([data.costs, error.predict(data.features)[0]])
        reference = self._corner(error, data, has_predictions=has_predictions)
        models = _Models(error, cost, feasibility, has_predictions, front, reference)
        return self._with_running(models, data)

    def _with_running(self, models: _Models, data: _Data) -> _Models:
        """Return models that believe what they predict for running trials."""
        if not self.told.running:
            return models
        running = self._pool.described([each.genes for each in self.told.running])
        others = self._view.features(running, with_latency=models.has_predictions)
        scale = self._view.scale(with_latency=models.has_predictions)
        mean, _ = models.error.predict(others)
        log_cost, _ = self._log_costs(models, running, others)
        features = np.concatenate([data.features, others])
        error = GaussianProcess(features, np.append(data.errors, mean), scale, models.error.covariance)
        cost = models.cost
        if isinstance(cost, GaussianProcess):
            shifts = log_cost - (running.log_ms if models.has_predictions else 0.0)
            cost = GaussianProcess(features, np.append(data.log_costs, shifts), scale, cost.covariance)
        front = np.concatenate([models.front, np.column_stack([np.exp(log_cost), mean])])
        return replace(models, error=error, cost=cost, front=front)

    def _feasibility(self, *, has_predictions: bool) -> GaussianProcess | None:
        latest = self.told.judged[-_MAX_POINTS:]
        if all(each.is_trained for each in latest):
            return None
        known = self._pool.described([each.genes for each in latest])
        features = self._view.features(known, with_latency=has_predictions)
        values = np.array([float(each.is_trained) for each in latest])
        scale = self._view.scale(with_latency=has_predictions)
        return GaussianProcess(features, values, scale, Covariance.prior(len(scale.parts)))

    def _covariance(self, name: str, *, has_predictions: bool) -> Covariance:
        """Return the covariance that was fitted when the study was somewhat smaller."""
        count = self._start
        while int(_GROWTH * count) + 1 <= len(self.told.trained):
            count = int(_GROWTH * count) + 1
        key = name, count, has_predictions
        if key not in self._covariances:
            data = self._data(count, has_predictions=has_predictions)
            values = data.errors if name == "error" else data.log_costs
            rng = np.random.default_rng([self.context.seed, count])
            some = np.sort(rng.permutation(len(values))[:_FITTED_POINTS])
            scale = self._view.scale(with_latency=has_predictions)
            self._covariances[key] = GaussianProcess(data.features[some], values[some], scale).covariance
        return self._covariances[key]

    def _reference(self) -> tuple[float, float]:
        """Return the worst corner that still counts: (cost, error)."""
        first = _points(self.told.trained[: self._start])
        most = self.context.limits.objective or 1.1 * max(each.cost or 0.0 for each in self.told.trained)
        return most, float(np.quantile(first[:, 0], 0.75))

    def _corner(self, error: GaussianProcess, data: _Data, *, has_predictions: bool) -> tuple[float, float]:
        """Return the worst corner of what is worth having: (cost, error).

        Asked of the models over uniform draws, it does not hang on what happened to be trained first: slow
        networks are worth having even while all trained ones are faster.
        """
        everywhere = self._view.everywhere
        features = self._view.features(everywhere, with_latency=has_predictions)
        usual = float(np.quantile(error.predict(features)[0], _USUAL))
        most, limit_ms = self._reference()[0], self.context.limits.latency_ms
        known = everywhere.log_ms[np.isfinite(everywhere.log_ms)]
        if self.context.limits.objective is not None or not has_predictions or not len(known):
            return most, usual
        slowest = min(float(known.max()), np.log(limit_ms) if limit_ms else np.inf)
        return max(most, 1.1 * float(np.exp(slowest + np.median(data.log_costs)))), usual

    def _log_costs(self, models: _Models, pool: Encoded, features: Floats) -> tuple[Floats, Floats]:
        base = np.zeros(len(features))
        if models.has_predictions:
            base = np.nan_to_num(pool.log_ms, nan=self._view.usual_log_ms)
        if isinstance(models.cost, GaussianProcess):
            mean, spread = models.cost.predict(features)
            return base + mean, spread
        return base + models.cost, np.full(len(features), 1e-6)

    def _ranked(self, models: _Models, pool: Encoded, count: int) -> list[tuple[float, Genes]]:
        """Return the best of a pool with what they promise."""
        if not pool.genes:
            return []
        features = self._view.features(pool, with_latency=models.has_predictions)
        gains = expected_hypervolume_improvement(
            self._log_costs(models, pool, features),
            models.error.predict(features),
            models.front,
            models.reference,
        )
        if models.is_feasible is not None:
            gains = gains * np.clip(models.is_feasible.predict(features)[0], 0.02, 1.0)
        order = np.argsort(-gains, kind="stable")[:count]
        return [(float(gains[index]), pool.genes[index]) for index in order]

    def _chosen(self, count: int) -> list[Judged]:
        """Return those of the first so many trained networks that models are made of."""
        trained = self.told.trained
        if count <= _MAX_POINTS:
            return trained[:count]
        base = count - (count - _MAX_POINTS) % _STEP
        if self._kept[0] != base:
            self._kept = base, _best_and_some(trained[:base], _MAX_POINTS, self.context.seed)
        return [*self._kept[1], *trained[base:count]]


def _best_and_some(trained: Sequence[Judged], number: int, seed: int) -> list[Judged]:
    """Return so many networks, half of them the best and the others drawn from the rest."""
    best = number // 2
    order = np.argsort(non_dominated_ranks(_points(trained), best), kind="stable")
    rng = np.random.default_rng([seed, len(trained)])
    drawn = rng.permutation(order[best:])[: number - best]
    return [trained[index] for index in sorted([*order[:best], *drawn])]


def _points(judged: Sequence[Judged]) -> Floats:
    """Return (error, cost) of trained networks, [n, 2]."""
    return np.array([(each.error, each.cost) for each in judged], np.float64).reshape(len(judged), 2)


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
