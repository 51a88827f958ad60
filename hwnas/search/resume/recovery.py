"""What a study and the records of its trials say of each other when a run is opened.

A trial's record is written before the study is told. Where the driver was killed between the two, or its
database was gone for too long, the next session tells what the record says. Where the study has lost its
last trials, since a file system or a backup took them, they are added again from their records. Where both
are whole and contradict each other, neither can be trusted.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import CategoricalDistribution

from hwnas.architecture import Architecture, Choice
from hwnas.errors import StudyError
from hwnas.objectives import Objectives
from hwnas.search.failure import Failure
from hwnas.search.resume.frozen_trials import RecordedTrial
from hwnas.search.run_directory import RunDirectory
from hwnas.search.study import SearchStudy
from hwnas.search.trial_summary import TrialSummary
from hwnas.tasks.base import Quality

_MOST_MISSING = 1000
"""So many trials in a row may have no directory."""


@dataclass(frozen=True)
class Recovered:
    """What was found out about the trials of one study.

    Attributes:
        finished: trials that had ended without the study being informed.
        restored: trials that the study had lost, and that their records gave back.
        lost: trials that the study had lost, and of which there is no record that can be relied on.
        without_record: trials of the study whose records are missing or damaged; its values stand.
    """

    finished: list[int] = field(default_factory=list)
    restored: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    without_record: list[int] = field(default_factory=list)

    def remarks(self, place: str) -> list[str]:
        """Return what a user should know, one sentence each; `place` names the study."""
        found = []
        if self.restored or self.lost:
            found.append(
                f"{place} had lost its last {len(self.restored) + len(self.lost)} trials: "
                f"{_listed(self.restored)} came back from the records, {_listed(self.lost)} did not."
            )
        if self.without_record:
            found.append(
                f"The records of {_listed(self.without_record)} in {place} are missing or damaged; the "
                "values that the study holds stand, the samples behind them are gone."
            )
        return found


def recover(
    run: RunDirectory,
    study: SearchStudy,
    objectives: Objectives,
    distributions: Mapping[str, CategoricalDistribution],
) -> Recovered:
    """Bring a study in step with the records of its trials.

    Args:
        run: whose records count.
        study: opened by its driver; no trial of it is running any more.
        objectives: second objective and limits of the run.
        distributions: of the genes.

    Raises:
        StudyError: if the record of a finished trial contradicts the study, or there are directories of far
            later trials than the last one of the study.
    """
    without_record = _check_records(run, study)
    restored, lost = _restore_lost(run, study, objectives, distributions)
    finished = _finish_recorded(run, study, objectives, distributions)
    return Recovered(finished, restored, lost, without_record)


def _check_records(run: RunDirectory, study: SearchStudy) -> list[int]:
    """Compare finished trials with their records, and return those without one that can be relied on."""
    without, contradicting = [], []
    for trial in study.summaries():
        if trial.state not in {"COMPLETE", "PRUNED"} or trial.duplicate_of is not None:
            continue
        recorded = _recorded(run, trial.number)
        if recorded is None:
            without.append(trial.number)
        elif not _agree(trial, recorded):
            contradicting.append(trial.number)
    if contradicting:
        raise StudyError(
            f"The records of {_listed(contradicting)} in {run.trials_dir} are whole, but say something else "
            "than the study. One of the two is of another run or another time: restore both from one copy."
        )
    return without


def _agree(trial: TrialSummary, recorded: RecordedTrial) -> bool:
    return (
        trial.state == recorded.state
        and trial.architecture == recorded.architecture
        and dict(trial.measurements) == dict(recorded.measurements)
        and trial.error == recorded.error
    )


def _restore_lost(
    run: RunDirectory,
    study: SearchStudy,
    objectives: Objectives,
    distributions: Mapping[str, CategoricalDistribution],
) -> tuple[list[int], list[int]]:
    """Add the trials whose directories are there and which the study does not know.

    Raises:
        StudyError: if too many of them in a row are missing.
    """
    restored: list[int] = []
    lost: list[int] = []
    numbers = run.trial_numbers()
    _refuse_gaps(run, [study.num_trials - 1, *(number for number in numbers if number >= study.num_trials)])
    elapsed_s = max((trial.elapsed_s for trial in study.summaries()), default=0.0)
    for number in range(study.num_trials, numbers[-1] + 1 if numbers else 0):
        recorded = _recorded(run, number)
        if recorded is not None and not _is_of_run(recorded, objectives):
            recorded = None
        study.add_lost(recorded, distributions, objectives, elapsed_s=elapsed_s)
        (lost if recorded is None else restored).append(number)
    return restored, lost


def _refuse_gaps(run: RunDirectory, numbers: Sequence[int]) -> None:
    """Refuse a directory that only looks like a trial's, such as a date: all before would be lost."""
    for before, number in itertools.pairwise(numbers):
        if number - before > _MOST_MISSING:
            raise StudyError(
                f"{run.trial(number)} should be the directory of a trial, but the last one before it has the "
                f"number {before}, and of the trials between at most {_MOST_MISSING:,} may be missing. Move "
                "it away if it is not of this run; otherwise restore the others from a copy."
            )


