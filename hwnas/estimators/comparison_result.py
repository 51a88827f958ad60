"""What a comparison of estimators found, and its plain JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwnas.estimators.report import EstimatorReport
from hwnas.json_values import JsonObject
from hwnas.text import counted, one_line

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class RankedEstimator:
    """One estimator of a comparison.

    Attributes:
        label: the name that tables give it.
        estimator: name of the plug-in.
        settings: what the estimator was made with.
        failed: networks that it gave no score to.
        prepared_s: seconds that it took once, before the first network.
        report: how it ranks the others.
    """

    label: str
    estimator: str
    settings: JsonObject
    failed: int
    prepared_s: float
    report: EstimatorReport

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without the label."""
        return {
            "estimator": self.estimator,
            "settings": dict(self.settings),
            "failed": self.failed,
            "prepared_s": self.prepared_s,
            "report": self.report.to_json(),
        }


@dataclass(frozen=True)
class EstimatorComparison:
    """How well estimators rank networks, measured on some that were trained in full.

    Attributes:
        task: fingerprint of the task.
        space: name and choices of the space.
        full_settings: settings of the full training.
        full_s: mean seconds of one full training.
        networks: content ids of the architectures.
        errors: error of each network after full training, 0 to 1.
        gmacs: billions of multiply-accumulates of each network.
        estimators: every estimator that was compared, the run's own first.
    """

    task: str
    space: JsonObject
    full_settings: JsonObject
    full_s: float
    networks: tuple[str, ...]
    errors: tuple[float, ...]
    gmacs: tuple[float, ...]
    estimators: tuple[RankedEstimator, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the content of `estimator_report.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "space": dict(self.space),
            "full": {
                "settings": dict(self.full_settings),
                "cost_s": self.full_s,
                "errors": list(self.errors),
            },
            "networks": list(self.networks),
            "gmacs": list(self.gmacs),
            "estimators": {one.label: one.to_json() for one in self.estimators},
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.networks), "network"),
            *(f"{one.label} tau {one.report.rank_correlation.tau:.2f}" for one in self.estimators),
        )
