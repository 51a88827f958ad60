"""What a study's trials tell a strategy, in the order in which they were told."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hwnas.architecture import Architecture
from hwnas.search_spaces.base import SearchSpace

Genes = tuple[int, ...]
"""The position of the chosen value in the choices of every gene, in the order of the space."""


@dataclass(frozen=True)
class Observation:
    """An architecture of which the study knows something.

    Attributes:
        number: of the trial.
        genes: as proposed.
        architecture: they decode to.
        error: of trained ones, else None.
        cost: the second objective of trained ones, else None.
    """

    number: int
    genes: Genes
    architecture: Architecture
    error: float | None
    cost: float | None

    @property
    def is_trained(self) -> bool:
        """Whether it was trained; it was found to be over a limit otherwise."""
        return self.error is not None


class Observations:
    """Reads a study step by step; what it holds depends on the study's trials alone.

    Attributes:
        evaluated: trained ones and those over a hard limit, without repetitions, in order of telling.
        trained: the trained ones of them.
        failures: how often trials of an architecture failed, by its id.
        running: architectures of trials that are not told yet.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Begin with nothing."""
        self._space = space
        self._positions: dict[str, dict[tuple[type, object], int]] = {
            gene: {(type(value), value): index for index, value in enumerate(values)}
            for gene, values in space.choices.items()
        }
        self._study: str | None = None
        self._forget()

    def _forget(self) -> None:
        self.evaluated: list[Observation] = []
        self.trained: list[Observation] = []
        self.failures: Counter[str] = Counter()
        self.running: list[Observation] = []
        self._known: set[str] = set()
        self._read: set[int] = set()
        self._first = 0

    def is_known(self, architecture: Architecture) -> bool:
        """Return whether it was trained, is over a limit, is running, or failed twice."""
        return self.are_known([architecture.id])[0]

    def are_known(self, ids: Iterable[str]) -> list[bool]:
        """Return for each id of an architecture whether `is_known` says so."""
        running = {each.architecture.id for each in self.running}
        failed = {one for one, times in self.failures.items() if times > 1}
        return [one in self._known or one in running or one in failed for one in ids]

    def update(self, study: Study) -> None:
        """Read what was told since the last time."""
        if study.study_name != self._study:
            self._study = study.study_name
            self._forget()
        trials = study.get_trials(deepcopy=False)
        later = [trial for trial in trials[self._first :] if trial.number not in self._read]
        finished = [trial for trial in later if trial.state.is_finished()]
        # Read in the order of telling, a resumed study gives the same as one that was never stopped.
        for trial in sorted(finished, key=_observed_at):
            self._read.add(trial.number)
            self._add(trial)
        self.running = [
            evaluated
            for trial in later
            if trial.state == TrialState.RUNNING and (evaluated := self._observation(trial)) is not None
        ]
        while self._first in self._read:
            self._read.remove(self._first)
            self._first += 1

    def _add(self, trial: FrozenTrial) -> None:
        evaluated = self._observation(trial)
        if evaluated is None:
            return
        if trial.state == TrialState.FAIL:
            self.failures[evaluated.architecture.id] += 1
        elif evaluated.architecture.id not in self._known:
            self._known.add(evaluated.architecture.id)
            self.evaluated.append(evaluated)
            if evaluated.is_trained:
                self.trained.append(evaluated)

    def _observation(self, trial: FrozenTrial) -> Observation | None:
        """Return what a trial is about; None for one that was stopped before its genes were chosen."""
        genes = []
        for gene, positions in self._positions.items():
            value = trial.params.get(gene)
            position = positions.get((type(value), value))
            if position is None:
                return None
            genes.append(position)
        error, cost = trial.values if trial.state == TrialState.COMPLETE else (None, None)
        choices = {gene: trial.params[gene] for gene in self._positions}
        return Observation(trial.number, tuple(genes), self._space.decode(choices), error, cost)


def _observed_at(trial: FrozenTrial) -> tuple[datetime.datetime, int]:
    return trial.datetime_complete or datetime.datetime.max, trial.number
