"""One search, from its run file to its front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hwnas.architecture import Architecture, Choice
from hwnas.config import JOURNAL, RunConfig
from hwnas.estimators.report import EstimatorReport
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import LATENCY, Metric
from hwnas.search.estimator_report import estimator_report_of_run
from hwnas.search.executors.base import Executor, ExecutorContext, WorkerSetup, make_executor
from hwnas.search.fidelities import Fidelities, Rung, open_rungs
from hwnas.search.interruption import StopRequest
from hwnas.search.latency_filter import LatencyFilter, may_fit, sizes_fit, table_of_run
from hwnas.search.loop import CandidateLoop
from hwnas.search.objectives import objectives_of_run
from hwnas.search.prescreening.stage import PrescreeningStage
from hwnas.search.progress import ProgressListener
from hwnas.search.recorder import TrialRecorder
from hwnas.search.resume.opening import check_start, opened_study, record_identity, with_study_name
from hwnas.search.resume.rebase import Rebase, update_records
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.run_target import opened_meter
from hwnas.search.rungs import rung_plans
from hwnas.search.stage_costs import rungs_of_run, stage_costs
from hwnas.search.storage import DriverLease, cut_at_damage
from hwnas.search.storage.place import place_of_run
from hwnas.search.strategies import Limits, StrategyContext, make_sampler
from hwnas.search.strategies.dry_run import try_strategy
from hwnas.search.study import SearchStudy
from hwnas.search.warm_start import first_candidates, not_yet_evaluated
from hwnas.search.worker import Jobs
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.search_spaces.dry_run import try_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.dry_run import dry_run
from hwnas.training.trainers import TrainerSpec
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
        remarks: what was lost or damaged before this session, and what became of it.
    """

    run: Path
    ending: str
    interrupted: bool
    front: dict[str, Any]
    estimator_report: EstimatorReport | None = None
    remarks: tuple[str, ...] = ()

    @property
    def rungs(self) -> list[dict[str, Any]]:
        """What became of candidates in each study of the run, see `rungs_of_run`."""
        return rungs_of_run(RunDirectory(self.run))

    def to_json(self) -> dict[str, Any]:
        """Return a summary as plain JSON values."""
        trials = self.front["trials"]
        own = [trial for trial in trials if trial["duplicate_of"] is None]
        states = [trial["state"] for trial in own]
        shown = ("trial", "error", "latency_ms", "cost", "measurements")
        return {
            "run": str(self.run),
            "ending": self.ending,
            "interrupted": self.interrupted,
            "remarks": list(self.remarks),
            "trained": states.count("COMPLETE"),
            "infeasible": states.count("PRUNED"),
            "failed": states.count("FAIL"),
            "duplicates": len(trials) - len(own),
            "hypervolume": self.front["hypervolume"],
            "reference_point": self.front["reference_point"],
            "rungs": self.rungs,
            "objectives": self.front["objectives"],
            "stages": [stage.to_json() for stage in stage_costs(RunDirectory(self.run))],
            "estimator_report": None if self.estimator_report is None else self.estimator_report.to_json(),
            "front": [{key: member[key] for key in shown} for member in self.front["members"]],
        }


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def search(
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    rebase: bool = False,
    repair: bool = False,
    progress: ProgressListener | None = None,
) -> SearchResult:
    """Search until enough candidates are trained, time is over, or Ctrl-C ends it.

    Args:
        config: the run; on resume it may differ from the recorded one where that changes no value.
        run_dir: of a new run, or of one to be resumed.
        resume: go on with the run that is there; without it an existing run is refused.
        rebase: on resume, measure everything again if the target has changed, see `Rebase`.
        repair: on resume, rebuild what a damaged or lost journal does not hold from the records of the
            trials; a copy of the damaged journal is kept.
        progress: is told how far the search is.

    Raises:
        StudyError: if the run exists already, or does not; if another process drives it; if
            settings, data or target differ from the recorded ones; if candidates keep failing.
        PluginError: if a plug-in does not do what its protocol says, see `hwnas.training.dry_run`.
        HwnasError: if task, space, strategy or target cannot be used.
    """
    run = RunDirectory(run_dir.resolve())
    run.path.mkdir(parents=True, exist_ok=True)
    config = with_study_name(config, run)
    place = place_of_run(run, config)
    with DriverLease(run.driver_lock), place.held(), StopRequest() as stop:
        check_start(run, resume=resume)
        if repair and config.storage == JOURNAL:
            cut_at_damage(run.study_journal)
        task = make_task(config.task.name, config.task.settings)
        space = make_search_space(config.space.name, task.contract, config.space.choices)
        _try_plugins(config, task, space)
        if not resume:  # a run that is there passed
            dry_run(task, space, trainer_of_run(config))
        pool = executor_of_run(config, run, worker_setup(config), workers=config.search.workers)
        with opened_meter(config, final=False, exclusive=pool.paused) as meter:
            study, identity, moved = opened_study(
                run, place, config, task, space, meter, rebase=rebase, repair=repair
            )
            try:
                if moved and not _rebased(config, run, study, task, space, meter, stop, identity, moved):
                    return SearchResult(run.path, "interrupted", stop.requested, run.read_front())
                update_records(run, study)
                record_identity(run, study)
                return _session(config, run, study, task, space, meter, pool, stop, progress or _silent)
            finally:
                study.close()


