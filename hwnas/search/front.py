"""What a study has found so far, as `front.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.architecture import Architecture
from hwnas.files import json_text, with_checksum, write_bytes_atomically
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.pareto import front_indices, hypervolume
from hwnas.search.records import FrontHeader, FrontMemberRow, FrontRecord, TrialRow
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from hwnas.search.study import ERROR
from hwnas.search.trial_counts import FAILED, INFEASIBLE, INTERRUPTED, TRAINED, outcome_of
from hwnas.search.trial_summary import TrialSummary

Point = tuple[float, float]
"""Error and cost."""

MARGIN = 1.1
"""Without a budget, the reference point lies this far beyond the slowest trained candidate."""

_WRITES_PER_STUDY = 500
"""`front.json` is written once this part of the trials is new, so that what it costs each of them stays."""

_OPEN = frozenset({"RUNNING", "WAITING"})
_LISTED = frozenset({"trials", "members"})


def front_of(trials: Sequence[TrialSummary]) -> list[TrialSummary]:
    """Return the trained trials that no other one dominates, by ascending error."""
    trained = [trial for trial in trials if trial.is_trained]
    return [trained[index] for index in front_indices([point_of(trial) for trial in trained])]


def reference_point(trials: Sequence[TrialSummary], limit: float | None) -> tuple[float, float]:
    """Return the worst corner for the hypervolume: error 1, and the limit on the second objective.

    Where there is no limit, it is `MARGIN` times that of the slowest (or largest) trained
    candidate, so that it grows with the study; volumes of different corners do not compare.
    """
    if limit is not None:
        return 1.0, limit
    slowest = max((point_of(trial)[1] for trial in trials if trial.is_trained), default=1.0)
    return 1.0, MARGIN * slowest


def front_header(objectives: Objectives, reference: Point, volume: float) -> FrontHeader:
    """Return the fields of `front.json` that are not lists; `volume` is the hypervolume at `reference`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "objectives": [ERROR, str(objectives.objective)],
        "unit": objectives.objective.unit,
        "limit": objectives.upper(objectives.objective),
        "constraints": [str(each) for each in objectives.constraints],
        "reference_point": list(reference),
        "hypervolume": volume,
    }


def front_member(trial: TrialSummary, record: Mapping[str, Any]) -> FrontMemberRow:
    """Return a member of the front as in `front.json`; `record` is its `trial.json`."""
    error, cost = point_of(trial)
    return {
        "trial": trial.number,
        "architecture": record["architecture"],
        "quality": record["quality"],
        "latency": record["latency"],
        "error": error,
        "latency_ms": trial.latency_ms,
        "cost": cost,
        "measurements": dict(trial.measurements),
    }


def objectives_of_front(front: Mapping[str, Any]) -> Objectives:
    """Return the second objective and the limits that the content of `front.json` states."""
    return Objectives(
        Metric.parse(front["objectives"][1]), tuple(Constraint.parse(text) for text in front["constraints"])
    )


def point_of(trial: TrialSummary) -> Point:
    """Return error and cost of a trained trial."""
    if trial.error is None or trial.cost is None:
        raise ValueError(f"Trial {trial.number} is {trial.state} and has no values.")
    return trial.error, trial.cost


class ParetoHistory:
    """The hypervolume after every trained trial, which never falls.

    All volumes share one reference point. Trials count in the order in which they finished.

    Attributes:
        trained: the trials, in the order in which they finished.
        entries: (trial number, elapsed seconds, hypervolume), in the same order.
        reference: worst corner of the hypervolume.
    """

    def __init__(self, limit: float | None) -> None:
        """Begin with no trial; `limit` is that of the second objective."""
        self._limit = limit
        self.trained: list[TrialSummary] = []
        self.reference = reference_point((), limit)
        self._forget()

    @property
    def hypervolume(self) -> float:
        """Of all trained trials."""
        return self.entries[-1][2] if self.entries else 0.0

    def add(self, trials: Sequence[TrialSummary]) -> None:
        """Take in trained trials; those of a new worst corner, or out of order, are gone through again."""
        new = sorted(trials, key=_finished)
        reference = reference_point(new, self._limit)
        is_in_order = not (self.trained and new) or _finished(self.trained[-1]) <= _finished(new[0])
        is_larger = self._limit is None and (not self.trained or reference[1] > self.reference[1])
        self.trained += new
        if (is_larger and new) or not is_in_order:
            self.reference = reference_point(self.trained, self._limit)
            self.trained.sort(key=_finished)
            self._forget()
            new = self.trained
        for trial in new:
            self._step(trial)

    def _forget(self) -> None:
        self.entries: list[tuple[int, float, float]] = []
        self._front: list[Point] = []
        self._volume = 0.0

    def _step(self, trial: TrialSummary) -> None:
        error, cost = point = point_of(trial)
        if not any(first <= error and second <= cost for first, second in self._front):
            points = [*self._front, point]
            self._front = [points[index] for index in front_indices(points)]
            # Summed over other rectangles, the same area may come out an ulp smaller.
            self._volume = max(self._volume, hypervolume(self._front, self.reference))
        self.entries.append((trial.number, trial.elapsed_s, self._volume))


