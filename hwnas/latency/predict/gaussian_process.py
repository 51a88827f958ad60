"""A Gaussian process for some hundreds of measured points, with bases that stay linear.

Latency tables hold its hyperparameters, points are trusted unequally, and only means are asked for, at very
many points. `hwnas.search.strategies.surrogate.model` has another covariance, fitted by gradients, and
deviations: one class for both would share a factorisation and little else.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", MIT Press 2006, chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import linalg

from hwnas.arrays import DoubleArray

_Real = TypeVar("_Real", np.float32, np.float64)

_PRIOR_OF_WEIGHTS = 100.0
_SCALES = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
_MIN_NOISE = 1e-5


@dataclass(frozen=True)
class Hyperparameters:
    """Of a covariance: a weighted sum of the basis plus a squared exponential of the coordinates.

    Attributes:
        lengths: distance in each coordinate over which points become unlike.
        signal: variance of the squared exponential.
        noise: variance of one point's error.
    """

    lengths: tuple[float, ...]
    signal: float
    noise: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"lengths": list(self.lengths), "signal": self.signal, "noise": self.noise}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Hyperparameters:
        """Rebuild from `to_json`."""
        lengths = tuple(float(length) for length in value["lengths"])
        return cls(lengths, float(value["signal"]), float(value["noise"]))


class GaussianProcess:
    """A function of a basis and of coordinates, known at some points."""

    def __init__(
        self,
        basis: DoubleArray,
        coordinates: DoubleArray,
        values: DoubleArray,
        hyperparameters: Hyperparameters,
        trust: DoubleArray | None = None,
    ) -> None:
        """Take over the points: basis [n, b], coordinates [n, d], values [n], trust [n] from 0 to 1."""
        self.hyperparameters = hyperparameters
        self._centre = basis.mean(axis=0)
        self._mean = float(values.mean())
        self._basis = self._centred(basis)
        self._scaled = coordinates / np.array(hyperparameters.lengths)
        covariance = self._covariance(self._basis, self._scaled)
        noise = hyperparameters.noise * np.ones(len(values))
        covariance[np.diag_indices_from(covariance)] += noise if trust is None else noise / trust
        factor, _ = self._factor = linalg.cho_factor(covariance, lower=True, overwrite_a=True)
        residuals = values - self._mean
        self._weights: DoubleArray = linalg.cho_solve(self._factor, residuals)
        self.log_likelihood = float(
            -0.5 * residuals @ self._weights
            - np.log(np.diag(factor)).sum()
            - 0.5 * len(values) * np.log(2 * np.pi)
        )
        # The basis part of the prediction is one product; only the rest needs every point.
        self._slopes = _PRIOR_OF_WEIGHTS * (self._basis.T @ self._weights)

    def surprises(self) -> DoubleArray:
        """Return by how much each point lies above what all others predict for it, [n].

        Source: the book, equation 5.12.
        """
        factor, _ = self._factor
        inverse_factor = linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)
        return np.asarray(self._weights / np.square(inverse_factor).sum(axis=0))

    def predict(self, basis: DoubleArray, coordinates: DoubleArray) -> DoubleArray:
        """Return the mean at other points."""
        scaled = coordinates / np.array(self.hyperparameters.lengths)
        linear = self._centred(basis) @ self._slopes + self._mean
        # Single precision is enough here and halves the time; the covariance of the points themselves would
        # not stay positive definite with it.
        near = _squared_exponential(scaled.astype(np.float32), self._scaled.astype(np.float32))
        return np.asarray(linear + self.hyperparameters.signal * (near @ self._weights.astype(np.float32)))

    def _centred(self, basis: DoubleArray) -> DoubleArray:
        centred = (basis - self._centre) / 8.0
        centred[:, 0] = 1.0
        return np.asarray(centred)

    def _covariance(self, basis: DoubleArray, scaled: DoubleArray) -> DoubleArray:
        near = _squared_exponential(scaled, scaled)
        return np.asarray(_PRIOR_OF_WEIGHTS * (basis @ basis.T) + self.hyperparameters.signal * near)


def _squared_exponential(left: npt.NDArray[_Real], right: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Return exp(-distance^2 / 2), [n, m], in the precision of the arguments."""
    squares = (left * left).sum(axis=1)[:, None] + (right * right).sum(axis=1)[None, :]
    squares -= 2.0 * (left @ right.T)
    np.maximum(squares, 0.0, out=squares)
    squares *= -0.5
    return np.asarray(np.exp(squares, out=squares))


def fit(
    basis: DoubleArray,
    coordinates: DoubleArray,
    values: DoubleArray,
    trust: DoubleArray | None = None,
    *,
    sweeps: int = 2,
) -> GaussianProcess:
    """Return the process whose hyperparameters make the points likeliest.

    Each hyperparameter is multiplied by a few factors in turn, and the likeliest value kept: slow and safe.

    Args:
        basis: [n, b].
        coordinates: [n, d].
        values: [n].
        trust: [n], from 0 to 1; all are trusted alike if None.
        sweeps: over all hyperparameters.
    """
    spread = coordinates.std(axis=0)
    lengths = np.where(spread > 1e-9, np.maximum(2.0 * spread, 0.5), 1.0)
    first = Hyperparameters(tuple(lengths), 0.05, 0.002)
    best = GaussianProcess(basis, coordinates, values, first, trust)
    movable = [index for index in range(len(lengths)) if spread[index] > 1e-9]
    for _ in range(sweeps):
        names: list[str | int] = ["signal", "noise", *movable]
        for name in names:
            for factor in _SCALES:
                changed = _changed(best.hyperparameters, name, factor)
                tried = GaussianProcess(basis, coordinates, values, changed, trust)
                if tried.log_likelihood > best.log_likelihood:
                    best = tried
    return best


def _changed(old: Hyperparameters, name: str | int, factor: float) -> Hyperparameters:
    if name == "signal":
        return Hyperparameters(old.lengths, old.signal * factor, old.noise)
    if name == "noise":
        return Hyperparameters(old.lengths, old.signal, max(old.noise * factor, _MIN_NOISE))
    lengths = tuple(length * factor if index == name else length for index, length in enumerate(old.lengths))
    return Hyperparameters(lengths, old.signal, old.noise)