def _try_plugins(config: RunConfig, task: Task, space: SearchSpace) -> None:
    """Try space and strategy before anything is measured or trained.

    Raises:
        PluginError: if one of them breaks its contract, naming distribution and method.
    """
    try_space(space, task.io_spec)
    limits = Limits(None, config.search.trials)
    strategy = config.search.strategy
    try_strategy(strategy.name, StrategyContext(space, None, limits, config.search.seed), strategy.options)


def trainer_of_run(config: RunConfig) -> TrainerSpec:
    """Return what trains and evaluates the networks of a run."""
    return TrainerSpec(config.training.trainer.name, config.training.trainer.options)


def worker_setup(config: RunConfig, *, threads: int | None = None) -> WorkerSetup:
    """Return what the workers of a run are made with."""
    return WorkerSetup(
        task={"name": config.task.name, "settings": config.task.settings},
        space={"name": config.space.name, "choices": config.space.choices},
        recipe=config.training.proxy.recipe_fields(),
        threads=threads or config.search.threads_per_worker,
        estimators=[plan.estimator for plan in rung_plans(config)],
        device=config.training.device,
        trainer=trainer_of_run(config).to_json(),
    )


def executor_of_run(
    config: RunConfig, run: RunDirectory, setup: WorkerSetup, *, workers: int | None
) -> Executor:
    """Return the executor that a run names; entering it starts its workers.

    Raises:
        PluginError: if there is none of that name.
        ConfigError: if its settings are wrong.
    """
    section = config.search.executor
    return make_executor(section.name, ExecutorContext(setup, workers, run.workers_dir, section.options))


