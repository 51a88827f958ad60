"""Finished trials as Optuna adds them to a study: from their records, or as measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hwnas.architecture import Architecture, Choice
from hwnas.objectives import LATENCY, Objectives
from hwnas.search.failure import LOST, SUPERSEDED, Failure

MEASUREMENTS, COST = "measurements", "cost"
PREDICTED = "predicted"
REMARK = "latency_remark"
SECONDS = "seconds"
"""What a trial took, of one that a later session told: from its start until then would count the pause."""
"""User attributes of trials that were measured."""


@dataclass(frozen=True)
class Outcome:
    """What measuring a trial again gave: its measurements, or why there are none."""

    measurements: Mapping[str, float] | None
    failure: Failure | None


@dataclass(frozen=True)
class RecordedTrial:
    """What the record of a finished trial says, see `TrialSummary`; it repeats no other trial."""

    state: str
    architecture: Architecture
    choices: Mapping[str, Choice]
    error: float | None
    measurements: Mapping[str, float]
    latency_remark: str
    predicted: Mapping[str, Any] | None
    failure: Failure | None
    seconds: float
    elapsed_s: float


def lost_trial(
    recorded: RecordedTrial | None,
    distributions: Mapping[str, CategoricalDistribution],
    objectives: Objectives,
    elapsed_s: float,
) -> FrozenTrial:
    """Return a finished trial that a study has lost, see `SearchStudy.add_lost`."""
    if recorded is None:
        return create_trial(state=TrialState.FAIL, user_attrs={"elapsed_s": elapsed_s, **LOST.to_json()})
    notes: dict[str, Any] = {"architecture": recorded.architecture.to_json(), "elapsed_s": recorded.elapsed_s}
    values, constraints = None, None
    if recorded.state != "FAIL" and recorded.measurements:
        notes |= {
            MEASUREMENTS: dict(recorded.measurements),
            COST: recorded.measurements[str(objectives.objective)],
        }
        constraints = objectives.excess(recorded.measurements)
    elif recorded.predicted and recorded.state == "PRUNED":
        constraints = objectives.excess({LATENCY: recorded.predicted["latency_ms"]})
    if recorded.error is not None:
        values = [recorded.error, notes[COST]]
    said = {REMARK: recorded.latency_remark, PREDICTED: recorded.predicted}
    if recorded.failure is not None:
        notes |= recorded.failure.to_json()
    trial = create_trial(
        state=TrialState[recorded.state],
        values=values,
        params=dict(recorded.choices),
        distributions={gene: distributions[gene] for gene in recorded.choices},
        user_attrs=notes | {key: value for key, value in said.items() if value},
        constraints=constraints,
    )
    if trial.datetime_complete is not None:
        trial.datetime_start = trial.datetime_complete - timedelta(seconds=recorded.seconds)
    return trial


def replaced_trial(trial: FrozenTrial, outcome: Outcome | None, objectives: Objectives) -> FrozenTrial:
    """Return a finished trial with the measurements of `outcome`, see `SearchStudy.replace`."""
    notes = {key: value for key, value in trial.user_attrs.items() if key not in {MEASUREMENTS, COST, REMARK}}
    state, values, constraints = trial.state, None, None
    if state == TrialState.COMPLETE and outcome is not None and outcome.measurements is not None:
        notes |= {
            MEASUREMENTS: dict(outcome.measurements),
            COST: outcome.measurements[str(objectives.objective)],
        }
        constraints = objectives.excess(outcome.measurements)
        if objectives.exceeded(outcome.measurements):
            state = TrialState.PRUNED
        else:
            values = [trial.values[0], notes[COST]]
    elif state != TrialState.FAIL:
        state = TrialState.FAIL
        notes |= (SUPERSEDED if outcome is None or outcome.failure is None else outcome.failure).to_json()
    # What samplers noted stays, such as the generation of NSGA-II; constraints are set anew.
    old = tuple(f":{name}" for name in trial.constraints)
    noted = {key: value for key, value in trial.system_attrs.items() if not (old and key.endswith(old))}
    replaced = create_trial(
        state=state,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=notes,
        system_attrs=noted,
        constraints=constraints,
    )
    replaced.datetime_start, replaced.datetime_complete = trial.datetime_start, trial.datetime_complete
    return replaced
