"""What earlier studies say about the error of networks, and whether this study bears it out.

The error is taken for a line over the believed error in earlier studies, plus a rest that is a
process of its own over encodings, as short trainings are over long ones in `fidelities`. A study of another
sensor, place or device so begins with what was learned there. Where leaving networks out shows that the line
tells no more than this study's own model, that model is used: a misleading study costs a few trials.

Source: Kennedy & O'Hagan, "Predicting the Output from a Complex Computer Code When Fast Approximations Are
Available", Biometrika 87(1), 2000; leaving out: Rasmussen & Williams, "Gaussian Processes for Machine
Learning", MIT Press 2006, section 5.4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.estimators.learned import capped
from hwnas.search.strategies.base import EarlierStudy
from hwnas.search.strategies.surrogate.fidelities import line_over
from hwnas.search.strategies.surrogate.model import Covariance, GaussianProcess, Scale
from hwnas.search_spaces.base import SearchSpace

_FITTED_POINTS, _MAX_POINTS = 150, 400
_USUAL = 0.75
"""Networks with a larger error than this share are no better than ones that learn nothing."""
_FEWEST_TO_JUDGE = 5
_LEAST_SPREAD = 1e-9
"""Errors that differ by less are the same."""
_LEAST_EXPLAINED = 0.1
"""A model that explains a smaller share of the variance of errors that it has not seen is left out."""
_DOUBT = 1.2
"""Few networks must speak clearly against the line before it is given up."""


@dataclass(frozen=True)
class EarlierErrors:
    """The believed error in earlier studies; a mean over several kinds of errors.

    Attributes:
        models: of the standardised error, one for each kind.
        centre: usual error, a mean over the kinds.
        spread: standard deviation of errors, likewise.
        width: of encodings. Features beyond it, such as the latency on this device, are not looked at.
    """

    models: tuple[GaussianProcess, ...]
    centre: float
    spread: float
    width: int

    @classmethod
    def learned(
        cls, studies: Sequence[EarlierStudy], space: SearchSpace, scale: Scale, seed: int
    ) -> EarlierErrors | None:
        """Learn from studies; None where they do not even tell their own networks apart.

        Args:
            studies: with networks of the space; may be none.
            space: encodes them.
            scale: of the parts of encodings.
            seed: of which networks are left out where there are too many.
        """
        by_kind: dict[str, list[EarlierStudy]] = {}
        for study in studies:
            by_kind.setdefault(study.kind, []).append(study)
        models, centres, spreads = [], [], []
        for group in by_kind.values():
            vectors, errors = _known(group, space)
            errors = capped(errors, float(np.quantile(errors, _USUAL)))
            rng = np.random.default_rng([seed, len(errors)])
            chosen = _best_and_some(errors, rng)
            vectors, errors = vectors[chosen], errors[chosen]
            centre, spread = float(errors.mean()), float(errors.std())
            if spread < _LEAST_SPREAD:
                continue
            values = (errors - centre) / spread
            some = rng.permutation(len(values))[:_FITTED_POINTS]
            covariance = GaussianProcess(vectors[some], values[some], scale).covariance
            model = GaussianProcess(vectors, values, scale, covariance)
            if float(np.square(model.left_out()).mean()) <= 1.0 - _LEAST_EXPLAINED:
                models.append(model)
                centres.append(centre)
                spreads.append(spread)
        if not models:
            return None
        return cls(tuple(models), float(np.mean(centres)), float(np.mean(spreads)), len(scale.centre))

    def predict(self, features: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation at features, [m, d], each [m]."""
        found = np.array([model.predict(features[:, : self.width]) for model in self.models])
        mean, spread = self.spread * found.mean(axis=0)
        return self.centre + mean, spread

    def believing(self, features: DoubleArray) -> Self:
        """Return the same: earlier studies are told nothing."""
        return self


