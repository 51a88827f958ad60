"""A Gaussian process over encoded architectures, small enough to be fitted before every proposal.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2, 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

Floats = npt.NDArray[np.float64]

_JITTER = 1e-6
_PRIOR_SPREADS = np.array([1.5, 1.0, 0.8, 1.5])
_STEPS = 30


@dataclass(frozen=True)
class Covariance:
    """A linear part, which carries trends of the whole space, and a Matern 5/2 part for what is local.

    Attributes:
        logs: logarithms of the variance of the linear part, the variance and the length of the local part,
            and the variance of the noise; all for values of mean 0 and variance 1.
    """

    logs: tuple[float, float, float, float]

    @classmethod
    def prior(cls, distance: float) -> Covariance:
        """Return what is likely before anything is known, where architectures lie so far apart."""
        return cls((np.log(0.5), np.log(1.0), np.log(max(distance, 1e-3)), np.log(0.02)))


class GaussianProcess:
    """A function of encodings, known with noise at some of them."""

    def __init__(self, encodings: Floats, values: Floats, covariance: Covariance | None = None) -> None:
        """Condition on what is known.

        Args:
            encodings: [n, d].
            values: [n].
            covariance: of the values; None to fit it, by the maximum of likelihood times prior.
        """
        self._centre = encodings.mean(axis=0)
        self._known = encodings - self._centre
        norms = np.square(self._known).sum(axis=1)
        self._scale = max(float(norms.mean()), 1e-12)
        self._mean = float(values.mean())
        self._spread = max(float(values.std()), 1e-9)
        self._values = (values - self._mean) / self._spread
        self._products = self._known @ self._known.T
        squares = norms[:, None] + norms[None, :] - 2.0 * self._products
        self._distances = np.sqrt(np.maximum(squares, 0.0))
        prior = Covariance.prior(float(np.median(self._distances)))
        self.covariance = covariance or self._fitted(prior)
        self._factor = self._factored(np.array(self.covariance.logs))
        self._weights: Floats = linalg.cho_solve(self._factor, self._values)

    def predict(self, encodings: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noiseless function at other encodings, each [m]."""
        linear, local, length, _ = np.exp(self.covariance.logs)
        others = encodings - self._centre
        norms, known_norms = np.square(others).sum(axis=1), np.square(self._known).sum(axis=1)
        products = others @ self._known.T
        squares = norms[:, None] + known_norms[None, :] - 2.0 * products
        near, _ = _matern(np.sqrt(np.maximum(squares, 0.0)) / length)
        covariances = linear / self._scale * products + local * near
        means = covariances @ self._weights
        halves = linalg.solve_triangular(self._factor[0], covariances.T, lower=True)
        variances = linear / self._scale * norms + local - np.square(halves).sum(axis=0)
        spread = self._spread * np.sqrt(np.maximum(variances, 1e-10))
        return self._mean + self._spread * means, spread

    def _fitted(self, prior: Covariance) -> Covariance:
        start = np.array(prior.logs)

        def loss(logs: Floats) -> tuple[float, Floats]:
            value, slope = self._negative_log_likelihood(logs)
            away = (logs - start) / _PRIOR_SPREADS
            return value + 0.5 * float(away @ away), slope + away / _PRIOR_SPREADS

        bounds = [(middle - 4.0, middle + 4.0) for middle in start]
        found = optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        linear, local, length, noise = (float(value) for value in found.x)
        return Covariance((linear, local, length, noise))

    def _factored(self, logs: Floats) -> tuple[Floats, bool]:
        linear, local, length, noise = np.exp(logs)
        near, _ = _matern(self._distances / length)
        covariances = linear / self._scale * self._products + local * near
        covariances[np.diag_indices_from(covariances)] += noise + _JITTER
        factor, is_lower = linalg.cho_factor(covariances, lower=True, overwrite_a=True)
        return factor, bool(is_lower)

    def _negative_log_likelihood(self, logs: Floats) -> tuple[float, Floats]:
        """Return the negative logarithm of the likelihood and its slope; the book, equations 5.8 and 5.9."""
        linear, local, length, noise = np.exp(logs)
        factor = self._factored(logs)
        weights = linalg.cho_solve(factor, self._values)
        value = 0.5 * float(self._values @ weights) + float(np.log(np.diag(factor[0])).sum())
        inverse = linalg.cho_solve(factor, np.eye(len(weights)))
        pull = inverse - np.outer(weights, weights)
        near, slope = _matern(self._distances / length)
        parts = (
            linear / self._scale * float((pull * self._products).sum()),
            local * float((pull * near).sum()),
            local * float((pull * slope).sum()),
            noise * float(np.trace(pull)),
        )
        return value, 0.5 * np.array(parts)


def _matern(distances: Floats) -> tuple[Floats, Floats]:
    """Return the Matern 5/2 correlation at distances in lengths, and its slope in the length's logarithm.

    The book, equation 4.17.
    """
    scaled = np.sqrt(5.0) * distances
    decay = np.exp(-scaled)
    return (1.0 + scaled + scaled**2 / 3.0) * decay, scaled**2 * (1.0 + scaled) / 3.0 * decay
