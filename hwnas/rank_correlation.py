"""How alike two orders of the same things are.

Kendall's tau-b (`scipy.stats.kendalltau`; Kendall, "The treatment of ties in ranking problems",
Biometrika 1945), with a percentile bootstrap interval (Efron, "Bootstrap methods", Annals of Statistics
1979), and Spearman's rho. `scipy.stats` takes 0.8 s to load, and most commands correlate nothing: it is
loaded when something does.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.errors import ConfigError

MIN_NETWORKS = 4
"""Fewer architectures give no interval at all."""


@dataclass(frozen=True)
class RankCorrelation:
    """How alike two orders of the same architectures are.

    Attributes:
        tau: Kendall's tau-b, -1 (reversed) to 1 (equal); 0 where one side says the same of all.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        networks: architectures compared.
    """

    tau: float
    low: float
    high: float
    networks: int

    def __str__(self) -> str:
        """Return such as `0.61 [0.43, 0.75]`."""
        return f"{self.tau:.2f} [{self.low:.2f}, {self.high:.2f}]"


def rank_correlation_of(
    said: DoubleArray, truth: DoubleArray, *, resamples: int = 1000, seed: int = 0
) -> RankCorrelation:
    """Compare two orders of the same architectures.

    Args:
        said: by an estimator, [n].
        truth: what it is to order alike, [n].
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ConfigError: as `check_columns`.
    """
    check_columns([said, truth])
    picks = np.random.default_rng(seed).integers(len(truth), size=(resamples, len(truth)))
    return rank_correlation_from(said, truth, bootstrapped_taus(said, truth, picks))


def kendall_tau(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return Kendall's tau-b of two columns; 0 where one of them is constant, which orders nothing."""
    from scipy import stats

    tau = float(stats.kendalltau(first, second).statistic)
    return 0.0 if math.isnan(tau) else tau


def spearman_rho(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return Spearman's rho of two columns; 0 where one of them is constant, which orders nothing."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        rho = float(stats.spearmanr(first, second).statistic)
    return 0.0 if math.isnan(rho) else rho


def bootstrapped_taus(values: DoubleArray, truth: DoubleArray, picks: npt.NDArray[np.int64]) -> DoubleArray:
    """Return tau of every draw.

    Args:
        values: [n].
        truth: [n].
        picks: positions of every draw, [draws, n].
    """
    return np.array([kendall_tau(values[pick], truth[pick]) for pick in picks])


def rank_correlation_from(values: DoubleArray, truth: DoubleArray, taus: DoubleArray) -> RankCorrelation:
    """Return tau of two columns, and its interval from those of bootstrap draws."""
    low, high = np.percentile(taus, [2.5, 97.5])
    return RankCorrelation(kendall_tau(values, truth), float(low), float(high), len(truth))


def check_columns(columns: Sequence[DoubleArray]) -> None:
    """Refuse columns that cannot be compared.

    Raises:
        ConfigError: if their lengths differ, there are fewer than `MIN_NETWORKS`, or a value is not finite.
    """
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1 or lengths[0] < MIN_NETWORKS:
        raise ConfigError(
            "Expected scores, errors, multiply-accumulates and parameters of the same architectures, at "
            f"least {MIN_NETWORKS}, but got {lengths} of them. Train more reference networks."
        )
    if not all(np.isfinite(column).all() for column in columns):
        raise ConfigError(
            "Expected finite scores and errors, but at least one is not; leave that architecture out of "
            "all columns."
        )
