"""Tells the study what became of trials, and saves everything that was measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna

from hwnas.architecture import Architecture, Choice
from hwnas.errors import StudyError
from hwnas.files import write_checked_json
from hwnas.latency.measure.measurements import NOT_MEASURED, CandidateMeasurements
from hwnas.objectives import Metric, Objectives
from hwnas.search.failure import Failure
from hwnas.search.front import ParetoFront
from hwnas.search.records import FrontRecord
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.strategies import LatencyPrediction
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import Quality
from hwnas.text import figure


@dataclass(eq=False)
class Candidate:
    """A network on its way through a trial.

    Attributes:
        trial: to be told.
        architecture: what is evaluated.
        choices: what the strategy proposed.
        export: what the export said: number of parameters and time.
        measured: everything that was measured on the untrained network; None before.
        predicted: its latency as a table predicted it; None without one.
        rung: of the fidelities, from 0, the lowest.
        repeats: trials that proposed the same while this one was running.
        started_s: when it was proposed, on the monotonic clock.
        is_overdue: whether it was given up for taking too long.
    """

    trial: optuna.Trial
    architecture: Architecture
    choices: dict[str, Choice]
    export: dict[str, Any] = field(default_factory=dict)
    measured: CandidateMeasurements | None = None
    predicted: LatencyPrediction | None = None
    rung: int = 0
    repeats: list[optuna.Trial] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)
    is_overdue: bool = False

    @property
    def number(self) -> int:
        """Number of the trial."""
        return self.trial.number


class SearchClock:
    """Search time of a run, pauses between sessions left out."""

    def __init__(self, before_s: float) -> None:
        """Go on after `before_s` seconds of earlier sessions."""
        self._before_s = before_s
        self._started = time.monotonic()

    @property
    def session_s(self) -> float:
        """Time since this session began."""
        return time.monotonic() - self._started

    @property
    def elapsed_s(self) -> float:
        """Time of all sessions."""
        return self._before_s + self.session_s


class TrialRecorder:
    """Keeps study, trial records, front and log in step; a told trial costs the same in a study of any size.

    The record of a trial is written before it is told, the front afterwards: a kill in between
    leaves a study that is right and files that the next session brings up to date.
    """

    def __init__(
        self,
        run: RunDirectory,
        study: SearchStudy,
        log: RunLog,
        objectives: Objectives,
        *,
        clock: SearchClock | None = None,
        rung: str = "",
    ) -> None:
        """Take over a study; what earlier sessions told is known from the start.

        Args:
            run: keeps records and front.
            study: is told.
            log: of the whole run.
            objectives: second objective and limits.
            clock: of the whole run; one that goes by the study's own trials if None.
            rung: said of every trial where a run has several studies, such as `rung 1`.
        """
        self.study = study
        self.log = log
        self.objectives = objectives
        self._run = run
        self._rung = rung
        self.trials = study.summaries()
        before_s = max((trial.elapsed_s for trial in self.trials), default=0.0)
        self.clock = SearchClock(before_s) if clock is None else clock
        self.pareto_front = ParetoFront(run, objectives)
        self.save()
        self.message = "starting workers"

    @property
    def elapsed_s(self) -> float:
        """Search time of the run, pauses between sessions left out."""
        return self.clock.elapsed_s

    @property
    def session_s(self) -> float:
        """Time since this session began."""
        return self.clock.session_s

    @property
    def num_trained(self) -> int:
        """Candidates that were trained."""
        return self.pareto_front.trained

    @property
    def front(self) -> FrontRecord:
        """Content of `front.json` as written last."""
        return self.pareto_front.content

    def record(self, number: int) -> dict[str, Any]:
        """Return the record of a trial.

        Raises:
            StudyError: if there is none.
        """
        return self._run.read_trial(number)

    def directory(self, candidate: Candidate) -> Path:
        """Return the directory of a trial, made if missing."""
        directory = self._run.trial(candidate.number)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def trained(self, candidate: Candidate, estimate: dict[str, Any]) -> None:
        """Tell a candidate whose training gave a quality, with the trials that repeat it."""
        measurements = _measured(candidate).measurements
        quality = Quality.from_json(estimate["quality"])
        self._record(candidate, "COMPLETE", **estimate)
        self._mark(candidate)
        self._tell_trained(candidate.trial, quality.error, measurements, None)
        for trial in candidate.repeats:
            self._tell_trained(trial, quality.error, measurements, candidate.number)
        self._after(
            "trained",
            f"trial {candidate.number}: {quality.shown} at "
            f"{self._in_words(self.objectives.objective, measurements)}, "
            f"trained in {estimate['cost_s']:.0f} s",
            candidate,
        )

    def infeasible(self, candidate: Candidate) -> None:
        """Tell a candidate that is over a limit, with the trials that repeat it."""
        measurements = _measured(candidate).measurements
        self._record(candidate, "PRUNED")
        self._mark(candidate)
        self._tell_infeasible(candidate.trial, measurements, None)
        for trial in candidate.repeats:
            self._tell_infeasible(trial, measurements, candidate.number)
        broken = [
            f"{self._in_words(constraint.metric, measurements)} is over the limit of {constraint.upper:g}"
            for constraint in self.objectives.exceeded(measurements)
        ]
        self._after("infeasible", f"trial {candidate.number}: {'; '.join(broken)}", candidate)

    def rejected(self, candidate: Candidate, predicted: LatencyPrediction) -> None:
        """Tell a candidate that is over the limit of its latency even by the lower end of its prediction."""
        self._record(candidate, "PRUNED")
        self.study.record_prediction(candidate.trial, asdict(predicted))
        self.study.tell_rejected(
            candidate.trial,
            predicted_ms=predicted.latency_ms,
            objectives=self.objectives,
            elapsed_s=self.elapsed_s,
        )
        message = (
            f"trial {candidate.number}: predicted {figure(predicted.latency_ms)} ms, at least "
            f"{figure(predicted.interval_ms[0])} ms, is over the limit; not measured"
        )
        # No refresh of the front, which stays as it is: there may be hundreds of these.
        self.message = self._in_context(message)
        self.log.event("rejected", self.message, **self._named(candidate.number))

    def failed(self, candidate: Candidate, failure: Failure) -> None:
        """Tell a candidate that could not be evaluated, with the trials that repeat it."""
        self._record(candidate, "FAIL", **failure.to_json())
        self.study.tell_failed(candidate.trial, failure, elapsed_s=self.elapsed_s)
        for trial in candidate.repeats:
            self.study.tell_failed(trial, failure, elapsed_s=self.elapsed_s, duplicate_of=candidate.number)
        self._after("failed", f"trial {candidate.number} failed: {failure.reason}", candidate)

    def reused(self, trial: optuna.Trial, architecture: Architecture) -> bool:
        """Tell a trial with the values of an earlier one of the same architecture, if there is one."""
        known = self.pareto_front.evaluated(architecture)
        if known is None:
            return False
        self.study.mark(trial, known.latency_remark)
        if known.state == "COMPLETE" and known.error is not None:
            self._tell_trained(trial, known.error, known.measurements, known.number)
        else:
            self._tell_infeasible(trial, known.measurements, known.number)
        self.refresh([trial.number])
        self.log.event(
            "repeated",
            self._in_context(f"trial {trial.number} repeats trial {known.number}"),
            of=known.number,
            **self._named(trial.number),
        )
        return True

    def refresh(self, numbers: Iterable[int]) -> None:
        """Take in trials that were just told; `front.json` follows at once, or soon in large studies."""
        self.pareto_front.update([self.study.summary(number) for number in sorted(numbers)])
        if self.pareto_front.is_due:
            self.save()

    def save(self) -> None:
        """Bring `trials` and `front.json` in step with the study."""
        self.trials = self.study.summaries()
        self.pareto_front.update(self.trials)
        self.pareto_front.write(self.trials)

    def _mark(self, candidate: Candidate) -> None:
        for trial in (candidate.trial, *candidate.repeats):
            self.study.mark(trial, _measured(candidate).latency.remark)
            if candidate.predicted is not None:
                self.study.record_prediction(trial, asdict(candidate.predicted))

    def _tell_trained(
        self, trial: optuna.Trial, error: float, measurements: Mapping[str, float], duplicate_of: int | None
    ) -> None:
        self.study.tell_trained(
            trial,
            error=error,
            measurements=measurements,
            objectives=self.objectives,
            elapsed_s=self.elapsed_s,
            duplicate_of=duplicate_of,
        )

    def _tell_infeasible(
        self, trial: optuna.Trial, measurements: Mapping[str, float], duplicate_of: int | None
    ) -> None:
        self.study.tell_infeasible(
            trial,
            measurements=measurements,
            objectives=self.objectives,
            elapsed_s=self.elapsed_s,
            duplicate_of=duplicate_of,
        )

    def _in_context(self, message: str) -> str:
        return f"{self._rung}, {message}" if self._rung else message

    def _named(self, number: int) -> dict[str, Any]:
        return {"trial": number, "rung": self._rung} if self._rung else {"trial": number}

    @staticmethod
    def _in_words(metric: Metric, measurements: Mapping[str, float]) -> str:
        return f"{metric} {figure(measurements[str(metric)])} {metric.unit}"

    def _record(self, candidate: Candidate, state: str, **measured: Any) -> None:
        """Write `trial.json`, then drop what training left beside it: fronts are trained anew."""
        directory = self.directory(candidate)
        record = {
            "schema_version": SCHEMA_VERSION,
            "number": candidate.number,
            "state": state,
            "architecture": candidate.architecture.to_json(),
            "choices": candidate.choices,
            **(candidate.measured.to_json() if candidate.measured else NOT_MEASURED),
            "quality": None,
            "predicted": asdict(candidate.predicted) if candidate.predicted else None,
            "seconds": round(time.monotonic() - candidate.started_s, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            **candidate.export,
            **measured,
        }
        path = self._run.trial_record(candidate.number)
        if path.exists():
            raise StudyError(
                f"Trial {candidate.number} has just ended, but {path} is there already: the study has lost "
                "trials, or another driver works here. Nothing is overwritten. Restore the study from a copy."
            )
        write_checked_json(path, record)
        shutil.rmtree(directory / "training", ignore_errors=True)

    def _after(self, kind: str, message: str, candidate: Candidate) -> None:
        self.message = self._in_context(message)
        self.log.event(
            kind, self.message, architecture=candidate.architecture.id, **self._named(candidate.number)
        )
        self.refresh(trial.number for trial in (candidate.trial, *candidate.repeats))


def _measured(candidate: Candidate) -> CandidateMeasurements:
    if candidate.measured is None:
        raise ValueError(f"Trial {candidate.number} was told before it was measured.")
    return candidate.measured
