"""The studies of a run, and the estimator of each: one, or several of which the last counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.config import EstimatorSection, RunConfig


@dataclass(frozen=True)
class RungPlan:
    """One study of a run.

    Attributes:
        study: what it is named beside that of the front; empty for that itself.
        stage: what it is, for people; empty where a run has one study alone.
        estimator: registered name and settings of the estimator, as workers are told.
        steps: of its trainings; None where the estimator does not train.
    """

    study: str
    stage: str
    estimator: Mapping[str, Any]
    steps: int | None


def rung_plans(config: RunConfig) -> list[RungPlan]:
    """Return the studies of a run, the lowest first; the last is that of the front.

    With `search.fidelities` there is one for each length of training, and with `search.first_estimator` one
    for the candidates that prescreening learns from.
    """
    search, steps = config.search, config.training.proxy.steps
    own = search.estimator
    if search.fidelities is not None:
        lengths = [*search.fidelities.steps, steps]
        estimators = [EstimatorSection(**{**own.model_dump(), "steps": length}) for length in lengths]
        stages = [f"rung {number}, {length} steps" for number, length in enumerate(lengths, start=1)]
    elif search.first_estimator is not None:
        estimators, stages = (
            [search.first_estimator, own],
            ["candidates that prescreening learns from", "candidates chosen by prescreening"],
        )
    else:
        estimators, stages = [own], [""]
    names = [f"rung-{number}" for number in range(1, len(estimators))] + [""]
    return [
        RungPlan(
            name,
            stage,
            {"name": estimator.name, "settings": estimator.options},
            int(estimator.options.get("steps", steps)) if estimator.name == "training" else None,
        )
        for name, stage, estimator in zip(names, stages, estimators, strict=True)
    ]
