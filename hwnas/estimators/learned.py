"""A learned predictor: the error of any network of a space, from some hundred that were evaluated.

Kernel ridge regression over encodings with a linear part, which carries trends of the whole space, and a
squared exponential, which carries what is local. Its three settings are those with the smallest
leave-one-out error, which has a closed form.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, equations 2.25 and
5.12 (mean of a process, leave-one-out residuals).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import linalg

from hwnas.arrays import DoubleArray
from hwnas.errors import ConfigError
from hwnas.rank_correlation import RankCorrelation, rank_correlation_of

MIN_EVALUATED = 8
"""Fewer networks say nothing about a space."""
MOST_EVALUATED = 200
"""More are not used: the cost of a prediction grows with them."""

_LENGTHS = (0.5, 1.0, 2.0)
_LINEAR_SHARES = (0.2, 0.5, 0.9)
_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)
_FOLDS = 10


def capped(errors: DoubleArray, usual: float) -> DoubleArray:
    """Return errors, [n], none of which is farther above a usual one than the best is below it.

    Networks that learn nothing would stretch the scale on which a predictor tells the good ones apart.
    """
    return np.minimum(errors, usual + max(usual - float(errors.min()), 1e-6))


@dataclass(frozen=True)
class PredictorReport:
    """How far a learned predictor orders networks that it was not fitted on.

    Attributes:
        rank_correlation: Kendall tau between predictions and values, from cross-validation, with its
            interval.
        mean_error: mean absolute difference of prediction and value, same unit as the values.
        fit_s: seconds for one fit.
    """

    rank_correlation: RankCorrelation
    mean_error: float
    fit_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


class ErrorPredictor:
    """Values of networks, known at some of them."""

    def __init__(self, features: DoubleArray, values: DoubleArray) -> None:
        """Fit.

        Args:
            features: of n networks, [n, d].
            values: of the same networks, [n]; errors, or logarithms of costs.

        Raises:
            ConfigError: if there are fewer than `MIN_EVALUATED`, lengths differ or a number is not finite.
        """
        _check(features, values)
        self._centre = features.mean(axis=0)
        self._known = features - self._centre
        self._mean, self._spread = float(values.mean()), max(float(values.std()), 1e-12)
        targets = (values - self._mean) / self._spread
        products = self._known @ self._known.T
        norms = np.diag(products)
        squares = np.maximum(norms[:, None] + norms[None, :] - 2.0 * products, 0.0)
        self._scale = max(float(norms.mean()), 1e-12)
        usual = max(float(np.median(squares[~np.eye(len(values), dtype=bool)])), 1e-12)
        best = np.inf
        for length, share in itertools.product(_LENGTHS, _LINEAR_SHARES):
            near = np.exp(-0.5 * squares / (usual * length**2))
            eigenvalues, vectors = linalg.eigh(share * products / self._scale + (1 - share) * near)
            for noise in _NOISES:
                weights, residuals = _solved(eigenvalues, vectors, targets, noise)
                loss = float(residuals @ residuals)
                if loss < best:
                    best = loss
                    self._exponent = 0.5 / (usual * length**2)
                    self._slopes = share / self._scale * (self._known.T @ weights)
                    self._weights = (1 - share) * weights
        self._norms = norms

    def predict(self, features: DoubleArray) -> DoubleArray:
        """Return the values of other networks, [m]; needs m times n numbers of memory."""
        # Single precision is enough for a prediction and halves its time.
        others = (features - self._centre).astype(np.float32)
        known = self._known.astype(np.float32)
        near = others @ known.T
        near *= 2.0
        near -= np.square(others).sum(axis=1)[:, None]
        near -= self._norms.astype(np.float32)[None, :]
        near *= np.float32(self._exponent)
        np.minimum(near, 0.0, out=near)
        np.exp(near, out=near)
        local = near @ self._weights.astype(np.float32)
        linear = others @ self._slopes.astype(np.float32)
        return np.asarray(self._mean + self._spread * (local + linear).astype(np.float64))


def validated_predictor(
    features: DoubleArray, values: DoubleArray, *, seed: int = 0
) -> tuple[ErrorPredictor, PredictorReport]:
    """Fit a predictor on all networks, and state how well it ranks by ten-fold cross-validation.

    Settings are chosen anew within each fold, so that no network helps to predict itself.

    Args:
        features: [n, d].
        values: [n].
        seed: of the folds and of the interval's bootstrap.

    Raises:
        ConfigError: as `ErrorPredictor`.
    """
    _check(features, values)
    started_s = time.perf_counter()
    predictor = ErrorPredictor(features, values)
    fit_s = time.perf_counter() - started_s
    said = np.empty(len(values))
    order = np.random.default_rng(seed).permutation(len(values))
    for fold in np.array_split(order, min(_FOLDS, len(values))):
        rest = np.setdiff1d(order, fold)
        said[fold] = _fitted_on_few(features[rest], values[rest]).predict(features[fold])
    rank_correlation = rank_correlation_of(said, values, seed=seed)
    return predictor, PredictorReport(rank_correlation, float(np.abs(said - values).mean()), fit_s)


def _fitted_on_few(features: DoubleArray, values: DoubleArray) -> ErrorPredictor:
    """Fit with what a fold leaves, which may be one fewer than a predictor asks for."""
    while len(values) < MIN_EVALUATED:
        features, values = np.concatenate([features, features[:1]]), np.append(values, values[0])
    return ErrorPredictor(features, values)


def _solved(
    eigenvalues: DoubleArray, vectors: DoubleArray, targets: DoubleArray, noise: float
) -> tuple[DoubleArray, DoubleArray]:
    """Return the weights of ridge regression and the leave-one-out residuals."""
    inverse = 1.0 / (np.maximum(eigenvalues, 0.0) + noise)
    weights = vectors @ (inverse * (vectors.T @ targets))
    diagonal = np.square(vectors) @ inverse
    return weights, weights / diagonal


def _check(features: DoubleArray, values: Sequence[float] | DoubleArray) -> None:
    if len(features) != len(values) or len(values) < MIN_EVALUATED:
        raise ConfigError(
            f"A learned predictor needs features and values of the same networks, at least {MIN_EVALUATED}, "
            f"but got {len(features)} and {len(values)}. Evaluate more networks first."
        )
    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        raise ConfigError("A learned predictor needs finite features and values, but at least one is not.")
