"""Measures a run's networks again on a target that has changed, so that its measurements compare once more.

Trained networks are exported again, untrained as before, and measured; qualities stay. A new study in the
same journal takes the place of the old one in one step, when every network has its measurements. Until then
the old one is the run's, and what was measured so far is kept in files: a killed rebase goes on where it was.

Networks that were over a limit were never trained and are not measured again: with the old measurements they
would mislead the strategy, so that they count as failed and may be proposed anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.errors import MeasurementError
from hwnas.files import write_checked_json
from hwnas.io_spec import IoSpec
from hwnas.latency.measure.end_to_end import EndToEndJob
from hwnas.latency.measure.measurements import NOT_MEASURED, CandidateMeasurements, measure_candidate
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import Objectives
from hwnas.search.failure import Failure
from hwnas.search.objectives import end_to_end_job
from hwnas.search.resume.frozen_trials import Outcome
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record_if_any
from hwnas.search.run_log import RunLog
from hwnas.search.study import SearchStudy
from hwnas.search.trial_summary import TrialSummary
from hwnas.tasks.base import Task
from hwnas.text import figure

Export = Callable[[Architecture, Path], None]
"""Writes an untrained network as ONNX, as the search did."""


class Rebase:
    """One rebase of one run; `run` may be called again after an interruption."""

    def __init__(
        self,
        run: RunDirectory,
        study: SearchStudy,
        *,
        task: Task,
        meter: LatencyMeter,
        objectives: Objectives,
        export: Export,
        is_stopped: Callable[[], bool],
    ) -> None:
        """Prepare to replace the current study."""
        self._run = run
        self._study = study
        self._task = task
        self._meter = meter
        self._objectives = objectives
        self._export = export
        self._is_stopped = is_stopped
        self._log = RunLog(run)
        self._directory = run.rebase(study.generation + 1)

    def run(self, identity: Mapping[str, Any], changed: list[str]) -> bool:
        """Measure, then replace the study; False if it was stopped before.

        Args:
            identity: of the new study.
            changed: what differs on the target, for the log.

        Raises:
            MeasurementError: if the target cannot be used at all.
        """
        self._study.fail_stale()
        trials = self._study.summaries()
        self._archive(trials)
        self._log.event("rebase", f"measuring again, since the target changed: {'; '.join(changed)}")
        outcomes: dict[int, Outcome] = {}
        for trial in trials:
            if not trial.is_trained or trial.architecture is None:
                continue
            if self._is_stopped():
                return False
            outcomes[trial.number] = self._outcome(trial.number, trial.architecture, trial.cost)
        self._study.replace(identity, outcomes, self._objectives)
        update_records(self._run, self._study)
        self._log.event("rebased", f"{len(outcomes)} networks have new measurements")
        return True

    def _archive(self, trials: list[TrialSummary]) -> None:
        """Keep what was measured before; nothing that is kept already is written again."""
        before = self._directory / "before"
        (self._directory / "measured").mkdir(parents=True, exist_ok=True)
        before.mkdir(exist_ok=True)
        identity = before / "identity.json"
        if not identity.exists():
            write_checked_json(identity, {"schema_version": SCHEMA_VERSION, **self._study.identity})
        for source in (self._run.front, self._run.trained):
            if source.exists() and not (before / source.name).exists():
                shutil.copyfile(source, before / source.name)
        for trial in trials:
            record = self._run.trial_record(trial.number)
            kept = before / f"{trial.number}.json"
            if record.exists() and not kept.exists():
                write_checked_json(kept, self._run.read_trial(trial.number))

    def _outcome(self, number: int, architecture: Architecture, before: float | None) -> Outcome:
        path = self._directory / "measured" / f"{number}.json"
        found = _read(path)
        fingerprint = json.loads(json.dumps(dict(self._meter.fingerprint())))
        if found is None or found["latency"]["fingerprint"] != fingerprint:
            try:
                measured = self._measured(architecture)
            except MeasurementError as error:
                self._log.event("failed", f"trial {number} cannot be measured again: {error}", trial=number)
                return Outcome(None, Failure(f"MeasurementError: {error}"))
            found = {"schema_version": SCHEMA_VERSION, **measured.to_json()}
            write_checked_json(path, found)
        objective = self._objectives.objective
        after = found["measurements"][str(objective)]
        message = f"trial {number}: {objective} {before} -> {figure(after)} {objective.unit}"
        self._log.event("remeasured", message, trial=number)
        return Outcome(found["measurements"], None)

    def _measured(self, architecture: Architecture) -> CandidateMeasurements:
        model = self._directory / "model.onnx"
        io_spec: IoSpec = self._task.io_spec(architecture)
        job: EndToEndJob | None = end_to_end_job(self._task, architecture, self._objectives, is_trained=False)
        try:
            self._export(architecture, model)
            return measure_candidate(self._meter, model, io_spec, self._objectives.metrics, end_to_end=job)
        finally:
            model.unlink(missing_ok=True)


def update_records(run: RunDirectory, study: SearchStudy) -> None:
    """Bring the records of trials in step with a study that replaced another; harmless if they are."""
    generation = study.generation
    before = run.rebase(generation) / "before"
    if generation == 1 or not before.is_dir():
        return
    if run.trained.exists() and _read(run.trained) == _read(before / run.trained.name):
        run.trained.unlink()  # it is of the old target; `hwnas train` measures the weights again
    for trial in study.summaries():
        kept = _read(before / f"{trial.number}.json")
        current = _read(run.trial_record(trial.number))
        if kept is None or current is None or current.get("generation") == generation:
            continue
        new = _read(run.rebase(generation) / "measured" / f"{trial.number}.json")
        changes: dict[str, Any] = dict(new) if new is not None and trial.measurements else dict(NOT_MEASURED)
        changes |= {"state": trial.state, "generation": generation, "schema_version": SCHEMA_VERSION}
        if trial.failure is not None:
            changes |= trial.failure.to_json()
        write_checked_json(run.trial_record(trial.number), {**kept, **changes})


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file of the run holds, None where there is no file."""
    return read_record_if_any(
        path, "Restore it from a copy: without it measurements before and after are mixed."
    )
