"""One session of a search, once task, space, target and study are open: candidates until it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture, Choice
from hwnas.config import RunConfig
from hwnas.estimators.report import EstimatorReport
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.predict.table import LatencyTable
from hwnas.objectives import LATENCY, Metric, Objectives
from hwnas.progress import Listener
from hwnas.search.earlier_studies import earlier_studies, remark_on_others
from hwnas.search.estimator_report import estimator_report_of_run
from hwnas.search.executors.base import Executor
from hwnas.search.fidelities import Fidelities, OpenedRungs, open_rungs
from hwnas.search.interruption import StopRequest
from hwnas.search.latency_filter import LatencyFilter, may_fit, sizes_fit, table_of_run
from hwnas.search.loop import CandidateLoop
from hwnas.search.objectives import objectives_of_run
from hwnas.search.prescreening.stage import PrescreeningStage
from hwnas.search.progress import ProposalCounts, SearchStatus
from hwnas.search.recorder import TrialRecorder
from hwnas.search.records import FrontRecord
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.rungs import rung_plans
from hwnas.search.stage_costs import rungs_of_run, stage_costs
from hwnas.search.strategies import (
    EarlierStudy,
    Limits,
    StrategyContext,
    SupportsEarlierStudies,
    Transfer,
    make_sampler,
)
from hwnas.search.study import SearchStudy
from hwnas.search.trial_counts import TrialCounts
from hwnas.search.warm_start import first_candidates, not_yet_evaluated
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.version import __version__


@dataclass(frozen=True)
class SearchResult:
    """What a session of a search leaves behind.

    Attributes:
        run: the run directory.
        ending: why the session ended.
        interrupted: whether that was Ctrl-C.
        front: content of `front.json`.
        estimator_report: of the search, where there is one.
        remarks: what was lost or damaged before this session, which earlier runs it learns from if other
            ones are named, and what to change where most proposals were over the budget.
        transfer: how far the earlier runs that the strategy learns from tell networks apart; None where it
            learns from none.
    """

    run: Path
    ending: str
    interrupted: bool
    front: FrontRecord
    estimator_report: EstimatorReport | None = None
    remarks: tuple[str, ...] = ()
    transfer: Transfer | None = None

    @property
    def rungs(self) -> list[dict[str, Any]]:
        """What became of candidates in each study of the run, see `rungs_of_run`."""
        return rungs_of_run(RunDirectory(self.run))

    def to_json(self) -> dict[str, Any]:
        """Return a summary as plain JSON values."""
        counts = TrialCounts.of(self.front["trials"])
        shown = ("trial", "error", "latency_ms", "cost", "measurements")
        return {
            "run": str(self.run),
            "ending": self.ending,
            "interrupted": self.interrupted,
            "remarks": list(self.remarks),
            "trained": counts.trained,
            "infeasible": counts.infeasible,
            "failed": counts.failed,
            "duplicates": counts.duplicates,
            "interrupted_trials": counts.interrupted,
            "hypervolume": self.front["hypervolume"],
            "reference_point": self.front["reference_point"],
            "rungs": self.rungs,
            "objectives": self.front["objectives"],
            "stages": [stage.to_json() for stage in stage_costs(RunDirectory(self.run))],
            "estimator_report": None if self.estimator_report is None else self.estimator_report.to_json(),
            "transfer": None if self.transfer is None else self.transfer.to_json(),
            "front": [
                {key: value for key, value in member.items() if key in shown}
                for member in self.front["members"]
            ],
        }


@dataclass(frozen=True)
class SearchSession:
    """What a session works with.

    Attributes:
        settings: the run.
        directory: of the run.
        study: of the highest rung.
        task: of the run.
        space: of the run.
        meter: of the target.
        pool: that trains; entered while candidates are.
        stop: whether somebody wants the session to end.
        listener: is told how far the search is.
        recorded_earlier: what the strategy learns from, see `record_of_earlier`.
    """

    settings: RunConfig
    directory: RunDirectory
    study: SearchStudy
    task: Task
    space: SearchSpace
    meter: LatencyMeter
    pool: Executor
    stop: StopRequest
    listener: Listener[SearchStatus]
    recorded_earlier: Mapping[str, Any] | None

    def run(self) -> SearchResult:
        """Evaluate candidates until enough are trained, time is over, or the session is stopped.

        Raises:
            HwnasError: see `hwnas.search.driver.search`.
        """
        report = self._report()
        # What is wrong with a table is told, and what is learned from is kept, before studies are opened.
        _ = self._latency_filter, self._earlier
        prescreening = self._prescreening()
        config = self.settings
        opened = open_rungs(
            rung_plans(config), self.directory, self.study, self._log, self._objectives, self.space
        )
        schedules = self._schedules(opened)
        first, last = schedules[0], schedules[-1]
        learned_from = first.lowest
        if first is not last:
            last.highest.save()  # an empty front, until prescreening has chosen
        self._tell(opened, learned_from)
        queue = first_candidates(
            self.directory,
            self.space,
            config.search.warm_start,
            config.search.trials,
            initial_architectures=config.search.initial_architectures,
            seed=config.search.seed,
            fits=self._fits,
            on_message=lambda message: self._log.event("left out", message),
        )
        with self.pool:
            waiting = not_yet_evaluated(self.space, queue, learned_from.trials)
            loop = self._loop(first, config.search.trials, waiting)
            ending = loop.run()
            if prescreening is not None and not self.stop.requested and not loop.is_out_of_time:
                ending = self._prescreened(prescreening, learned_from, last)
        transfer = self._transfer(learned_from)
        self._log.event("ended", f"the search ended: {ending}")
        return SearchResult(
            self.directory.path,
            ending,
            self.stop.requested,
            last.highest.front,
            report,
            tuple(filter(None, [*opened.remarks, self._remark_on_earlier, self._remark])),
            transfer,
        )

    @cached_property
    def _log(self) -> RunLog:
        return RunLog(self.directory)

    @cached_property
    def _proposals(self) -> ProposalCounts:
        return ProposalCounts()

    @property
    def _remark(self) -> str:
        """What to change where most proposals were over the budget, or all of the first few."""
        return self._proposals.hint(self._objectives) or self._proposals.out_of_reach(self._objectives)

    @cached_property
    def _objectives(self) -> Objectives:
        return objectives_of_run(self.settings, self.task, self.space)

    @cached_property
    def _limits(self) -> Limits:
        upper = self._objectives.upper
        return Limits(upper(Metric(LATENCY)), self.settings.search.trials, upper(self._objectives.objective))

    @cached_property
    def _table(self) -> tuple[Path, LatencyTable] | None:
        return table_of_run(self.settings, self.space, self.meter)

    @cached_property
    def _latency_filter(self) -> LatencyFilter:
        return LatencyFilter(self._table[1] if self._table else None, self.space, self._objectives)

    def _fits(self, architecture: Architecture) -> bool:
        return may_fit(architecture, self.space, self._latency_filter, self._objectives)

    def _report(self) -> EstimatorReport | None:
        report = estimator_report_of_run(self.settings, self.space, self.task.fingerprint())
        if report is not None:
            self._log.event(
                "estimator report",
                f"{report.estimator}: Kendall tau {report.rank_correlation}",
                estimator_report=report.to_json(),
            )
        return report

    @cached_property
    def _earlier(self) -> tuple[EarlierStudy, ...]:
        return earlier_studies(self.directory, self.space, self.recorded_earlier)

    @property
    def _remark_on_earlier(self) -> str:
        return remark_on_others(self.directory, self._earlier, self.settings.search.learn_from)

    def _transfer(self, recorder: TrialRecorder) -> Transfer | None:
        """Say how far earlier runs told networks apart, where the strategy learns from any."""
        study = recorder.study.optuna_study
        sampler = study.sampler
        transfer = sampler.transfer(study) if isinstance(sampler, SupportsEarlierStudies) else None
        if transfer is not None:
            self._log.event("transfer", str(transfer), transfer=transfer.to_json())
        return transfer

    def _prescreening(self) -> PrescreeningStage | None:
        section = self.settings.search.prescreening
        if section is None:
            return None
        return PrescreeningStage(
            self.directory,
            section,
            space=self.space,
            latency_filter=self._latency_filter,
            limits=self._limits,
            objectives=self._objectives,
            seed=self.settings.search.seed,
            log=self._log,
            fits=self._fits,
        )

    def _schedules(self, opened: OpenedRungs) -> list[Fidelities]:
        """Return the rungs that the strategy proposes into and those that prescreening fills, with samplers.

        They are the same but with a first estimator. Nothing is promoted then: prescreening chooses.
        """
        search, predicted = self.settings.search, self._latency_filter
        context = StrategyContext(
            self.space,
            predicted.predict if predicted.is_available else None,
            self._limits,
            search.seed,
            predicted.predict_many if predicted.is_available else None,
            sizes_fit=lambda architecture: sizes_fit(architecture, self.space, self._objectives),
            data=self.task.fingerprint(),
            earlier=self._earlier,
        )
        schedules = (
            [Fidelities(opened.rungs, reduction_factor=search.fidelities.reduction_factor)]
            if search.fidelities
            else [Fidelities([rung]) for rung in opened.rungs]
        )
        for fidelities in schedules:
            own = replace(context, rungs=fidelities.studies)
            fidelities.follow(make_sampler(search.strategy.name, own, search.strategy.options))
        return schedules

    def _tell(self, opened: OpenedRungs, learned_from: TrialRecorder) -> None:
        """Log what the session begins with, and let the latency filter learn from it."""
        stale, recovered = opened.stale, opened.finished
        self._log.event(
            "session",
            f"search for {self.settings.search.trials} trained candidates, {learned_from.num_trained} are "
            f"there; {len(stale)} of a killed driver are lost, {len(recovered)} were finished and count",
            version=__version__,
            stale=stale,
            recovered=recovered,
        )
        if self._table:
            path, table = self._table
            self._log.event(
                "table",
                f"latencies are predicted from {path}",
                table=str(path),
                measuring_s=table.provenance.get("measuring_s"),
            )
            for rung in opened.rungs:
                self._latency_filter.learn_from(rung.recorder.trials)

    def _loop(
        self, fidelities: Fidelities, trials: int, queue: Sequence[Mapping[str, Choice]]
    ) -> CandidateLoop:
        return CandidateLoop(
            self.settings.search.model_copy(update={"trials": trials}),
            task=self.task,
            space=self.space,
            meter=self.meter,
            pool=self.pool,
            fidelities=fidelities,
            latency_filter=self._latency_filter,
            stop=self.stop,
            listener=self.listener,
            proposals=self._proposals,
            queue=queue,
        )

    def _prescreened(
        self, prescreening: PrescreeningStage, learned_from: TrialRecorder, fidelities: Fidelities
    ) -> str:
        """Train what prescreening chooses by what it learns from the candidates before; return the ending."""
        recorder = fidelities.lowest
        recorder.message = "prescreening networks by prediction"
        chosen = prescreening.chosen(learned_from.trials, recorder.trials, lambda: self.stop.requested)
        if chosen is None:
            return "interrupted"
        recorder.message = f"{len(chosen)} networks are chosen to be trained"
        waiting = not_yet_evaluated(self.space, chosen, recorder.trials)
        return self._loop(fidelities, prescreening.wanted, waiting).run()
