"""What short trainings and few long ones say together about long ones.

The error after a longer training is taken for a line over the believed error after the next shorter one, plus
a rest that is a process of its own over encodings: recursive co-kriging.

Source: Kennedy & O'Hagan, "Predicting the Output from a Complex Computer Code When Fast Approximations Are
Available", Biometrika 87(1), 2000; Le Gratiet & Garnier, "Recursive Co-Kriging Model for Design of Computer
Experiments with Multiple Levels of Fidelity", Int. J. for Uncertainty Quantification 4(5), 2014.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.search.strategies.surrogate.model import GaussianProcess, Scale

LEAST_KNOWN = 3
"""So few long trainings say where the line lies."""
_SLOPE, _SLOPE_SPREAD = 1.0, 0.5
"""Prior of the slope, in units of error over units of error: longer trainings tell networks apart alike."""
_ROUNDS = 5


class ErrorModel(Protocol):
    """Says what the error of networks is."""

    def predict(self, encodings: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation at encodings, [m, d], each [m]."""
        ...

    def believing(self, encodings: DoubleArray) -> Self:
        """Return a model to which its own means at encodings, [m, d], were told."""
        ...


@dataclass(frozen=True)
class LongerTraining:
    """The error after a longer training, by that after a shorter one.

    Attributes:
        shorter: model of the error after the shorter training.
        slope: of the line.
        offset: of the line.
        rest: what the line leaves.
    """

    shorter: ErrorModel
    slope: float
    offset: float
    rest: GaussianProcess

    @classmethod
    def learned(
        cls, shorter: ErrorModel, encodings: DoubleArray, errors: DoubleArray, scale: Scale
    ) -> LongerTraining:
        """Learn from networks that were trained for both lengths.

        Args:
            shorter: model of the error after the shorter training.
            encodings: of networks trained longer, at least `LEAST_KNOWN`, [n, d].
            errors: of theirs after the longer training, [n].
            scale: of the parts of encodings.
        """
        believed, _ = shorter.predict(encodings)
        slope, offset = line_over(believed, errors)
        rest = GaussianProcess(encodings, errors - slope * believed - offset, scale)
        return cls(shorter, slope, offset, rest)

    def predict(self, encodings: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation at encodings, [m, d], each [m]."""
        short, short_spread = self.shorter.predict(encodings)
        rest, rest_spread = self.rest.predict(encodings)
        return self.offset + self.slope * short + rest, np.hypot(self.slope * short_spread, rest_spread)

    def believing(self, encodings: DoubleArray) -> LongerTraining:
        """Return a model to which its own means of the shorter training at encodings, [m, d], were told."""
        return replace(self, shorter=self.shorter.believing(encodings))


def line_over(short: DoubleArray, long: DoubleArray) -> tuple[float, float]:
    """Return slope and offset of long errors over short ones, each [n]: the mean of a Bayesian regression.

    The prior of the offset is flat, and the noise is what the line leaves, found in a few rounds. With few
    networks the slope stays near its prior.
    """
    apart, errors = short - short.mean(), long - long.mean()
    weight = _SLOPE_SPREAD**-2
    slope = _SLOPE
    for _ in range(_ROUNDS):
        noise = max(float(np.square(errors - slope * apart).sum()) / max(len(short) - 1, 1), 1e-12)
        slope = (float(apart @ errors) / noise + weight * _SLOPE) / (float(apart @ apart) / noise + weight)
    return slope, float(long.mean() - slope * short.mean())
