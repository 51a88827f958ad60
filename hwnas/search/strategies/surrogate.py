"""The default: models of error and cost, asked where the front is expected to gain most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from hwnas.search.strategies.told import Genes, Judged

Floats = npt.NDArray[np.float64]

_MIN_START, _MAX_START = 5, 10
_START_DRAWS = 64
_MAX_POINTS = 300
"""A model is made of so many networks at most: half of them the best, the others drawn from the rest."""
_PARENTS = 20
_CLIMBED, _NEIGHBOURS, _CLIMBS = 8, 10, 2
"""After drawing, so many of the best candidates are replaced by better neighbours, so many times."""
_GROWTH = 1.2
"""Covariances are fitted anew whenever there are so many times as many trained networks."""
_EXACT = 1e-3
"""Where predictions miss costs by a smaller share, they are taken as they are."""
_LATENCY_WEIGHT = 0.5
_USUAL, _USUAL_DRAWS = 0.6, 300
"""Networks with a larger error than this share of uniform draws add nothing to a front."""


@dataclass(frozen=True)
class _Data:
    """Trained networks: features [n, d], errors, costs and their logarithms (over predictions) [n]."""

    features: Floats
    errors: Floats
    costs: Floats
    log_costs: Floats
    log_ms: tuple[float, float]


@dataclass(frozen=True)
class _Models:
    """What is believed of networks that are not trained."""

    error: GaussianProcess
    cost: GaussianProcess | float
    is_feasible: GaussianProcess | None
    has_predictions: bool
    log_ms: tuple[float, float]
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

    A proposal takes about a second at 300 told trials of `range-unet` and some seconds at 10,000. Use it
    wherever training a network takes longer than that.

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
        self._everywhere: Encoded | None = None
        self._covariances: dict[tuple[str, int, bool], Covariance] = {}

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Return the most promising of some hundreds of candidates."""
        with threadpool_limits(1, user_api="blas"):
            if len(self.told.trained) < self._start:
                return self._first(number, rng)
            models = self._models()
            parents = self._parents()
            pool = self._pool.around(parents, rng)
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
        points = _points(self.told.trained)
        ranks = non_dominated_ranks(points, _PARENTS)
        order = np.argsort(ranks, kind="stable")[:_PARENTS]
        return [self.told.trained[index] for index in order]

    def _data(self, trained: Sequence[Judged], *, has_predictions: bool) -> _Data:
        """Return networks as models see them."""
        chosen = self._chosen(trained)
        known = self._pool.described([each.genes for each in chosen])
        log_ms = _mean_and_spread(known.log_ms) if has_predictions else (0.0, 1.0)
        errors, costs = _points(chosen).T
        reference = self._reference()
        # Networks that learn nothing must not stretch the scale on which the good ones are told apart.
        ceiling = reference[1] + max(reference[1] - float(errors.min()), 1e-6)
        errors = np.minimum(errors, ceiling)
        log_costs = np.log(costs) - (known.log_ms if has_predictions else 0.0)
        features = self._features(known, log_ms, has_predictions=has_predictions)
        return _Data(features, errors, costs, log_costs, log_ms)

    def _models(self) -> _Models:
        described = self._pool.described([each.genes for each in self.told.trained])
        has_predictions = bool(np.isfinite(described.log_ms).all())
        data = self._data(self.told.trained, has_predictions=has_predictions)
        error = GaussianProcess(
            data.features, data.errors, self._covariance("error", has_predictions=has_predictions)
        )
        cost: GaussianProcess | float = float(np.median(data.log_costs))
        if not has_predictions or float(data.log_costs.std()) > _EXACT:
            cost = GaussianProcess(
                data.features, data.log_costs, self._covariance("cost", has_predictions=has_predictions)
            )
        feasibility = self._feasibility(data.log_ms, has_predictions=has_predictions)
        # What the model believes of trained networks: a lucky training must not hide what is better.
        front = np.column_stack([data.costs, error.predict(data.features)[0]])
        reference = self._corner(error, data, has_predictions=has_predictions)
        models = _Models(error, cost, feasibility, has_predictions, data.log_ms, front, reference)
        return self._with_running(models, data)

    def _with_running(self, models: _Models, data: _Data) -> _Models:
        """Return models that believe what they predict for running trials."""
        if not self.told.running:
            return models
        running = self._pool.described([each.genes for each in self.told.running])
        others = self._features(running, models.log_ms, has_predictions=models.has_predictions)
        mean, _ = models.error.predict(others)
        log_cost, _ = self._log_costs(models, running, others)
        features = np.concatenate([data.features, others])
        error = GaussianProcess(features, np.append(data.errors, mean), models.error.covariance)
        cost = models.cost
        if isinstance(cost, GaussianProcess):
            shifts = log_cost - (running.log_ms if models.has_predictions else 0.0)
            cost = GaussianProcess(features, np.append(data.log_costs, shifts), cost.covariance)
        front = np.concatenate([models.front, np.column_stack([np.exp(log_cost), mean])])
        return _Models(
            error, cost, models.is_feasible, models.has_predictions, models.log_ms, front, models.reference
        )

    def _feasibility(self, log_ms: tuple[float, float], *, has_predictions: bool) -> GaussianProcess | None:
        latest = self.told.judged[-_MAX_POINTS:]
        if all(each.is_trained for each in latest):
            return None
        known = self._pool.described([each.genes for each in latest])
        features = self._features(known, log_ms, has_predictions=has_predictions)
        return GaussianProcess(features, np.array([float(each.is_trained) for each in latest]))

    def _covariance(self, name: str, *, has_predictions: bool) -> Covariance:
        """Return the covariance that was fitted when the study was somewhat smaller."""
        count = self._start
        while int(_GROWTH * count) + 1 <= len(self.told.trained):
            count = int(_GROWTH * count) + 1
        key = name, count, has_predictions
        if key not in self._covariances:
            data = self._data(self.told.trained[:count], has_predictions=has_predictions)
            values = data.errors if name == "error" else data.log_costs
            self._covariances[key] = GaussianProcess(data.features, values).covariance
        return self._covariances[key]

    def _reference(self) -> tuple[float, float]:
        """Return the worst corner that still counts: (cost, error)."""
        first = _points(self.told.trained[: self._start])
        costs = _points(self.told.trained)[:, 1]
        most = self.context.limits.objective or 1.1 * float(costs.max())
        return most, float(np.quantile(first[:, 0], 0.75))

    def _corner(self, error: GaussianProcess, data: _Data, *, has_predictions: bool) -> tuple[float, float]:
        """Return the worst corner of what is worth having: (cost, error).

        Asked of the models over uniform draws, it does not hang on what happened to be trained first: slow
        networks are worth having even while all trained ones are faster.
        """
        if self._everywhere is None:
            rng = np.random.default_rng([self.context.seed, _USUAL_DRAWS])
            drawn = [self.codec.uniform(rng) for _ in range(_USUAL_DRAWS)]
            self._everywhere = self._pool.described(drawn)
        everywhere = self._everywhere
        features = self._features(everywhere, data.log_ms, has_predictions=has_predictions)
        usual = float(np.quantile(error.predict(features)[0], _USUAL))
        most, limit_ms = self._reference()[0], self.context.limits.latency_ms
        known = everywhere.log_ms[np.isfinite(everywhere.log_ms)]
        if self.context.limits.objective is not None or not has_predictions or not len(known):
            return most, usual
        slowest = min(float(known.max()), np.log(limit_ms) if limit_ms else np.inf)
        return max(most, 1.1 * float(np.exp(slowest + np.median(data.log_costs)))), usual

    def _features(self, known: Encoded, log_ms: tuple[float, float], *, has_predictions: bool) -> Floats:
        if not has_predictions:
            return known.vectors
        column = (np.nan_to_num(known.log_ms, nan=log_ms[0]) - log_ms[0]) / log_ms[1]
        weight = _LATENCY_WEIGHT * np.sqrt(len(self.codec.names))
        return np.column_stack([known.vectors, weight * column])

    def _log_costs(self, models: _Models, pool: Encoded, features: Floats) -> tuple[Floats, Floats]:
        base = np.zeros(len(features))
        if models.has_predictions:
            base = np.nan_to_num(pool.log_ms, nan=models.log_ms[0])
        if isinstance(models.cost, GaussianProcess):
            mean, spread = models.cost.predict(features)
            return base + mean, spread
        return base + models.cost, np.full(len(features), 1e-6)

    def _ranked(self, models: _Models, pool: Encoded, count: int) -> list[tuple[float, Genes]]:
        """Return the best of a pool with what they promise."""
        if not pool.genes:
            return []
        features = self._features(pool, models.log_ms, has_predictions=models.has_predictions)
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

    def _chosen(self, trained: Sequence[Judged]) -> list[Judged]:
        """Return those that models are made of."""
        if len(trained) <= _MAX_POINTS:
            return list(trained)
        ranks = non_dominated_ranks(_points(trained), _MAX_POINTS // 2)
        order = np.argsort(ranks, kind="stable")
        rest = order[_MAX_POINTS // 2 :]
        rng = np.random.default_rng([self.context.seed, len(trained) // 50])
        drawn = rng.choice(rest, _MAX_POINTS - _MAX_POINTS // 2, replace=False)
        return [trained[index] for index in sorted([*order[: _MAX_POINTS // 2], *drawn])]


def _points(judged: Sequence[Judged]) -> Floats:
    """Return (error, cost) of trained networks, [n, 2]."""
    return np.array([(each.error, each.cost) for each in judged], np.float64).reshape(len(judged), 2)


def _mean_and_spread(values: Floats) -> tuple[float, float]:
    return float(values.mean()), max(float(values.std()), 1e-6)


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
