"""What a strategy gets, and how it is found.

A strategy needs to know only the choices of the space: every gene is suggested in every
trial as a categorical, and the space maps equal networks to equal architectures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.plugins import Blame, find_plugin, load_plugin, wrong
from hwnas.rank_correlation import RankCorrelation
from hwnas.search_spaces.base import SearchSpace
from hwnas.text import counted


@dataclass(frozen=True)
class Limits:
    """What bounds a search.

    Attributes:
        latency_ms: hard budget, or None.
        trials: how many candidates are to be trained.
        objective: hard limit on the second objective, in its unit, or None.
    """

    latency_ms: float | None
    trials: int
    objective: float | None = None


@dataclass(frozen=True)
class LatencyPrediction:
    """A predicted latency in milliseconds, with its interval."""

    latency_ms: float
    interval_ms: tuple[float, float]


Predictions = Sequence[LatencyPrediction | None]


@dataclass(frozen=True)
class EarlierStudy:
    """The errors of networks in an earlier search.

    Attributes:
        name: of the run, for people.
        kind: of its errors, such as data and length of training; only errors of the same kind can be
            compared.
        architectures: that were trained, in the space of the search that learns from them.
        errors: of these architectures, 0 to 1. If their kind differs from that of the search, only their
            order counts.
    """

    name: str
    kind: str
    architectures: tuple[Architecture, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class StrategyContext:
    """Everything that a strategy may use.

    Attributes:
        space: what can be built.
        predict_latency: None without a latency table; returns None for architectures that it does not cover.
        limits: of the search.
        seed: of the run; the same at every resume.
        predict_latencies: like `predict_latency`, for many architectures at once, if that is cheaper.
        rungs: the study of every length of training, the shortest first: that of the proposals. Empty in
            searches of one length.
        sizes_fit: whether a network is within the hard limits that need no measurement, such as parameters.
            It builds the network, so call it for few.
        data: fingerprint of the task; results for other data must not be reused. None outside a search.
        earlier: studies to learn from; strategies that cannot learn from them ignore them.
    """

    space: SearchSpace
    predict_latency: Callable[[Architecture], LatencyPrediction | None] | None
    limits: Limits
    seed: int
    predict_latencies: Callable[[Sequence[Architecture]], Predictions] | None = None
    rungs: Sequence[Study] = ()
    sizes_fit: Callable[[Architecture], bool] = lambda _architecture: True
    data: str | None = None
    earlier: Sequence[EarlierStudy] = ()

    def latencies(self, architectures: Sequence[Architecture]) -> Predictions:
        """Return the predicted latencies in the same order; None for architectures without a prediction."""
        if self.predict_latencies is not None:
            return self.predict_latencies(architectures)
        if self.predict_latency is not None:
            return [self.predict_latency(architecture) for architecture in architectures]
        return [None] * len(architectures)

    def is_forbidden(self, prediction: LatencyPrediction | None) -> bool:
        """Return whether a network is over the hard limit even at the lower bound of its prediction."""
        upper_ms = self.limits.latency_ms
        return prediction is not None and upper_ms is not None and prediction.interval_ms[0] > upper_ms


@runtime_checkable
class SupportsPromotion(Protocol):
    """A sampler that also says which networks are worth a longer training."""

    def promote(self, rung: int, waiting: Sequence[int]) -> int | None:
        """Return which network is to be trained on a rung.

        Args:
            rung: from 1; the lowest is 0.
            waiting: numbers of trials on the rung below that may be promoted.

        Returns:
            one of these numbers; None to leave it to front layers.
        """
        ...


@dataclass(frozen=True)
class Transfer:
    """How far earlier studies tell the networks of a study apart.

    Attributes:
        studies: names of the earlier studies.
        networks: trained ones that these know.
        rank_correlation: of the errors that they predict with those that were found here; None where too few
            networks were trained here.
        is_used: whether proposals rest on them, once costs are known; if not, they do not tell their own
            networks apart, or the study's own model tells those of this one apart better.
    """

    studies: tuple[str, ...]
    networks: int
    rank_correlation: RankCorrelation | None
    is_used: bool

    def __str__(self) -> str:
        """Return a sentence for people."""
        known = f"{counted(self.networks, 'network')} of {counted(len(self.studies), 'earlier run')}"
        if self.rank_correlation is None and not self.is_used:
            return f"What {known} say does not tell even these apart, so that proposals do not rest on it."
        if self.rank_correlation is None:
            return f"Too few networks were trained here to compare them with what {known} say."
        verdict = "proposals rest on it" if self.is_used else "proposals do not rest on it"
        return (
            f"Between what {known} say and the errors found here, Kendall tau is {self.rank_correlation}; "
            f"{verdict}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "studies": list(self.studies),
            "networks": self.networks,
            "rank_correlation": None if self.rank_correlation is None else asdict(self.rank_correlation),
            "is_used": self.is_used,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        found = value["rank_correlation"]
        return cls(
            tuple(value["studies"]),
            int(value["networks"]),
            None if found is None else RankCorrelation(**found),
            bool(value["is_used"]),
        )


@runtime_checkable
class SupportsEarlierStudies(Protocol):
    """A sampler that learns from `StrategyContext.earlier`."""

    def transfer(self, study: Study) -> Transfer | None:
        """Return how far earlier studies tell networks of this one apart; None where there are none."""
        ...


GROUP = "hwnas.strategies"

StrategyFactory = Callable[..., BaseSampler]
"""What plug-ins register in `hwnas.strategies`: takes a context, and options as keyword-only parameters."""


def make_sampler(
    name: str, context: StrategyContext, options: Mapping[str, Any] | None = None
) -> BaseSampler:
    """Return the sampler of the registered strategy `name`, made with its own options.

    Raises:
        PluginError: if the name is unknown, or what is registered makes no sampler.
        ConfigError: if it has no such option, or needs one that is missing.
    """
    plugin = find_plugin(GROUP, name)
    factory: StrategyFactory = load_plugin(GROUP, name)
    known = list(inspect.signature(factory).parameters)[1:]
    try:
        inspect.signature(factory).bind(context, **(options or {}))
    except TypeError as error:
        raise ConfigError(
            f"The strategy {name!r} has {f'the options {known}' if known else 'no options'}, but got "
            f"{dict(options or {})}: {error}."
        ) from error
    with Blame(plugin, plugin.attribute, "make a sampler of a context and options", own_errors=True):
        made: object = factory(context, **(options or {}))
    if not isinstance(made, BaseSampler):
        raise wrong(plugin, plugin.attribute, "return an Optuna sampler", f"returned {type(made).__name__}")
    return made


def distributions_of(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """Return one categorical distribution a gene, in the order of the space."""
    return {gene: CategoricalDistribution(values) for gene, values in space.choices.items()}


def seed_after(seed: int, num_trials: int) -> int:
    """Return the seed of what is drawn when `num_trials` were asked before."""
    return int(np.random.SeedSequence([seed, num_trials]).generate_state(1)[0])
