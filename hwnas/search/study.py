"""The Optuna study of a run: asking, telling, resuming. The one source of truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from hwnas.architecture import Architecture, Choice
from hwnas.errors import StudyError
from hwnas.objectives import LATENCY, Objectives
from hwnas.search.failure import Failure
from hwnas.search.quiet_optuna import quiet_optuna
from hwnas.search.resume.frozen_trials import (
    COST,
    MEASUREMENTS,
    PREDICTED,
    REMARK,
    SECONDS,
    Outcome,
    RecordedTrial,
    lost_trial,
    replaced_trial,
)
from hwnas.search.storage.place import JournalPlace, StudyPlace
from hwnas.search.trial_summary import TrialSummary, summary_of

ERROR = "error"
"""The first objective; the second one is a metric of `hwnas.objectives`. Both are minimised."""

_IDENTITY, _IS_WHOLE = "identity", "is_whole"


@dataclass
class _Beside:
    """A place for one more study in a storage that is open already."""

    name: str
    storage: BaseStorage

    def opened(self, *, read_only: bool) -> AbstractContextManager[BaseStorage]:
        """Give the storage, whose owner closes it."""
        del read_only
        return nullcontext(self.storage)

    def held(self) -> AbstractContextManager[None]:
        """Hold nothing: who holds the storage holds this."""
        return nullcontext()

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class SearchStudy:
    """Asks a strategy for candidates and remembers what became of them.

    Raises:
        StudyError: if the study cannot be opened, is damaged, or is not there and must be.
    """

    def __init__(
        self, place: Path | StudyPlace, *, read_only: bool = False, must_exist: bool = False
    ) -> None:
        """Open the study at `place`, or make one there; a path is that of a journal."""
        place = JournalPlace(place) if isinstance(place, Path) else place
        self._base = place.name
        with ExitStack() as opened:
            self._storage = opened.enter_context(place.opened(read_only=read_only))
            known = {study.study_name for study in self._storage.get_all_studies()}
            if self._base not in known and (read_only or must_exist):
                raise StudyError(
                    f"{place} holds no study. If there was one, restore it from a copy, or let `hwnas search "
                    "RUN --resume --repair` make it again from the records of its trials; otherwise run "
                    "`hwnas search` first."
                )
            if self._base not in known:
                with quiet_optuna():
                    optuna.create_study(
                        storage=self._storage, study_name=self._base, directions=["minimize"] * 2
                    )
            self._opened = opened.pop_all()
        self.generation = 1
        self._finished: list[TrialSummary] = []  # all before the first that is not
        self._study = optuna.load_study(study_name=self._base, storage=self._storage)
        while self._name(self.generation + 1) in known:
            newer = optuna.load_study(study_name=self._name(self.generation + 1), storage=self._storage)
            if not newer.user_attrs.get(_IS_WHOLE):
                break  # a rebase was killed while it wrote this one
            self.generation += 1
            self._study = newer

    def close(self) -> None:
        """Let the storage go."""
        self._opened.close()

    def copied(self) -> optuna.Study:
        """Return a copy of the Optuna study in memory; changing it changes nothing here."""
        storage = optuna.storages.InMemoryStorage()
        with quiet_optuna():
            optuna.copy_study(
                from_study_name=self._study.study_name,
                from_storage=self._storage,
                to_storage=storage,
                to_study_name=self._base,
            )
        return optuna.load_study(study_name=self._base, storage=storage)

    def beside(self, name: str) -> SearchStudy:
        """Return another study of the same storage, made if missing; it is closed with this one."""
        return SearchStudy(_Beside(f"{self._base}-{name}", self._storage))

    def _name(self, generation: int) -> str:
        return self._base if generation == 1 else f"{self._base}-{generation}"

    def replace(
        self, identity: Mapping[str, Any], outcomes: Mapping[int, Outcome], objectives: Objectives
    ) -> None:
        """Continue as a new study with the same trials and other measurements.

        The storage switches over with its last record, so that a kill leaves the old study or the new one.
        Trained trials get their new measurements; those over a limit become infeasible, those without
        measurements fail. Trials that were infeasible fail as `SUPERSEDED`; repeated ones follow those that
        they repeat.

        Args:
            identity: of the new study.
            outcomes: by the number of every trial that was trained.
            objectives: second objective and constraints.
        """
        name = self._name(self.generation + 1)
        if name in {study.study_name for study in self._storage.get_all_studies()}:
            optuna.delete_study(study_name=name, storage=self._storage)
        with quiet_optuna():
            new = optuna.create_study(storage=self._storage, study_name=name, directions=["minimize"] * 2)
        trials = self._study.get_trials()
        for trial in trials:
            original = trial.user_attrs.get("duplicate_of", trial.number)
            new.add_trial(replaced_trial(trial, outcomes.get(original), objectives))
        if len(new.get_trials(deepcopy=False)) != len(trials):
            raise StudyError(
                "The database was lost while trials were copied, and some are there twice. Nothing is "
                "switched over yet: do the same again."
            )
        new.set_user_attr(_IDENTITY, dict(identity))
        new.set_user_attr(_IS_WHOLE, True)
        self._study = new
        self._finished = []
        self.generation += 1

    @property
    def identity(self) -> dict[str, Any]:
        """What must not change within a study; empty before `set_identity`."""
        return dict(self._study.user_attrs.get(_IDENTITY, {}))

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Record what must not change within this study."""
        self._study.set_user_attr(_IDENTITY, dict(identity))

    @property
    def optuna_study(self) -> optuna.Study:
        """The study as Optuna knows it."""
        return self._study

    def set_sampler(self, sampler: BaseSampler) -> None:
        """Propose with `sampler` from now on."""
        self._study.sampler = sampler

    @property
    def num_trials(self) -> int:
        """How many trials were asked, whatever became of them."""
        return len(self._study.get_trials(deepcopy=False))

    def ask(
        self,
        distributions: Mapping[str, CategoricalDistribution],
        *,
        uniform_seed: int | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> tuple[optuna.Trial, dict[str, Choice]]:
        """Open a trial and return it with one value for every gene.

        Args:
            distributions: of the genes.
            uniform_seed: draw uniformly with this seed, past the strategy.
            fixed: take these values, past the strategy.
        """
        sampler = self._study.sampler
        if uniform_seed is not None or fixed is not None:
            self._study.sampler = RandomSampler(seed=uniform_seed)
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        try:
            trial = self._study.ask(fixed_distributions=dict(distributions))
        finally:
            self._study.sampler = sampler
        return trial, dict(trial.params)

    def describe(self, trial: optuna.Trial, architecture: Architecture) -> None:
        """Note what a trial is about, before it is evaluated."""
        trial.set_user_attr("architecture", architecture.to_json())

    def record_prediction(self, trial: optuna.Trial, predicted: Mapping[str, Any]) -> None:
        """Note what a latency table says of a trial's network, before it is told."""
        trial.set_user_attr(PREDICTED, dict(predicted))

    def note_seconds(self, number: int, seconds: float | None) -> None:
        """Note what a trial of an earlier session took, None if nobody knows, before it is told."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        identifier = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        self._storage.set_trial_user_attr(identifier, SECONDS, seconds)

    def tell_rejected(
        self, trial: optuna.Trial, *, predicted_ms: float, objectives: Objectives, elapsed_s: float
    ) -> None:
        """Finish a trial whose network was not measured: it is over the limit of its latency beyond doubt."""
        self._note(trial, elapsed_s, None)
        for name, excess in objectives.excess({LATENCY: predicted_ms}).items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, state=TrialState.PRUNED)

    def mark(self, trial: optuna.Trial, latency_remark: str) -> None:
        """Note why the latency of a trial may not be relied on, before it is told; empty notes nothing."""
        if latency_remark:
            trial.set_user_attr(REMARK, latency_remark)

    def tell_trained(
        self,
        trial: optuna.Trial,
        *,
        error: float,
        measurements: Mapping[str, float],
        objectives: Objectives,
        elapsed_s: float,
        duplicate_of: int | None = None,
    ) -> None:
        """Finish a trial whose network was trained."""
        self._note(trial, elapsed_s, duplicate_of)
        self._constrain(trial, measurements, objectives)
        self._study.tell(trial, [error, measurements[str(objectives.objective)]])

    def tell_infeasible(
        self,
        trial: optuna.Trial,
        *,
        measurements: Mapping[str, float],
        objectives: Objectives,
        elapsed_s: float,
        duplicate_of: int | None = None,
    ) -> None:
        """Finish a trial that is over a limit and was therefore not trained."""
        self._note(trial, elapsed_s, duplicate_of)
        self._constrain(trial, measurements, objectives)
        self._study.tell(trial, state=TrialState.PRUNED)

    def tell_failed(
        self, trial: optuna.Trial, failure: Failure, *, elapsed_s: float, duplicate_of: int | None = None
    ) -> None:
        """Finish a trial that could not be evaluated."""
        self._note(trial, elapsed_s, duplicate_of)
        for name, value in failure.to_json().items():
            trial.set_user_attr(name, value)
        self._study.tell(trial, state=TrialState.FAIL)

    def open_trials(self) -> list[int]:
        """Return the numbers of trials that nobody told yet."""
        stale = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING, TrialState.WAITING])
        return [trial.number for trial in stale]

    def reopened(
        self,
        number: int,
        choices: Mapping[str, Choice],
        distributions: Mapping[str, CategoricalDistribution],
    ) -> optuna.Trial:
        """Return a trial that an earlier session opened and did not tell, to be told now.

        Args:
            number: of the trial.
            choices: what was proposed; the study may have lost some of it.
            distributions: of the genes.
        """
        sampler = self._study.sampler
        self._study.sampler = RandomSampler()  # a trial asks its sampler at once; nothing is to be proposed
        try:
            study = self._storage.get_study_id_from_name(self._study.study_name)
            identifier = self._storage.get_trial_id_from_study_id_trial_number(study, number)
            known = self._storage.get_trial(identifier).params
            for gene, value in choices.items():
                if gene not in known:
                    distribution = distributions[gene]
                    internal = distribution.to_internal_repr(value)
                    self._storage.set_trial_param(identifier, gene, internal, distribution)
            return optuna.Trial(self._study, identifier)
        finally:
            self._study.sampler = sampler

    def add_lost(
        self,
        recorded: RecordedTrial | None,
        distributions: Mapping[str, CategoricalDistribution],
        objectives: Objectives,
        *,
        elapsed_s: float,
    ) -> None:
        """Add a trial after the last one: as it was recorded, or failed as `LOST` where nothing is known.

        Args:
            recorded: what its record says.
            distributions: of the genes.
            objectives: second objective and constraints.
            elapsed_s: search time where the record does not say it.
        """
        self._study.add_trial(lost_trial(recorded, distributions, objectives, elapsed_s))

    def fail_stale(self) -> list[int]:
        """Tell trials that a killed driver left running or queued as failed, and return their numbers."""
        stale = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING, TrialState.WAITING])
        self._open_waiting(sum(trial.state == TrialState.WAITING for trial in stale))
        for trial in stale:
            self.note_seconds(trial.number, None)
            self._study.tell(trial.number, state=TrialState.FAIL)
        return [trial.number for trial in stale]

    def _open_waiting(self, count: int) -> None:
        """Open trials that were queued and not asked, past the strategy: Optuna tells only those that run."""
        sampler = self._study.sampler
        self._study.sampler = RandomSampler()
        try:
            for _ in range(count):
                self._study.ask()
        finally:
            self._study.sampler = sampler

    def summaries(self) -> list[TrialSummary]:
        """Return all trials in order; those that are finished are read once, as nothing can change them."""
        trials = self._study.get_trials(deepcopy=False)
        while len(self._finished) < len(trials) and trials[len(self._finished)].state.is_finished():
            self._finished.append(summary_of(trials[len(self._finished)]))
        return [*self._finished, *map(summary_of, trials[len(self._finished) :])]

    def summary(self, number: int) -> TrialSummary:
        """Return one trial, at a cost that does not grow with the study."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        identifier = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        return summary_of(self._storage.get_trial(identifier))

    @staticmethod
    def _note(trial: optuna.Trial, elapsed_s: float, duplicate_of: int | None) -> None:
        trial.set_user_attr("elapsed_s", round(elapsed_s, 3))
        if duplicate_of is not None:
            trial.set_user_attr("duplicate_of", duplicate_of)

    @staticmethod
    def _constrain(trial: optuna.Trial, measurements: Mapping[str, float], objectives: Objectives) -> None:
        trial.set_user_attr(MEASUREMENTS, dict(measurements))
        trial.set_user_attr(COST, measurements[str(objectives.objective)])
        # Feasible trials need the constraints as well: samplers compare only equally constrained ones.
        known = trial.constraints  # of a driver that was killed before it told
        for name, excess in objectives.excess(measurements).items():
            if name not in known:
                trial.set_constraint(name, excess)


def differences(before: Any, now: Any, *, ignored: Sequence[str] = (), path: str = "") -> list[str]:
    """List where two JSON values differ, as `path: before -> now`.

    Args:
        before: the recorded value.
        now: the value found.
        ignored: dotted paths below which everything may differ.
        path: of the two values themselves.
    """
    if path in ignored or before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found: list[str] = []
        for key in sorted({*before, *now}, key=str):
            below = f"{path}.{key}" if path else str(key)
            found += differences(before.get(key), now.get(key), ignored=ignored, path=below)
        return found
    return [f"{path}: {before!r} -> {now!r}"]


def copy_in_memory(place: StudyPlace) -> optuna.Study:
    """Return a copy of the study at a place, as it is at the moment, in memory.

    Raises:
        StudyError: if there is none, or it is damaged.
    """
    study = SearchStudy(place, read_only=True)
    try:
        return study.copied()
    finally:
        study.close()
