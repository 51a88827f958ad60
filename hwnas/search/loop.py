"""Propose, export, measure, train, tell: until enough candidates are trained."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwnas.architecture import Choice
from hwnas.config import SearchSection
from hwnas.errors import (
    EstimatorContractError,
    FileAccessError,
    MeasurementError,
    StudyError,
    TargetLostError,
    TargetUnreachableError,
    TooSlowError,
)
from hwnas.latency.measure.measurements import CandidateMeasurements, measure_candidate
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import LATENCY, Metric
from hwnas.progress import Listener
from hwnas.search.executors.base import Executor, Reply, Worker, error_from_reply
from hwnas.search.failure import ENDED_WITH_ERROR, INTERRUPTED, Failure, Fault
from hwnas.search.fidelities import Fidelities
from hwnas.search.interruption import StopRequest
from hwnas.search.latency_filter import LatencyFilter
from hwnas.search.objectives import end_to_end_job
from hwnas.search.progress import ProposalCounts, SearchStatus
from hwnas.search.recorder import Candidate
from hwnas.search.strategies import distributions_of, seed_after
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.text import counted

MAX_CONSECUTIVE_FAILURES = 5
MAX_CONSECUTIVE_LOSSES = 3
"""So many candidates in a row, each with retries of its own, before a lost target counts as gone."""
_OF_THE_RUN = (FileAccessError.__name__, EstimatorContractError.__name__)
"""Errors of workers that say nothing of a candidate: a directory, or a plug-in that breaks its contract."""
REPEATS_BEFORE_UNIFORM = 10
"""After this many repeated proposals in a row, genes are drawn uniformly."""
MAX_REPEATS = 100
"""After this many repeated proposals in a row, the space counts as exhausted."""


class CandidateLoop:
    """Drives trials through the pool; one call of `run` is one session.

    A candidate stays with one worker: it exports, the driver clocks, and the same worker trains.
    The meter pauses the pool while its clock runs. Whatever goes wrong with a candidate is told
    as failed.
    """

    def __init__(
        self,
        settings: SearchSection,
        *,
        task: Task,
        space: SearchSpace,
        meter: LatencyMeter,
        pool: Executor,
        fidelities: Fidelities,
        latency_filter: LatencyFilter,
        stop: StopRequest,
        listener: Listener[SearchStatus],
        proposals: ProposalCounts,
        queue: Sequence[Mapping[str, Choice]] = (),
    ) -> None:
        """Prepare a session; what is in the `queue` is tried before the strategy is asked.

        `proposals` counts those of the session, of earlier loops included.
        """
        self._queue = list(queue)
        self._settings = settings
        self._task = task
        self._space = space
        self._meter = meter
        self._pool = pool
        self._fidelities = fidelities
        self._recorder = fidelities.lowest
        self._latency_filter = latency_filter
        self._stop = stop
        self._listener = listener
        self._distributions = distributions_of(space)
        self._running: dict[Worker, Candidate] = {}
        self._trained_before = fidelities.lowest.num_trained
        self._num_candidates = 0
        self._proposals = proposals
        self._hint = ""
        self._out_of_reach = ""
        proposals.any_before = proposals.any_before or fidelities.lowest.num_trained > 0
        lost = sum(rung.recorder.pareto_front.interrupted for rung in fidelities.rungs)
        self._resumed = (
            f"{counted(lost, 'candidate')} of earlier sessions {'was' if lost == 1 else 'were'} interrupted. "
            "They do not count as failed, and as many others are tried."
            if lost
            else ""
        )
        self._failures = 0
        self._losses = 0
        self._ending = "all requested candidates are trained"
        self._is_exhausted = False

    def run(self) -> str:
        """Work until nothing is left to do, and return why it ended.

        Raises:
            StudyError: if too many candidates fail in a row, or if the target is gone; what is being trained
                then is finished first.
            HwnasError: if the workers cannot load the task.
        """
        with _without_garbage_in_what_is_known():
            self._work()
        self._listener(self._status())
        if self._is_target_gone and not self._stop.requested:
            raise StudyError(
                f"The target {self._meter.target!r} was lost with {self._losses} candidates in a row. "
                "All that was measured is kept: bring the target back and go on with `Run.search` or "
                "`hwnas search RUN --resume`."
            )
        return self._ending

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time of this session is over."""
        minutes = self._settings.timeout_min
        return minutes is not None and self._recorder.session_s > 60 * minutes

    @property
    def _is_target_gone(self) -> bool:
        return self._losses >= MAX_CONSECUTIVE_LOSSES

    def _work(self) -> None:
        try:
            while not self._stop.requested and (self._wants_more() or self._may_promote() or self._running):
                self._launch()
                for reply in self._pool.wait(0.5):
                    self._handle(reply)
                self._give_up_overdue()
                self._listener(self._status())
            if self._stop.requested:
                self._ending = "interrupted"
        finally:
            self._abandon(INTERRUPTED if self._stop.requested else ENDED_WITH_ERROR)

    def _may_go_on(self) -> bool:
        minutes = self._settings.timeout_min
        if minutes is not None and self.is_out_of_time:
            self._ending = f"the time of {minutes:g} minutes is over"
            return False
        return not self._is_target_gone

    def _may_promote(self) -> bool:
        return self._may_go_on() and self._fidelities.may_promote(self._progress())

    def _progress(self) -> float:
        """Return the share of candidates that are trained; 1 where nobody knows how many there will be."""
        if self._settings.timeout_min is not None or not self._wants_more():
            return 1.0
        return self._recorder.num_trained / self._settings.trials

    def _wants_more(self) -> bool:
        if not self._may_go_on() or self._is_exhausted:
            return False
        if self._num_candidates >= 50 + 10 * self._settings.trials:
            self._ending = (
                f"{self._num_candidates} candidates were tried in this session, too few could be trained"
            )
            return False
        if self._proposals.rejected >= 500 + 100 * self._settings.trials:
            self._ending = (
                f"{self._proposals.rejected} candidates were predicted to be over the limit in this session"
            )
            return False
        proposed = sum(candidate.rung == 0 for candidate in self._running.values())
        return self._recorder.num_trained + proposed < self._settings.trials

    def _launch(self) -> None:
        for worker in self._pool.idle:
            promoted = self._promote() if self._may_go_on() else None
            if promoted is not None:
                self._running[worker] = promoted
                self._estimate(worker, promoted)
                continue
            candidate = self._propose() if self._wants_more() else None
            if candidate is None:
                return
            self._num_candidates += 1
            self._running[worker] = candidate
            self._submit(worker, candidate, "export", path=str(self._model(candidate)))

    def _promote(self) -> Candidate | None:
        return self._fidelities.promote(self._distributions, self._space, self._progress())

    def _estimate(self, worker: Worker, candidate: Candidate) -> None:
        rung = self._fidelities.of(candidate)
        directory = str(rung.recorder.directory(candidate) / "training")
        self._submit(worker, candidate, "estimate", directory=directory, estimator=rung.estimator)

    def _propose(self) -> Candidate | None:
        """Ask until an architecture is new; None if none is."""
        running = {each.architecture: each for each in self._running.values() if each.rung == 0}
        study = self._recorder.study
        attempt = 0
        while attempt < MAX_REPEATS:
            uniform = attempt >= REPEATS_BEFORE_UNIFORM
            seed = seed_after(self._settings.seed, study.num_trials) if uniform else None
            # One at a time: what waits in the study would count as stale after a kill.
            fixed = self._queue.pop(0) if self._queue else None
            trial, choices = study.ask(self._distributions, uniform_seed=seed, fixed=fixed)
            architecture = self._space.decode(choices)
            study.describe(trial, architecture)
            candidate = Candidate(trial, architecture, choices)
            attempt += 1
            if architecture in running:
                running[architecture].repeats.append(trial)
            elif self._recorder.reused(trial, architecture):
                continue
            elif not self._rejected(candidate):
                return candidate
            elif self._stop.requested or not self._wants_more():
                return None
            else:
                attempt = 0
        self._is_exhausted = True
        self._ending = "the space is exhausted"
        return None

    def _rejected(self, candidate: Candidate) -> bool:
        """Predict a candidate's latency, and tell it if that is over the limit beyond doubt."""
        candidate.predicted = self._latency_filter.predict(candidate.architecture)
        if candidate.predicted is None or not self._latency_filter.rejects(candidate.predicted):
            return False
        self._recorder.rejected(candidate, candidate.predicted)
        self._proposals.rejected += 1
        upper = self._recorder.objectives.upper(Metric(LATENCY))
        if upper is not None:
            self._proposals.over(candidate.predicted.latency_ms / upper)
        if self._tells_hint():
            self._listener(self._status())  # the next network within the budget may be far
        return True

    def _tells_hint(self) -> bool:
        """Log that all or most proposals are over the budget, once each; return whether it did."""
        if not self._out_of_reach:
            self._out_of_reach = self._proposals.out_of_reach(self._recorder.objectives)
            if self._out_of_reach:
                self._recorder.log.event("out of reach", self._out_of_reach, **vars(self._proposals))
                return True
        if not self._hint:
            self._hint = self._proposals.hint(self._recorder.objectives)
            if self._hint:
                self._recorder.log.event("over budget", self._hint, **vars(self._proposals))
                return True
        return False

    def _submit(self, worker: Worker, candidate: Candidate, job: str, **fields: Any) -> None:
        # One seed for all: what a network reaches must not depend on the trial it came up in.
        common = {"architecture": candidate.architecture.to_json(), "seed": self._settings.seed}
        self._pool.submit(worker, {"job": job, **common, **fields})

    def _handle(self, reply: Reply) -> None:
        if reply.kind == "progress":
            return
        candidate = self._running.get(reply.worker)
        if candidate is None:
            return  # an idle worker died and was replaced
        if reply.kind == "result" and candidate.measured is None:
            self._exported(reply.worker, candidate, reply.value)
            return
        del self._running[reply.worker]
        if reply.kind == "result":
            recorder = self._fidelities.of(candidate).recorder
            recorder.trained(candidate, reply.value)
            self._recorder.message = recorder.message
            self._failures = 0
        elif reply.kind == "error" and reply.value["kind"] in _OF_THE_RUN:
            # No network is to blame, and the next one would end the same way.
            self._lost(candidate, ENDED_WITH_ERROR)
            raise error_from_reply(reply.value)
        elif reply.kind == "error":
            self._failed(candidate, Failure(f"{reply.value['kind']}: {reply.value['message']}"))
        elif candidate.is_overdue:
            # Says nothing about the next candidate, so it does not count as a failure in a row.
            minutes = self._settings.candidate_timeout_min
            self._lost(candidate, Failure(f"not finished within {minutes:g} minutes"))
        else:
            self._failed(candidate, Failure(str(reply.value), Fault.WORKER))

    def _exported(self, worker: Worker, candidate: Candidate, export: Mapping[str, Any]) -> None:
        """Clock an exported candidate, and train it if it is within the budget."""
        candidate.export = dict(export)
        try:
            candidate.measured = self._measured(candidate)
        except MeasurementError as error:
            del self._running[worker]
            self._unmeasured(candidate, error)
            return
        finally:
            self._model(candidate).unlink(missing_ok=True)
        self._losses = 0
        self._latency_filter.learn(candidate.architecture, candidate.measured.latency.latency_ms)
        if self._recorder.objectives.exceeded(candidate.measured.measurements):
            del self._running[worker]
            self._recorder.infeasible(candidate)
            self._proposals.infeasible += 1
            self._proposals.over(self._recorder.objectives.worst_factor(candidate.measured.measurements))
            self._tells_hint()
            self._failures = 0
            return
        self._proposals.trained += 1
        self._estimate(worker, candidate)

    def _measured(self, candidate: Candidate) -> CandidateMeasurements:
        if self._is_target_gone:
            raise TargetUnreachableError("The target was lost with the candidates before.")
        return measure_candidate(
            self._meter,
            self._model(candidate),
            self._task.io_spec(candidate.architecture),
            self._recorder.objectives.metrics,
            end_to_end=end_to_end_job(
                self._task, candidate.architecture, self._recorder.objectives, is_trained=False
            ),
            give_up_over_ms=self._recorder.objectives.upper(Metric(LATENCY)),
        )

    def _unmeasured(self, candidate: Candidate, error: MeasurementError) -> None:
        """Tell a candidate as failed; a lost target says nothing about candidates and counts for itself."""
        is_lost = isinstance(error, TargetLostError)
        failure = Failure(f"{type(error).__name__}: {error}", Fault.TARGET if is_lost else Fault.NETWORK)
        if self._stop.requested:
            failure = INTERRUPTED
        if is_lost:
            self._losses += 1
            self._recorder.failed(candidate, failure)
        elif isinstance(error, TooSlowError):
            # Says something about this network alone, so it does not count as a failure in a row.
            self._losses = 0
            self._lost(candidate, failure)
        else:
            self._losses = 0
            self._failed(candidate, failure)

    def _give_up_overdue(self) -> None:
        minutes = self._settings.candidate_timeout_min
        for worker, candidate in self._running.items():
            if minutes is not None and time.monotonic() - candidate.started_s > 60 * minutes:
                candidate.is_overdue = True
                self._pool.kill(worker)

    def _lost(self, candidate: Candidate, failure: Failure) -> None:
        recorder = self._fidelities.of(candidate).recorder
        recorder.failed(candidate, failure)
        self._recorder.message = recorder.message
        self._fidelities.failed(candidate)

    def _failed(self, candidate: Candidate, failure: Failure) -> None:
        self._lost(candidate, failure)
        self._failures += 1
        if self._failures >= MAX_CONSECUTIVE_FAILURES and not self._stop.requested:
            raise StudyError(
                f"Single candidates may fail, but the last {self._failures} all did; the latest: "
                f"{failure.reason}. "
                "Remove the cause and go on with `Run.search` or `hwnas search RUN --resume`."
            )

    def _abandon(self, failure: Failure) -> None:
        for candidate in self._running.values():
            self._model(candidate).unlink(missing_ok=True)
            self._lost(candidate, failure)
        self._running = {}
        for rung in self._fidelities.rungs:
            rung.recorder.save()

    def _model(self, candidate: Candidate) -> Path:
        return self._fidelities.of(candidate).recorder.directory(candidate) / "model.onnx"

    def _status(self) -> SearchStatus:
        found = self._recorder.pareto_front
        evaluated = found.trained + found.infeasible + found.failed + found.interrupted
        best = self._fidelities.highest.pareto_front
        return SearchStatus(
            trained=found.trained,
            wanted=self._settings.trials,
            infeasible=found.infeasible,
            failed=sum(rung.recorder.pareto_front.failed for rung in self._fidelities.rungs),
            duplicates=found.num_finished - evaluated,
            front_size=len(best.members),
            hypervolume=best.history.hypervolume,
            elapsed_s=self._recorder.elapsed_s,
            left_s=self._left_s(),
            message=self._recorder.message,
            promoted=tuple(self._fidelities.heights[1:]),
            interrupted=sum(rung.recorder.pareto_front.interrupted for rung in self._fidelities.rungs),
            resumed=self._resumed,
            out_of_reach=self._out_of_reach,
            hint=self._hint,
        )

    def _left_s(self) -> float | None:
        trained, minutes = self._recorder.num_trained, self._settings.timeout_min
        bounds = [] if minutes is None else [max(0.0, 60 * minutes - self._recorder.session_s)]
        if trained > self._trained_before:
            pace_s = self._recorder.session_s / (trained - self._trained_before)
            bounds.append(max(0, self._settings.trials - trained) * pace_s)
        return min(bounds, default=None)


@contextmanager
def _without_garbage_in_what_is_known() -> Iterator[None]:
    """Freeze what exists, so that garbage collection does not scan thousands of trials; unfreeze it after."""
    is_ours = gc.get_freeze_count() == 0
    if is_ours:
        gc.freeze()
    try:
        yield
    finally:
        if is_ours:
            gc.unfreeze()