@dataclass(frozen=True)
class TransferredErrors:
    """The error in this study, by that in earlier studies.

    Attributes:
        earlier: model of the error in earlier studies.
        slope: of the line.
        offset: of the line.
        rest: what the line leaves.
    """

    earlier: EarlierErrors
    slope: float
    offset: float
    rest: GaussianProcess

    @classmethod
    def learned(
        cls,
        earlier: EarlierErrors,
        features: DoubleArray,
        errors: DoubleArray,
        scale: Scale,
        covariance: Covariance | None = None,
    ) -> TransferredErrors:
        """Learn from networks of this study.

        Args:
            earlier: model of the error in earlier studies.
            features: of networks, [n, d].
            errors: of theirs, [n].
            scale: of the parts of features.
            covariance: of the rest; None to fit it.
        """
        believed = earlier.predict(features)[0]
        slope, offset = line_over(believed, errors)
        rest = GaussianProcess(features, errors - slope * believed - offset, scale, covariance)
        return cls(earlier, slope, offset, rest)

    def predict(self, features: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return mean and standard deviation at features, [m, d], each [m]."""
        before, before_spread = self.earlier.predict(features)
        rest, rest_spread = self.rest.predict(features)
        return self.offset + self.slope * before + rest, np.hypot(self.slope * before_spread, rest_spread)

    def believing(self, features: DoubleArray) -> TransferredErrors:
        """Return a model to which its own means at features, [m, d], were told."""
        return replace(self, rest=self.rest.believing(features))


def rest_of_line(earlier: EarlierErrors, features: DoubleArray, errors: DoubleArray) -> DoubleArray:
    """Return what the line over errors in earlier studies leaves of those of this study, [n]."""
    believed = earlier.predict(features)[0]
    slope, offset = line_over(believed, errors)
    return errors - slope * believed - offset


def usual_error(
    earlier: EarlierErrors, everywhere: DoubleArray, features: DoubleArray, errors: DoubleArray
) -> float:
    """Return an error that three quarters of uniform draws are believed not to be above.

    The first networks of a study that begins with what is known are no such draws.

    Args:
        earlier: model of the error in earlier studies.
        everywhere: features of uniform draws, [m, d].
        features: of the networks of this study, [n, d].
        errors: of theirs, [n].
    """
    believed = float(np.quantile(earlier.predict(everywhere)[0], _USUAL))
    if len(errors) < 2:
        return believed
    slope, offset = line_over(earlier.predict(features)[0], errors)
    return max(offset + slope * believed, float(np.median(errors)))


def is_borne_out(
    earlier: EarlierErrors,
    features: DoubleArray,
    errors: DoubleArray,
    rest: GaussianProcess | None,
    own: GaussianProcess | None,
) -> bool:
    """Return whether earlier studies tell networks of this one apart at least as well as it does itself.

    Args:
        earlier: model of the error in earlier studies.
        features: of the networks of this study, [n, d].
        errors: of theirs, [n].
        rest: of the line over earlier errors; None while the study is too small for a model of its own. The
            line is then compared with the mean.
        own: model of the study alone; None likewise.
    """
    if len(errors) < _FEWEST_TO_JUDGE:
        return True
    if rest is not None and own is not None:
        return float(np.square(rest.left_out()).sum()) <= float(np.square(own.left_out()).sum())
    believed, missed = earlier.predict(features)[0], 0.0
    for number, error in enumerate(errors):
        others = np.arange(len(errors)) != number
        slope, offset = line_over(believed[others], errors[others])
        missed += float(error - offset - slope * believed[number]) ** 2
    by_mean = (errors - errors.mean()) * len(errors) / (len(errors) - 1)
    return missed <= _DOUBT * float(np.square(by_mean).sum())


def _known(studies: Iterable[EarlierStudy], space: SearchSpace) -> tuple[DoubleArray, DoubleArray]:
    """Return encodings and mean errors of the networks of studies, each network once."""
    found: dict[str, tuple[DoubleArray, list[float]]] = {}
    for study in studies:
        for architecture, error in zip(study.architectures, study.errors, strict=True):
            if architecture.id not in found:
                found[architecture.id] = space.encode(architecture).astype(np.float64), []
            found[architecture.id][1].append(error)
    return (
        np.array([vector for vector, _ in found.values()]),
        np.array([np.mean(errors) for _, errors in found.values()]),
    )


def _best_and_some(errors: DoubleArray, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return which networks a model is made of: half of them the best, the others drawn from the rest."""
    if len(errors) <= _MAX_POINTS:
        return np.arange(len(errors))
    order, best = np.argsort(errors, kind="stable"), _MAX_POINTS // 2
    drawn = rng.permutation(order[best:])[: _MAX_POINTS - best]
    return np.sort(np.concatenate([order[:best], drawn]))
