"""How well an estimator ranks: how far it orders architectures as full training does.

FLOPs and the number of parameters cost nothing, so an estimator has to order better than both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwnas.rank_correlation import RankCorrelation, bootstrapped_taus, check_columns, rank_correlation_from

ENOUGH_NETWORKS = 30
"""With fewer the interval is too wide to choose an estimator by."""


@dataclass(frozen=True)
class EstimatorReport:
    """An estimator beside the figures that cost nothing.

    Attributes:
        estimator: its name.
        rank_correlation: rank correlation of its scores with the errors after full training.
        macs: the same of multiply-accumulates, more of them taken as better.
        parameters: the same of the number of parameters.
        cost_s: mean seconds for one architecture.
        gain_low: lower end of the 95 % interval of tau minus that of `macs`, resampled together.
    """

    estimator: str
    rank_correlation: RankCorrelation
    macs: RankCorrelation
    parameters: RankCorrelation
    cost_s: float
    gain_low: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against trusting the estimator; empty if nothing does."""
        found = []
        if not self.rank_correlation.low > 0:
            found.append(
                f"{self.estimator} may order architectures no better than chance: Kendall tau "
                f"{self.rank_correlation}, not surely above zero. Train longer or compare more networks."
            )
        if not self.rank_correlation.tau > self.macs.tau:
            found.append(
                f"{self.estimator} is no better than counting FLOPs: Kendall tau {self.rank_correlation} "
                f"against {self.macs}. It only costs time."
            )
        if self.rank_correlation.networks < ENOUGH_NETWORKS:
            found.append(
                f"The rank correlation of {self.estimator} rests on "
                f"{self.rank_correlation.networks} networks; {ENOUGH_NETWORKS} or more are needed to "
                f"rely on it."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, warnings included."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EstimatorReport:
        """Rebuild from `to_json`."""
        return cls(
            str(value["estimator"]),
            RankCorrelation(**value["rank_correlation"]),
            RankCorrelation(**value["macs"]),
            RankCorrelation(**value["parameters"]),
            cost_s=float(value["cost_s"]),
            gain_low=float(value["gain_low"]),
        )


def report_on(
    estimator: str,
    scores: Sequence[float],
    errors: Sequence[float],
    *,
    macs: Sequence[float],
    parameters: Sequence[float],
    cost_s: float,
    resamples: int = 2000,
    seed: int = 0,
) -> EstimatorReport:
    """Compare the scores of an estimator with the errors of networks trained in full.

    The networks must be unseen by the estimator: a learned predictor must not have been fitted on them.

    Args:
        estimator: its name.
        scores: error-like, less is better; one for each architecture.
        errors: after full training, of the same architectures in the same order.
        macs: multiply-accumulates of each.
        parameters: number of trained values of each.
        cost_s: mean seconds for one architecture.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        ConfigError: if the lengths differ, there are fewer than 4 architectures, or a value is not finite.
    """
    columns = [np.asarray(values, np.float64) for values in (scores, errors, macs, parameters)]
    check_columns(columns)
    # Larger networks are expected to err less; the sign makes tau positive where that holds.
    said, truth, by_macs, by_parameters = columns[0], columns[1], -columns[2], -columns[3]
    picks = np.random.default_rng(seed).integers(len(truth), size=(resamples, len(truth)))
    drawn = [bootstrapped_taus(values, truth, picks) for values in (said, by_macs, by_parameters)]
    return EstimatorReport(
        estimator,
        rank_correlation_from(said, truth, drawn[0]),
        rank_correlation_from(by_macs, truth, drawn[1]),
        rank_correlation_from(by_parameters, truth, drawn[2]),
        cost_s=cost_s,
        gain_low=float(np.percentile(drawn[0] - drawn[1], 2.5)),
    )
