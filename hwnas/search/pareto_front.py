"""The front of a study while it grows: what a finished trial adds to it is worked out once.

`build_front` reads a whole study, which at thousands of trials takes seconds. Here an update costs as much as
the trials that are new, and gives the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.architecture import Architecture
from hwnas.files import with_checksum, write_bytes_atomically
from hwnas.objectives import Objectives
from hwnas.pareto import front_indices, hypervolume
from hwnas.search.front import Point, front_header, front_member, front_of, point_of, reference_point
from hwnas.search.records import FrontMemberRow, FrontRecord, TrialRow
from hwnas.search.run_directory import RunDirectory
from hwnas.search.trial_counts import FAILED, INFEASIBLE, INTERRUPTED, TRAINED, outcome_of
from hwnas.search.trial_summary import TrialSummary

_WRITES_PER_STUDY = 500
"""`front.json` is written once this part of the trials is new, so that what it costs each of them stays."""


class ParetoHistory:
    """The hypervolume after every trained trial, see `hypervolume_history`.

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
        rows = [self._rows.get(trial.number) or _row(trial) for trial in trials]
        members = [self._member(trial) for trial in self.members]
        header = front_header(self._objectives, self.history.reference, self.history.hypervolume)
        lines = {
            "trials": [text for _, text in rows],
            "members": [_in_one_line(member) for member in members],
        }
        self.content = {
            **header,
            "hypervolume_history": [list(entry) for entry in self.history.entries],
            "trials": [row for row, _ in rows],
            "members": members,
        }
        head = {**header, "hypervolume_history": self.history.entries}
        write_bytes_atomically(self._run.front, with_checksum(_text(head, lines)).encode("utf-8"))
        self._unwritten = 0

    def _count(self, trial: TrialSummary) -> None:
        outcome = outcome_of(trial.state, trial.reason)
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


_OPEN = frozenset({"RUNNING", "WAITING"})


def _finished(trial: TrialSummary) -> tuple[float, int]:
    return trial.elapsed_s, trial.number


def _row(trial: TrialSummary) -> tuple[TrialRow, str]:
    row = trial.to_json()
    return row, _in_one_line(row)


def _in_one_line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _text(header: Mapping[str, Any], lines: dict[str, list[str]]) -> str:
    """Return a JSON object with one line for each field, and for each item of the lists."""
    fields = [f"  {json.dumps(key)}: {_in_one_line(value)}" for key, value in header.items()]
    for key, items in lines.items():
        listed = ",\n".join(f"    {item}" for item in items)
        fields.append(f"  {json.dumps(key)}: [\n{listed}\n  ]" if items else f"  {json.dumps(key)}: []")
    return "{\n" + ",\n".join(fields) + "\n}\n"