def _is_of_run(recorded: RecordedTrial, objectives: Objectives) -> bool:
    """Whether a record holds what the study needs: the objective, or why the trial has none."""
    was_only_predicted = recorded.state == "PRUNED" and recorded.predicted is not None
    has_objective = str(objectives.objective) in recorded.measurements
    return has_objective or recorded.state == "FAIL" or (was_only_predicted and not recorded.measurements)


def _finish_recorded(
    run: RunDirectory,
    study: SearchStudy,
    objectives: Objectives,
    distributions: Mapping[str, CategoricalDistribution],
) -> list[int]:
    """Finish every open trial whose record is whole, and return their numbers."""
    elapsed_s = max((trial.elapsed_s for trial in study.summaries()), default=0.0)
    finished = []
    for number in study.open_trials():
        recorded = _recorded(run, number)
        if (
            recorded is None
            or recorded.state == "FAIL"
            or str(objectives.objective) not in recorded.measurements
        ):
            continue
        trial = study.reopened(number, recorded.choices, distributions)
        study.describe(trial, recorded.architecture)
        study.mark(trial, recorded.latency_remark)
        study.note_seconds(number, recorded.seconds)
        if recorded.predicted:
            study.record_prediction(trial, recorded.predicted)
        measurements = recorded.measurements
        if recorded.error is not None:
            study.tell_trained(
                trial,
                error=recorded.error,
                measurements=measurements,
                objectives=objectives,
                elapsed_s=elapsed_s,
            )
        else:
            study.tell_infeasible(
                trial, measurements=measurements, objectives=objectives, elapsed_s=elapsed_s
            )
        finished.append(number)
    return finished


def _recorded(run: RunDirectory, number: int) -> RecordedTrial | None:
    """Return what the record of a trial says; None if there is none that can be relied on."""
    try:
        return recorded_trial(run.read_trial(number))
    except (StudyError, KeyError, TypeError, ValueError):
        return None


def recorded_trial(record: Mapping[str, Any]) -> RecordedTrial:
    """Return what a `trial.json` says; KeyError, TypeError or ValueError if it is none."""
    state, measurements = str(record["state"]), dict(record["measurements"])
    if state not in {"COMPLETE", "PRUNED", "FAIL"}:
        raise ValueError(f"a trial cannot be {state!r} when its record is written")
    choices: dict[str, Choice] = dict(record["choices"])
    return RecordedTrial(
        state=state,
        architecture=Architecture.from_json(record["architecture"]),
        choices=choices,
        error=Quality.from_json(record["quality"]).error if state == "COMPLETE" else None,
        measurements=measurements,
        latency_remark=str(record["latency"]["remark"]) if record["latency"] else "",
        predicted=record["predicted"],
        failure=Failure.from_json(record) if state == "FAIL" else None,
        seconds=float(record["seconds"]),
        elapsed_s=float(record["elapsed_s"]),
    )


def _listed(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    shown = ", ".join(map(str, numbers[:8]))
    return f"trials {shown}" + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
