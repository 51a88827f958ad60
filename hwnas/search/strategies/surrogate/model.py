"""A Gaussian process over encoded architectures, small enough to be conditioned anew for every proposal.

It says how sure it is, and can be told more. `hwnas.latency.predict.gaussian_process`, which predicts the
times of kernels, is linear in a basis, weighs its points, and gives means alone.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2, 4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from hwnas.arrays import DoubleArray

_JITTER = 1e-6
_STEPS = 30
_RANGE = 4.0
"""Logarithms of parameters stay so close to those of the prior."""
_LINEAR, _LOCAL, _LENGTH, _NOISE = 0.5, 1.0, 1.4, 0.02
"""Medians of the prior for values of variance 1; the length is in spreads of all parts together."""
_LINEAR_SPREAD, _LOCAL_SPREAD, _LENGTH_SPREAD, _NOISE_SPREAD = 1.5, 1.0, 1.0, 1.5


@dataclass(frozen=True)
class Scale:
    """Brings the parts of an encoding to a common size.

    Attributes:
        centre: [d].
        parts: length and spread of each part.
    """

    centre: DoubleArray
    parts: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, encodings: DoubleArray, parts: Sequence[int]) -> Scale:
        """Return what gives every part of encodings, [n, d], a mean square distance of 1 to its centre."""
        centre = encodings.mean(axis=0)
        found, begin = [], 0
        for length in parts:
            square = np.square(encodings[:, begin : begin + length] - centre[begin : begin + length]).sum(
                axis=1
            )
            spread = float(np.sqrt(square.mean())) if len(square) else 1.0
            found.append((length, spread if spread > 1e-9 else 1.0))
            begin += length
        return cls(centre, tuple(found))

    def split(self, encodings: DoubleArray) -> list[DoubleArray]:
        """Return each part of encodings, [n, d], in its scale."""
        scaled, ends = (
            self.weighted(encodings, np.ones(len(self.parts))),
            np.cumsum([one for one, _ in self.parts]),
        )
        return np.split(scaled, ends[:-1], axis=1)

    def weighted(self, encodings: DoubleArray, weights: DoubleArray) -> DoubleArray:
        """Return encodings, [n, d], in their scale, each part times its weight."""
        lengths, spreads = zip(*self.parts, strict=True)
        return np.asarray((encodings - self.centre) * np.repeat(weights / np.array(spreads), lengths))


@dataclass(frozen=True)
class Covariance:
    """A linear term for each part, which carries trends, and a Matern 5/2 term over all for what is local.

    Attributes:
        logs: logarithms of the variance of each part's linear term, of the variance of the local term, of its
            length in each part, and of the variance of the noise; all for values of mean 0 and variance 1.
    """

    logs: tuple[float, ...]

    @classmethod
    def prior(cls, num_parts: int) -> Covariance:
        """Return what is likely before anything is known."""
        linear = [np.log(_LINEAR / num_parts)] * num_parts
        lengths = [np.log(_LENGTH * np.sqrt(num_parts))] * num_parts
        return cls((*linear, np.log(_LOCAL), *lengths, np.log(_NOISE)))


class GaussianProcess:
    """A function of encodings, known with noise at some of them."""

    def __init__(
        self, encodings: DoubleArray, values: DoubleArray, scale: Scale, covariance: Covariance | None = None
    ) -> None:
        """Condition on what is known.

        Args:
            encodings: [n, d].
            values: [n].
            scale: of the parts of encodings.
            covariance: of the values; None to fit it, by the maximum of likelihood times prior.
        """
        self._scale = scale
        self._observed = encodings, values
        self._num_parts = len(scale.parts)
        self._mean = float(values.mean())
        self._spread = max(float(values.std()), 1e-9)
        self._values = (values - self._mean) / self._spread
        self._products, self._squares = _products_and_squares(scale.split(encodings))
        self.covariance = covariance or self._fitted(Covariance.prior(self._num_parts))
        logs = np.array(self.covariance.logs)
        self._factor = self._factored(self._covariances(logs, self._products, self._squares)[0], logs)
        self._weights: DoubleArray = linalg.cho_solve((self._factor, True), self._values)

    def predict(self, encodings: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation of the noiseless function at other encodings, each [m]."""
        logs, parts = np.array(self.covariance.logs), self._num_parts
        # All parts at once, each times its weight: two products of matrices instead of two for each part.
        known, linear, near = self._observed[0], np.exp(0.5 * logs[:parts]), np.exp(-logs[parts + 1 : -1])
        trends = self._scale.weighted(encodings, linear)
        covariances = self._scale.weighted(known, linear) @ trends.T
        squares = _squared_distances(self._scale.weighted(known, near), self._scale.weighted(encodings, near))
        covariances += _matern(squares, float(np.exp(logs[parts])))
        means = self._weights @ covariances
        halves = linalg.solve_triangular(
            self._factor, covariances, lower=True, overwrite_b=True, check_finite=False
        )
        own = np.einsum("ij,ij->i", trends, trends) + np.exp(logs[parts])
        variances = own - np.einsum("ij,ij->j", halves, halves)
        spread = self._spread * np.sqrt(np.maximum(variances, 1e-10))
        return self._mean + self._spread * means, spread

    def left_out(self) -> DoubleArray:
        """Return by how much each value is missed where it is left out, [n]; the book, equation 5.12."""
        inverse = linalg.cho_solve((self._factor, True), np.eye(len(self._values)))
        return np.asarray(self._spread * self._weights / np.diag(inverse))

    def conditioned(self, encodings: DoubleArray, values: DoubleArray) -> GaussianProcess:
        """Return the same process told more: values, [m], at encodings, [m, d]."""
        known, before = self._observed
        return GaussianProcess(
            np.concatenate([known, encodings]), np.append(before, values), self._scale, self.covariance
        )

    def believing(self, encodings: DoubleArray) -> GaussianProcess:
        """Return the same process to which its own means at encodings, [m, d], were told."""
        return self.conditioned(encodings, self.predict(encodings)[0])

    def _fitted(self, prior: Covariance) -> Covariance:
        start, parts = np.array(prior.logs), self._num_parts
        spreads = np.array(
            [_LINEAR_SPREAD] * parts + [_LOCAL_SPREAD] + [_LENGTH_SPREAD] * parts + [_NOISE_SPREAD]
        )

        def loss(logs: DoubleArray) -> tuple[float, DoubleArray]:
            value, slope = self._negative_log_likelihood(logs)
            away = (logs - start) / spreads
            return value + 0.5 * float(away @ away), slope + away / spreads

        bounds = [(middle - _RANGE, middle + _RANGE) for middle in start]
        found = optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        return Covariance(tuple(float(value) for value in found.x))

    def _covariances(
        self, logs: DoubleArray, products: DoubleArray, squares: DoubleArray
    ) -> tuple[DoubleArray, DoubleArray]:
        """Return covariances, and the slope of the local term per squared distance in lengths."""
        parts = self._num_parts
        linear, local, lengths = (
            np.exp(logs[:parts]),
            float(np.exp(logs[parts])),
            np.exp(logs[parts + 1 : -1]),
        )
        scaled = np.tensordot(lengths**-2.0, squares, 1)
        root = np.sqrt(5.0 * scaled)
        slope = 5.0 / 3.0 * (1.0 + root) * local * np.exp(-root)
        return np.tensordot(linear, products, 1) + _matern(scaled, local), slope

    def _factored(self, covariances: DoubleArray, logs: DoubleArray) -> DoubleArray:
        covariances[np.diag_indices_from(covariances)] += np.exp(logs[-1]) + _JITTER
        return np.asarray(linalg.cholesky(covariances, lower=True, overwrite_a=True, check_finite=False))

    def _negative_log_likelihood(self, logs: DoubleArray) -> tuple[float, DoubleArray]:
        """Return the negative logarithm of the likelihood and its slope; the book, equations 5.8 and 5.9."""
        parts = self._num_parts
        covariances, slope = self._covariances(logs, self._products, self._squares)
        linear, lengths = np.exp(logs[:parts]), np.exp(logs[parts + 1 : -1])
        near = covariances - np.tensordot(linear, self._products, 1)
        factor = self._factored(covariances, logs)
        weights = linalg.cho_solve((factor, True), self._values)
        value = 0.5 * float(self._values @ weights) + float(np.log(np.diag(factor)).sum())
        inverse = linalg.cho_solve((factor, True), np.eye(len(weights)))
        pull = inverse - np.outer(weights, weights)
        slopes = [
            *(linear * np.tensordot(self._products, pull, 2)),
            float((pull * near).sum()),
            *(lengths**-2.0 * np.tensordot(self._squares, pull * slope, 2)),
            float(np.exp(logs[-1]) * np.trace(pull)),
        ]
        return value, 0.5 * np.array(slopes)


def _products_and_squares(parts: list[DoubleArray]) -> tuple[DoubleArray, DoubleArray]:
    """Return inner products and squared distances of the rows of each part, [n, d], each [parts, n, n]."""
    return np.stack([part @ part.T for part in parts]), np.stack(
        [_squared_distances(part, part) for part in parts]
    )


def _squared_distances(known: DoubleArray, others: DoubleArray) -> DoubleArray:
    """Return squared distances between rows of [n, d] and [m, d], [n, m]."""
    found = known @ others.T
    found *= -2.0
    found += np.square(known).sum(axis=1)[:, None]
    found += np.square(others).sum(axis=1)
    return np.asarray(np.maximum(found, 0.0, out=found))


def _matern(squares: DoubleArray, variance: float) -> DoubleArray:
    """Return Matern 5/2 covariances of squared distances in lengths; the book, equation 4.17."""
    root = np.sqrt(5.0 * squares)
    found = root / 3.0
    found += 1.0
    found *= root
    found += 1.0
    found *= np.exp(-root)
    found *= variance
    return found
