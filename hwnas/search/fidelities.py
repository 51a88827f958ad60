"""Several fidelities: a rung for each length of training, and who is promoted from one to the next.

Every rung has a study of its own, since Optuna prunes no trials of several objectives. The strategy
proposes into the lowest; of every `reduction_factor` networks trained on a rung, one goes on to the next: the
one that a strategy with models of its own names, else those on the first front layers, and from the layer
that has too many of them those farthest apart. Nobody waits for a rung to fill up: whenever a worker is free,
what may be promoted is, the highest rung first, and else the strategy is asked. Few are promoted early, when
little is known of who is best, and all the more towards the end of the search.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (asynchronous
successive halving); Schmucker et al., "Multi-objective Asynchronous Successive Halving", arXiv 2106.12639,
2021 (front layers, and within a layer a net of points). Here no more than one of every `reduction_factor` is
promoted, also where those that were early are not among the best any more: what a search costs is known
before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study

from hwnas.architecture import Architecture
from hwnas.latency.measure.measurements import CandidateMeasurements
from hwnas.objectives import Objectives
from hwnas.search.front import point_of
from hwnas.search.layers import best_by_layers
from hwnas.search.recorder import Candidate, SearchClock, TrialRecorder
from hwnas.search.resume.recovery import Recovered, recover
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.rungs import RungPlan
from hwnas.search.strategies import SupportsPromotion, distributions_of
from hwnas.search.study import SearchStudy
from hwnas.search.trial_summary import TrialSummary
from hwnas.search_spaces.base import SearchSpace

_PATIENCE = 3.0
"""While a share p of the candidates is trained, p to this power of the promotions that are due is allowed."""


@dataclass
class Rung:
    """One length of training.

    Attributes:
        recorder: of its study.
        estimator: position of the estimator that evaluates on it, among those that workers have.
        taken: networks that were promoted to here, or were asked for here.
        lost: how many of these failed.
    """

    recorder: TrialRecorder
    estimator: int = 0
    taken: set[Architecture] = field(default_factory=set)
    lost: int = 0

    def __post_init__(self) -> None:
        """Know what earlier sessions brought here; what a kill or Ctrl-C ended may be promoted again."""
        for trial in self.recorder.trials:
            if trial.architecture is None or (trial.failure and trial.failure.fault.may_be_tried_again):
                continue
            self.taken.add(trial.architecture)
            self.lost += trial.state == "FAIL"


class Fidelities:
    """The rungs of one search, the lowest first; the front is that of the highest."""

    def __init__(self, rungs: Sequence[Rung], *, reduction_factor: int = 1) -> None:
        """Put the rungs together.

        Args:
            rungs: at least one.
            reduction_factor: one in this many is promoted; at least 2 where there are several rungs.
        """
        if not rungs or (len(rungs) > 1 and reduction_factor < 2):
            raise ValueError(
                f"Fidelities need rungs and a reduction_factor from 2, but got {len(rungs)} rungs and "
                f"{reduction_factor}."
            )
        self.rungs = list(rungs)
        self._reduction_factor = reduction_factor
        self._chooser: SupportsPromotion | None = None
        self._order: dict[int, tuple[tuple[int, int], list[TrialSummary]]] = {}

    @property
    def lowest(self) -> TrialRecorder:
        """The recorder that the strategy proposes into."""
        return self.rungs[0].recorder

    @property
    def highest(self) -> TrialRecorder:
        """The recorder of the front."""
        return self.rungs[-1].recorder

    @property
    def heights(self) -> list[int]:
        """How many networks are trained on each rung, the lowest first."""
        return [rung.recorder.num_trained for rung in self.rungs]

    def of(self, candidate: Candidate) -> Rung:
        """Return the rung that a candidate is on."""
        return self.rungs[candidate.rung]

    @property
    def studies(self) -> list[Study]:
        """The study of every rung, the lowest first; empty with one rung."""
        return [rung.recorder.study.optuna_study for rung in self.rungs] if len(self.rungs) > 1 else []

    def follow(self, sampler: BaseSampler) -> None:
        """Let a sampler propose, and choose who is promoted if it can."""
        self.lowest.study.set_sampler(sampler)
        self._chooser = sampler if isinstance(sampler, SupportsPromotion) else None

    def may_promote(self, progress: float = 1.0) -> bool:
        """Return whether a network may be promoted now, see `next_promotion`."""
        return self._next(progress) is not None

    def next_promotion(self, progress: float = 1.0) -> tuple[int, TrialSummary] | None:
        """Return the rung that a network may be promoted to now, and its trial one below; None if none may.

        Args:
            progress: share of the candidates of this search that are trained on the lowest rung.
        """
        found = self._next(progress)
        if found is None or self._chooser is None:
            return found
        number, by_layers = found
        waiting = {trial.number: trial for trial in self._waiting(number)}
        chosen = self._chooser.promote(number, list(waiting))
        return number, by_layers if chosen is None else waiting[chosen]

    def _next(self, progress: float) -> tuple[int, TrialSummary] | None:
        """Return the highest rung with room, and who is promoted there by front layers."""
        for number in range(len(self.rungs) - 1, 0, -1):
            below, rung = self.rungs[number - 1], self.rungs[number]
            allowed = math.floor(below.recorder.num_trained // self._reduction_factor * progress**_PATIENCE)
            if len(rung.taken) - rung.lost >= allowed:
                continue
            for trial in self._best(number - 1, allowed + rung.lost):
                if trial.architecture not in rung.taken:
                    return number, trial
        return None

    def _waiting(self, number: int) -> list[TrialSummary]:
        """Return who is trained on the rung below and was not taken on this one."""
        trained = self.rungs[number - 1].recorder.pareto_front.history.trained
        return [trial for trial in trained if trial.architecture not in self.rungs[number].taken]

    def promote(
        self, distributions: Mapping[str, CategoricalDistribution], space: SearchSpace, progress: float
    ) -> Candidate | None:
        """Promote a network, if one may be: a trial opens on the next rung, with its measurements."""
        found = self.next_promotion(progress)
        if found is None:
            return None
        number, below = found
        record = self.rungs[number - 1].recorder.record(below.number)
        study = self.rungs[number].recorder.study
        trial, choices = study.ask(distributions, fixed=record["choices"])
        architecture = space.decode(choices)
        study.describe(trial, architecture)
        self.rungs[number].taken.add(architecture)
        export = {key: record[key] for key in ("parameters", "export_s")}
        measured = CandidateMeasurements.from_json(record)
        return Candidate(trial, architecture, choices, rung=number, export=export, measured=measured)

    def failed(self, candidate: Candidate) -> None:
        """Note that a candidate failed on its rung, so that another may be promoted in its place."""
        self.of(candidate).lost += candidate.rung > 0

    def _best(self, number: int, enough: int) -> list[TrialSummary]:
        """Return the trials of a rung that may be promoted, worked out once for every number of them."""
        trained = self.rungs[number].recorder.pareto_front.history.trained
        known, state = self._order.get(number), (len(trained), enough)
        if known is None or known[0] != state:
            points = np.array([point_of(trial) for trial in trained], np.float64).reshape(-1, 2)
            known = state, [trained[place] for place in best_by_layers(points, enough)]
            self._order[number] = known
        return known[1]


@dataclass(frozen=True)
class OpenedRungs:
    """The studies of a run, in step with their records.

    Attributes:
        rungs: the lowest first.
        stale: numbers of trials that a killed driver left open.
        recovered: what the records had to say, by the name of the study.
    """

    rungs: list[Rung]
    stale: list[int]
    recovered: dict[str, Recovered]

    @property
    def finished(self) -> list[int]:
        """Numbers of trials that were finished, and not told before."""
        return [number for one in self.recovered.values() for number in one.finished]

    @property
    def remarks(self) -> list[str]:
        """What a user should know of lost trials and damaged records."""
        return [remark for name, one in self.recovered.items() for remark in one.remarks(name)]


def open_rungs(
    plans: Sequence[RungPlan],
    run: RunDirectory,
    study: SearchStudy,
    log: RunLog,
    objectives: Objectives,
    space: SearchSpace,
) -> OpenedRungs:
    """Open the studies of a run and bring them in step with their records.

    Args:
        plans: of the studies, the lowest first.
        run: where records and fronts lie.
        study: of the highest rung, opened by its driver.
        log: of the run.
        objectives: second objective and limits.
        space: of the run.

    Raises:
        StudyError: if a record contradicts its study.
    """
    runs = [run.rung(number) for number in range(1, len(plans))] + [run]
    studies = [study.beside(plan.study) for plan in plans[:-1]] + [study]
    names = [f"rung {number}" for number in range(1, len(plans))] + ["the study"]
    recovered: dict[str, Recovered] = {}
    stale: list[int] = []
    for name, where, one in zip(names, runs, studies, strict=True):
        where.trials_dir.mkdir(parents=True, exist_ok=True)
        recovered[name] = recover(where, one, objectives, distributions_of(space))
        stale += one.fail_stale()
    clock = SearchClock(max((trial.elapsed_s for one in studies for trial in one.summaries()), default=0.0))
    rungs = []
    for number, (where, one) in enumerate(zip(runs, studies, strict=True)):
        name = f"rung {number + 1}" if len(plans) > 1 else ""
        rungs.append(Rung(TrialRecorder(where, one, log, objectives, clock=clock, rung=name), number))
    opened = OpenedRungs(rungs, stale, recovered)
    for remark in opened.remarks:
        log.event("recovered", remark)
    return opened
