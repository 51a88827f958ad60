"""The contract of everything that says how good an architecture is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, EstimatorContractError
from hwnas.plugins import blame_of_foreign, find_plugin, load_plugin, made_by, wrong
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Quality, Task
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec

GROUP = "hwnas.estimators"

Returns = Literal["evaluation", "score"]
"""What an estimator returns: the metric of a network that did the task, or what only orders networks."""

EVALUATION: Returns = "evaluation"
SCORE: Returns = "score"


@dataclass(frozen=True)
class Estimate:
    """What an estimator says of an architecture, and what it cost.

    Attributes:
        score: more is better. Of an evaluation it is the task's metric, 0 to 1; of other estimates only the
            order counts.
        cost_s: wall-clock seconds spent on it.
    """

    score: float
    cost_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"score": self.score, "cost_s": self.cost_s}


@dataclass(frozen=True)
class EvaluatedEstimate(Estimate):
    """An estimate whose score is the metric of a network that did the task.

    Attributes:
        quality: of that network; `score` is its value.
    """

    quality: Quality

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**super().to_json(), "quality": self.quality.to_json()}


@runtime_checkable
class AccuracyEstimator(Protocol):
    """Says how good an architecture is.

    Only an estimator that returns evaluations can be the one of a search; those that return scores are
    compared with full training by `hwnas estimate`, or learned from.
    """

    @property
    def name(self) -> str:
        """Short name for tables, such as `training-400-steps`."""
        ...

    @property
    def returns(self) -> Returns:
        """`evaluation` if every estimate is an `EvaluatedEstimate`, else `score`."""
        ...

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Estimate:
        """Evaluate one architecture.

        Args:
            architecture: what to evaluate.
            seed: for initial weights, order of the data and augmentation.
            directory: where intermediate files may go; exists and is the caller's to delete.

        Raises:
            TrainingError: if no number can be given, with the reason.
        """
        ...


@runtime_checkable
class SupportsPreparation(Protocol):
    """An estimator that something was trained or evaluated for beforehand, once for all architectures."""

    @property
    def prepared_s(self) -> float:
        """What that took, in seconds."""
        ...


def checked_estimate(
    estimator: AccuracyEstimator,
    architecture: Architecture,
    *,
    seed: int,
    directory: Path,
    metric: str | None = None,
) -> Estimate:
    """Return what an estimator says of an architecture, held against what it declares.

    Args:
        estimator: asked.
        architecture: to estimate.
        seed: see `AccuracyEstimator.estimate`.
        directory: see there.
        metric: name of the task's metric; an evaluation of another one is refused. None if unknown.

    Raises:
        PluginError: if an estimator of a plug-in raises an error of its own.
        EstimatorContractError: if what it returns is not what it declares; the estimator is named.
        TrainingError: if the estimator can give no number.
    """
    with blame_of_foreign(GROUP, estimator.name, "estimate"):
        found: object = estimator.estimate(architecture, seed=seed, directory=directory)
    fault = _fault(found, estimator.returns, metric)
    if fault is not None:
        own = type(estimator)
        named = f"{estimator.name!r} ({own.__module__}:{own.__qualname__})"
        raise EstimatorContractError(f"`estimate` of the estimator {named} must return {fault}")
    assert isinstance(found, Estimate)  # noqa: S101 - `_fault` has seen to it
    return found


def _fault(found: object, returns: Returns, metric: str | None) -> str | None:
    """Return what was expected and what was found; None where nothing is wrong."""
    if not isinstance(found, Estimate):
        return f"an Estimate, but returned {type(found).__name__}."
    if not (_is_finite(found.score) and _is_finite(found.cost_s) and found.cost_s >= 0):
        return f"a finite score and seconds from 0, but returned {found.score!r} and {found.cost_s!r} s."
    return _fault_of_evaluation(found, metric) if returns == EVALUATION else None


def _fault_of_evaluation(found: Estimate, metric: str | None) -> str | None:
    if not isinstance(found, EvaluatedEstimate):
        return (
            f"an EvaluatedEstimate, since it declares to return an {EVALUATION}, but returned a plain "
            f"{type(found).__name__}. Declare `returns` as {SCORE!r}, or return the quality of the network."
        )
    if not 0 <= found.quality.value <= 1 or found.score != found.quality.value:
        return (
            f"a quality from 0 to 1 and that as its score, but returned a quality of {found.quality.value!r} "
            f"and the score {found.score!r}."
        )
    if metric is not None and found.quality.metric != metric:
        return f"the task's metric {metric!r}, but returned {found.quality.metric!r}."
    return None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class EstimatorContext:
    """What estimators are made of.

    Attributes:
        task: gives data, loss and metric.
        space: builds the networks.
        settings: of the estimator, each has a default.
        trainer: that trains and evaluates networks.
    """

    task: Task
    space: SearchSpace
    settings: Mapping[str, Any] = field(default_factory=dict)
    trainer: TrainerSpec = BY_DEFAULT


EstimatorFactory = Callable[[EstimatorContext], AccuracyEstimator]
"""What plug-ins register in `hwnas.estimators`."""

_Factory = TypeVar("_Factory", bound=EstimatorFactory)


def returning(returns: Returns) -> Callable[[_Factory], _Factory]:
    """Declare on a factory what its estimators return, so that a wrong one is refused before it is made.

    It need not be declared there; what an estimator says of itself counts.
    """

    def declare(factory: _Factory) -> _Factory:
        factory.returns = returns  # type: ignore[attr-defined]
        return factory

    return declare


def make_evaluating_estimator(name: str, context: EstimatorContext) -> AccuracyEstimator:
    """Return the registered estimator `name`, if it is one that a search can evaluate candidates with.

    Raises:
        PluginError: if the name is unknown.
        ConfigError: if a setting is wrong, or the estimator only orders networks and evaluates none.
    """
    check_declared_returns(name, context.task)
    made = make_estimator(name, context)
    if made.returns != EVALUATION:
        raise _orders_only(name, made.returns, context.task)
    return made


def check_declared_returns(name: str, task: Task) -> None:
    """Refuse an estimator whose factory declares that it only orders networks, before it is made.

    Raises:
        PluginError: if the name is unknown.
        ConfigError: if the estimator evaluates no network.
    """
    returns = getattr(load_plugin(GROUP, name), "returns", EVALUATION)
    if returns != EVALUATION:
        raise _orders_only(name, returns, task)


def _orders_only(name: str, returns: str, task: Task) -> ConfigError:
    return ConfigError(
        f"The estimator {name!r} orders networks (it returns a {returns}), but says nothing of their "
        f"{task.name} quality. Take `training` or `weight-sharing`."
    )


def make_estimator(name: str, context: EstimatorContext) -> AccuracyEstimator:
    """Return the registered estimator `name`.

    Raises:
        PluginError: if the name is unknown, or what is registered makes no estimator.
        ConfigError: if a setting is unknown or wrong.
    """
    expected = "make an estimator of a context"
    made: AccuracyEstimator = made_by(GROUP, name, context, expected=expected, interface=AccuracyEstimator)
    if made.returns not in {EVALUATION, SCORE}:
        raise wrong(
            find_plugin(GROUP, name), "returns", f"be {EVALUATION!r} or {SCORE!r}", f"is {made.returns!r}"
        )
    return made