def _session(
    config: RunConfig,
    run: RunDirectory,
    study: SearchStudy,
    task: Task,
    space: SearchSpace,
    meter: LatencyMeter,
    pool: Executor,
    stop: StopRequest,
    progress: ProgressListener,
) -> SearchResult:
    log = RunLog(run)
    report = estimator_report_of_run(config, space, task.fingerprint())
    if report is not None:
        log.event(
            "estimator report",
            f"{report.estimator}: Kendall tau {report.rank_correlation}",
            estimator_report=report.to_json(),
        )
    objectives = objectives_of_run(config, task, space)
    limits = Limits(
        objectives.upper(Metric(LATENCY)), config.search.trials, objectives.upper(objectives.objective)
    )
    found = table_of_run(config, space, meter)
    latency_filter = LatencyFilter(found[1] if found else None, space, objectives)
    predict = latency_filter.predict if latency_filter.is_available else None
    predict_many = latency_filter.predict_many if latency_filter.is_available else None

    def within_sizes(architecture: Architecture) -> bool:
        return sizes_fit(architecture, space, objectives)

    def fits(architecture: Architecture) -> bool:
        return may_fit(architecture, space, latency_filter, objectives)

    prescreening = None
    if config.search.prescreening is not None:
        prescreening = PrescreeningStage(
            run,
            config.search.prescreening,
            space=space,
            latency_filter=latency_filter,
            limits=limits,
            objectives=objectives,
            seed=config.search.seed,
            log=log,
            fits=fits,
        )
    opened = open_rungs(rung_plans(config), run, study, log, objectives, space)
    rungs, stale, recovered = opened.rungs, opened.stale, opened.finished
    seed = config.search.seed
    context = StrategyContext(space, predict, limits, seed, predict_many, sizes_fit=within_sizes)
    schedules = _fidelities_of(config, rungs, context)
    first_fidelities, last_fidelities = schedules[0], schedules[-1]
    learned_from = first_fidelities.lowest
    if first_fidelities is not last_fidelities:
        last_fidelities.highest.save()  # an empty front, until prescreening has chosen
    log.event(
        "session",
        f"search for {config.search.trials} trained candidates, {learned_from.num_trained} are there; "
        f"{len(stale)} trials of a killed driver failed, {len(recovered)} were finished and count",
        version=__version__,
        stale=stale,
        recovered=recovered,
    )
    if found:
        log.event(
            "table",
            f"latencies are predicted from {found[0]}",
            table=str(found[0]),
            measuring_s=found[1].provenance.get("measuring_s"),
        )
        for rung in rungs:
            latency_filter.learn_from(rung.recorder.trials)

    def loop_until(
        fidelities: Fidelities, trials: int, queue: Sequence[Mapping[str, Choice]]
    ) -> CandidateLoop:
        return CandidateLoop(
            config.search.model_copy(update={"trials": trials}),
            task=task,
            space=space,
            meter=meter,
            pool=pool,
            fidelities=fidelities,
            latency_filter=latency_filter,
            stop=stop,
            listener=progress,
            queue=queue,
        )

    queue = first_candidates(
        run,
        space,
        config.search.warm_start,
        config.search.trials,
        initial_architectures=config.search.initial_architectures,
        seed=config.search.seed,
        fits=fits,
        on_message=lambda message: log.event("left out", message),
    )
    with pool:
        loop = loop_until(
            first_fidelities, config.search.trials, not_yet_evaluated(space, queue, learned_from.trials)
        )
        ending = loop.run()
        if prescreening is not None and not stop.requested and not loop.is_out_of_time:
            ending = _prescreened(prescreening, learned_from, last_fidelities, loop_until, space, stop)
    log.event("ended", f"the search ended: {ending}")
    remarks = tuple(opened.remarks)
    return SearchResult(run.path, ending, stop.requested, last_fidelities.highest.front, report, remarks)


def _fidelities_of(config: RunConfig, rungs: Sequence[Rung], context: StrategyContext) -> list[Fidelities]:
    """Return the rungs that the strategy proposes into and those that prescreening fills, with samplers.

    They are the same but with a first estimator. Nothing is promoted then: prescreening chooses.
    """
    section, strategy = config.search.fidelities, config.search.strategy
    schedules = (
        [Fidelities(rungs, reduction_factor=section.reduction_factor)]
        if section
        else [Fidelities([rung]) for rung in rungs]
    )
    for fidelities in schedules:
        own = replace(context, rungs=fidelities.studies)
        fidelities.follow(make_sampler(strategy.name, own, strategy.options))
    return schedules


def _prescreened(
    prescreening: PrescreeningStage,
    learned_from: TrialRecorder,
    fidelities: Fidelities,
    loop_until: Callable[[Fidelities, int, Sequence[Mapping[str, Choice]]], CandidateLoop],
    space: SearchSpace,
    stop: StopRequest,
) -> str:
    """Train what prescreening chooses by what it learns from the candidates before; return the ending."""
    recorder = fidelities.lowest
    recorder.message = "prescreening networks by prediction"
    chosen = prescreening.chosen(learned_from.trials, recorder.trials, lambda: stop.requested)
    if chosen is None:
        return "interrupted"
    recorder.message = f"{len(chosen)} networks are chosen to be trained"
    return loop_until(
        fidelities, prescreening.wanted, not_yet_evaluated(space, chosen, recorder.trials)
    ).run()


def _rebased(
    config: RunConfig,
    run: RunDirectory,
    study: SearchStudy,
    task: Task,
    space: SearchSpace,
    meter: LatencyMeter,
    stop: StopRequest,
    identity: dict[str, Any],
    moved: list[str],
) -> bool:
    jobs = Jobs(
        task, space, trainer_of_run(config).make(task, space), (), _silent
    )  # networks are exported and clocked; nothing is evaluated anew

    def export(architecture: Architecture, path: Path) -> None:
        jobs.export(architecture, path, seed=config.search.seed)

    rebase = Rebase(
        run,
        study,
        task=task,
        meter=meter,
        objectives=objectives_of_run(config, task, space),
        export=export,
        is_stopped=lambda: stop.requested,
    )
    return rebase.run(identity, moved)


def _silent(_status: object) -> None:
    """Listen to nothing."""
