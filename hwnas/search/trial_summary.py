"""What is known of one trial of a study, in short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hwnas.architecture import Architecture
from hwnas.objectives import LATENCY
from hwnas.search.failure import Failure
from hwnas.search.records import TrialRow
from hwnas.search.resume.frozen_trials import COST, MEASUREMENTS, PREDICTED, REMARK, SECONDS


@dataclass(frozen=True)
class TrialSummary:
    """One trial in short, as told.

    Attributes:
        number: from 0, in order of asking.
        state: `COMPLETE` (trained), `PRUNED` (over the budget, untrained), `FAIL` or `RUNNING`.
        architecture: what was evaluated; None if the trial was stopped before it was decoded.
        error: 1 - metric, of trained ones.
        latency_ms: of the network alone, as measured, of trained and infeasible ones.
        cost: the second objective, of the same trials; another metric than `latency_ms` in some runs.
        measurements: everything that was measured for objective and limits, by name.
        duplicate_of: number of the trial whose values this one reuses.
        failure: why it failed; None if it did not.
        seconds: from asking to telling.
        elapsed_s: search time of the run when it was told, pauses between sessions left out.
        latency_remark: why its latency may not be relied on; empty for one that may.
        predicted: `latency_ms` and `interval_ms` as a latency table predicted them; None without one.
    """

    number: int
    state: str
    architecture: Architecture | None
    error: float | None
    latency_ms: float | None
    cost: float | None
    measurements: Mapping[str, float]
    duplicate_of: int | None
    failure: Failure | None
    seconds: float | None
    elapsed_s: float
    latency_remark: str = ""
    predicted: Mapping[str, Any] | None = None

    @property
    def is_trained(self) -> bool:
        """Whether a network was trained for this trial itself."""
        return self.state == "COMPLETE" and self.duplicate_of is None

    def to_json(self) -> TrialRow:
        """Return plain JSON values; `feasible` is None for trials without a latency."""
        return {
            "number": self.number,
            "state": self.state,
            "architecture": self.architecture.to_json() if self.architecture else None,
            "error": self.error,
            "latency_ms": self.latency_ms,
            "cost": self.cost,
            "measurements": dict(self.measurements),
            "feasible": {"COMPLETE": True, "PRUNED": False}.get(self.state),
            "duplicate_of": self.duplicate_of,
            "latency_remark": self.latency_remark,
            "predicted": dict(self.predicted) if self.predicted else None,
            "reason": self.failure.reason if self.failure else None,
            "fault": self.failure.fault.value if self.failure else None,
            "seconds": self.seconds,
            "elapsed_s": self.elapsed_s,
        }


def summary_of(trial: FrozenTrial) -> TrialSummary:
    """Return a trial of Optuna in short."""
    notes = trial.user_attrs
    complete = trial.state == TrialState.COMPLETE
    seconds = trial.duration.total_seconds() if trial.duration else None
    seconds = notes.get(SECONDS, seconds)
    return TrialSummary(
        number=trial.number,
        state=trial.state.name,
        architecture=Architecture.from_json(notes["architecture"]) if "architecture" in notes else None,
        error=float(trial.values[0]) if complete else None,
        latency_ms=notes.get(MEASUREMENTS, {}).get(LATENCY),
        cost=notes.get(COST),
        measurements=dict(notes.get(MEASUREMENTS, {})),
        duplicate_of=notes.get("duplicate_of"),
        failure=Failure.from_json(notes) if trial.state == TrialState.FAIL else None,
        seconds=seconds,
        elapsed_s=float(notes.get("elapsed_s", 0.0)),
        latency_remark=str(notes.get(REMARK, "")),
        predicted=notes.get(PREDICTED),
    )