class ParetoFront:
    """What finished trials add up to, and `front.json`.

    Attributes:
        trained: number of networks that were trained.
        infeasible: number of those over a limit.
        failed: number of those that could not be evaluated.
        interrupted: number of those that Ctrl-C, a killed driver or an error elsewhere ended.
        members: trials of the front, by ascending error.
        history: the hypervolume after every trained trial.
        content: of `front.json` as written last; there is none before the first `write`.
    """

    def __init__(self, run: RunDirectory, objectives: Objectives) -> None:
        """Begin with no trial."""
        self._run = run
        self._objectives = objectives
        self._rows: dict[int, tuple[TrialRow, str]] = {}
        self._records: dict[int, FrontMemberRow] = {}
        self._evaluated: dict[Architecture, TrialSummary] = {}
        self._unwritten = 0
        self.trained = self.infeasible = self.failed = self.interrupted = 0
        self.members: list[TrialSummary] = []
        self.history = ParetoHistory(objectives.upper(objectives.objective))
        self.content: FrontRecord

    @property
    def num_finished(self) -> int:
        """How many trials were told, those that repeat others included."""
        return len(self._rows)

    def evaluated(self, architecture: Architecture) -> TrialSummary | None:
        """Return the trial that measured an architecture, or trained it, if there is one."""
        return self._evaluated.get(architecture)

    def update(self, trials: Sequence[TrialSummary]) -> None:
        """Take in those of some trials, in order of their numbers, that are finished and were not yet."""
        new = [each for each in trials if each.state not in _OPEN and each.number not in self._rows]
        for trial in new:
            self._rows[trial.number] = _row(trial)
            if trial.duplicate_of is None:
                self._count(trial)
        trained = [trial for trial in new if trial.is_trained]
        self.history.add(trained)
        self.members = front_of(sorted([*self.members, *trained], key=lambda trial: trial.number))
        self._unwritten += len(new)

    @property
    def is_due(self) -> bool:
        """Whether more than 1/500 of the finished trials, or any of fewer than 500, are unwritten."""
        return self._unwritten > len(self._rows) / _WRITES_PER_STUDY

    def write(self, trials: Sequence[TrialSummary]) -> None:
        """Write `front.json` atomically.

        Raises:
            StudyError: if the record of a member is gone.
        """
        self.content = self.record(trials)
        header = {key: value for key, value in self.content.items() if key not in _LISTED}
        lines = {
            "trials": [text for _, text in map(self._row, trials)],
            "members": [_in_one_line(member) for member in self.content["members"]],
        }
        write_bytes_atomically(self._run.front, with_checksum(_text(header, lines)).encode("utf-8"))
        self._unwritten = 0

    def record(self, trials: Sequence[TrialSummary]) -> FrontRecord:
        """Return the content of `front.json`.

        Args:
            trials: of the study, in order; those that are finished were taken in by `update`.

        Raises:
            StudyError: if the record of a member is gone.
        """
        return {
            **front_header(self._objectives, self.history.reference, self.history.hypervolume),
            "hypervolume_history": [list(entry) for entry in self.history.entries],
            "trials": [row for row, _ in map(self._row, trials)],
            "members": [self._member(trial) for trial in self.members],
        }

    def _row(self, trial: TrialSummary) -> tuple[TrialRow, str]:
        return self._rows.get(trial.number) or _row(trial)

    def _count(self, trial: TrialSummary) -> None:
        outcome = outcome_of(trial.state, trial.failure)
        self.trained += outcome == TRAINED
        self.infeasible += outcome == INFEASIBLE
        self.failed += outcome == FAILED
        self.interrupted += outcome == INTERRUPTED
        # What was only predicted is predicted anew: the predictor has learned since.
        if trial.state != "FAIL" and trial.measurements and trial.architecture is not None:
            self._evaluated.setdefault(trial.architecture, trial)

    def _member(self, trial: TrialSummary) -> FrontMemberRow:
        if trial.number not in self._records:
            self._records[trial.number] = front_member(trial, self._run.read_trial(trial.number))
        return self._records[trial.number]


def _finished(trial: TrialSummary) -> tuple[float, int]:
    return trial.elapsed_s, trial.number


def _row(trial: TrialSummary) -> tuple[TrialRow, str]:
    row = trial.to_json()
    return row, _in_one_line(row)


def _in_one_line(value: Any) -> str:
    return json_text(value, indent=None)


def _text(header: Mapping[str, Any], lines: dict[str, list[str]]) -> str:
    """Return a JSON object with one line for each field, and for each item of the lists."""
    fields = [f"  {json.dumps(key)}: {_in_one_line(value)}" for key, value in header.items()]
    for key, items in lines.items():
        listed = ",\n".join(f"    {item}" for item in items)
        fields.append(f"  {json.dumps(key)}: [\n{listed}\n  ]" if items else f"  {json.dumps(key)}: []")
    return "{\n" + ",\n".join(fields) + "\n}\n"
