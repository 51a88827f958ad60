"""One search, from its run file to its front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hwnas
from hwnas.architecture import Architecture, Choice
from hwnas.budget import LATENCY, Metric
from hwnas.config import JOURNAL, RunConfig, save_config
from hwnas.errors import StudyError
from hwnas.estimators.worth import Worth
from hwnas.latency.base import LatencyMeter
from hwnas.search.candidate_loop import CandidateLoop
from hwnas.search.costs import costs_of_run
from hwnas.search.executors.base import Executor, ExecutorContext, WorkerSetup, make_executor
from hwnas.search.foresight import Foresight, table_of_run
from hwnas.search.funnel.stage import LookStage
from hwnas.search.interruption import StopRequest
from hwnas.search.jobs import Jobs, judge_of_search
from hwnas.search.ladder import open_ladder, rung_names
from hwnas.search.progress import ProgressListener
from hwnas.search.rebase import Rebase, update_records
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.run_target import opened_meter
from hwnas.search.stage_costs import rungs_of_run, stage_costs
from hwnas.search.storage import DriverLease
from hwnas.search.storage.place import StudyPlace, place_of_run
from hwnas.search.strategies import Limits, StrategyContext, make_sampler
from hwnas.search.study import ERROR, SearchStudy, differences
from hwnas.search.trial_book import TrialBook
from hwnas.search.trust_in_estimates import worth_of_run
from hwnas.search.warm_start import first_candidates, not_yet_judged
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.recipe import Recipe

MAY_CHANGE = (
    "hwnas_version",
    "config.task.data",  # a data set may move; its fingerprint may not change
    "config.search.trials",
    "config.search.timeout_min",
    "config.search.candidate_timeout_min",
    "config.search.workers",
    "config.search.executor",
    "config.search.funnel",
    "config.search.warm_start",
    "config.search.worth",
    "config.search.cells",
    "config.storage",  # a database may move; it must hold the study
    "config.search.threads_per_worker",
    "config.training.full",
    "config.measuring.final",
    "config.measuring.table",
)
"""Parts of a study's identity that do not shape the values of its trials."""


@dataclass(frozen=True)
class SearchResult:
    """What a session of a search leaves behind.

    Attributes:
        run: the run directory.
        ending: why the session ended.
        interrupted: whether that was Ctrl-C.
        front: content of `front.json`.
        worth: of the estimator, where it is known.
    """

    run: Path
    ending: str
    interrupted: bool
    front: dict[str, Any]
    worth: Worth | None = None

    @property
    def rungs(self) -> list[dict[str, int]]:
        """What became of candidates at each length of training, the shortest first; empty with one length."""
        return rungs_of_run(RunDirectory(self.run))

    def to_json(self) -> dict[str, Any]:
        """Return a summary as plain JSON values."""
        trials = self.front["trials"]
        own = [trial for trial in trials if trial["duplicate_of"] is None]
        states = [trial["state"] for trial in own]
        shown = ("trial", "error", "latency_ms", "cost", "figures")
        return {
            "run": str(self.run),
            "ending": self.ending,
            "interrupted": self.interrupted,
            "trained": states.count("COMPLETE"),
            "infeasible": states.count("PRUNED"),
            "failed": states.count("FAIL"),
            "duplicates": len(trials) - len(own),
            "hypervolume": self.front["hypervolume"],
            "reference_point": self.front["reference_point"],
            "rungs": self.rungs,
            "objectives": self.front["objectives"],
            "stages": [stage.to_json() for stage in stage_costs(RunDirectory(self.run))],
            "estimator_worth": None if self.worth is None else self.worth.to_json(),
            "front": [{key: member[key] for key in shown} for member in self.front["members"]],
        }


def search(
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    rebase: bool = False,
    progress: ProgressListener | None = None,
) -> SearchResult:
    """Search until enough candidates are trained, time is over, or Ctrl-C ends it.

    Args:
        config: the run; on resume it may differ from the recorded one where that changes no value.
        run_dir: of a new run, or of one to be resumed.
        resume: go on with the run that is there; without it an existing run is refused.
        rebase: on resume, measure everything again if the target has changed, see `Rebase`.
        progress: is told how far the search is.

    Raises:
        StudyError: if the run exists already, or does not; if another process drives it; if
            settings, data or target differ from the recorded ones; if candidates keep failing.
        HwnasError: if task, space, strategy or target cannot be used.
    """
    run = RunDirectory(run_dir.resolve())
    run.path.mkdir(parents=True, exist_ok=True)
    config = _with_study_name(config, run)
    place = place_of_run(run, config)
    with DriverLease(run.driver_lock), place.held(), StopRequest() as stop:
        _check_start(run, resume=resume)
        task = make_task(config.task.name, config.task.settings)
        space = make_search_space(config.space.name, task.contract, config.space.choices)
        pool = executor_of_run(config, run, worker_setup(config), workers=config.search.workers)
        with opened_meter(config, final=False, exclusive=pool.paused) as meter:
            study, identity, moved = _opened_study(run, place, config, task, space, meter, rebase=rebase)
            try:
                if moved and not _rebased(config, run, study, task, space, meter, stop, identity, moved):
                    return SearchResult(run.path, "interrupted", stop.requested, run.read_front())
                update_records(run, study)
                return _session(config, run, study, task, space, meter, pool, stop, progress or _silent)
            finally:
                study.close()


def worker_setup(config: RunConfig, *, threads: int | None = None) -> WorkerSetup:
    """Return what the workers of a run are made with."""
    return WorkerSetup(
        task={"name": config.task.name, "settings": config.task.settings},
        space={"name": config.space.name, "choices": config.space.choices},
        recipe=config.training.proxy.recipe_fields(),
        threads=threads or config.search.threads_per_worker,
        estimator={"name": config.search.estimator.name, "settings": config.search.estimator.options},
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
    worth = worth_of_run(config, space, task.fingerprint())
    if worth is not None:
        log.event("worth", f"{worth.estimator}: Kendall tau {worth.agreement}", worth=worth.to_json())
    costs = costs_of_run(config, task, space)
    limits = Limits(costs.most(Metric(LATENCY)), config.search.trials, costs.most(costs.objective))
    found = table_of_run(config, space, meter)
    foresight = Foresight(found[1] if found else None, space, costs)
    predict = foresight.predict if foresight.is_available else None
    predict_many = foresight.predict_many if foresight.is_available else None
    strategy = config.search.strategy
    context = StrategyContext(space, predict, limits, config.search.seed, predict_many)
    ladder, stale, recovered = open_ladder(config, run, study, log, costs)
    book = ladder.lowest
    book.study.set_sampler(make_sampler(strategy.name, context, strategy.options))
    log.event(
        "session",
        f"search for {config.search.trials} trained candidates, {book.num_trained} are there; "
        f"{len(stale)} trials of a killed driver failed, {len(recovered)} were finished and count",
        version=hwnas.__version__,
        stale=stale,
        recovered=recovered,
    )
    if found:
        log.event("table", f"latencies are predicted from {found[0]}", table=str(found[0]))
        foresight.learn_from(book.trials)

    def loop_until(trials: int, queue: Sequence[Mapping[str, Choice]] = ()) -> CandidateLoop:
        return CandidateLoop(
            config.search.model_copy(update={"trials": trials}),
            task=task,
            space=space,
            meter=meter,
            pool=pool,
            ladder=ladder,
            foresight=foresight,
            stop=stop,
            listener=progress,
            queue=queue,
        )

    look = None
    if config.search.funnel is not None:
        look = LookStage(
            run,
            config.search.funnel,
            space=space,
            foresight=foresight,
            limits=limits,
            costs=costs,
            seed=config.search.seed,
            log=log,
            table_s=found[1].provenance.get("measuring_s") if found else None,
        )
    first = first_candidates(
        run,
        space,
        config.search.warm_start,
        config.search.trials,
        cells=config.search.cells,
        seed=config.search.seed,
    )
    with pool:
        ending = _stages(config.search.trials, first, loop_until, look, book, space, stop)
    log.event("ended", f"the search ended: {ending}")
    return SearchResult(run.path, ending, stop.requested, ladder.highest.front, worth)


def _stages(
    trials: int,
    first: Sequence[Mapping[str, Choice]],
    loop_until: Callable[..., CandidateLoop],
    look: LookStage | None,
    book: TrialBook,
    space: SearchSpace,
    stop: StopRequest,
) -> str:
    """Train what the strategy proposes and, with a funnel, what a look then chooses; return the ending."""
    loop = loop_until(trials, not_yet_judged(space, first, book.trials))
    ending = loop.run()
    if look is None or stop.requested or loop.is_out_of_time:
        return ending
    book.message = "looking at networks by prediction"
    chosen = look.chosen(book.trials, lambda: stop.requested)
    if chosen is None:
        return "interrupted"
    book.message = f"{len(chosen)} networks are chosen to be trained"
    return loop_until(look.wanted, not_yet_judged(space, chosen, book.trials)).run()


def _with_study_name(config: RunConfig, run: RunDirectory) -> RunConfig:
    """Name the study in a database: like the run directory, or as it was when the run began."""
    if config.storage == JOURNAL or config.study is not None:
        return config
    recorded = run.load_config().study if run.exists else None
    return config.model_copy(update={"study": recorded or run.path.name})


def _check_start(run: RunDirectory, *, resume: bool) -> None:
    if run.exists and not resume:
        raise StudyError(
            f"A new run needs a directory without one, but {run.path} holds a run. "
            "Go on with --resume, or choose another directory."
        )
    if resume and not run.exists:
        raise StudyError(f"There is no run in {run.path} to resume. Start it without --resume.")


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
    setup = worker_setup(config)
    judge = judge_of_search(task, space, Recipe(**setup.recipe), **setup.estimator)
    jobs = Jobs(task, space, judge, _silent)

    def export(architecture: Architecture, path: Path) -> None:
        jobs.export(architecture, path, seed=config.search.seed)

    rebase = Rebase(
        run,
        study,
        task=task,
        meter=meter,
        costs=costs_of_run(config, task, space),
        export=export,
        is_stopped=lambda: stop.requested,
    )
    return rebase.run(identity, moved)


def _opened_study(
    run: RunDirectory,
    place: StudyPlace,
    config: RunConfig,
    task: Task,
    space: SearchSpace,
    meter: LatencyMeter,
    *,
    rebase: bool,
) -> tuple[SearchStudy, dict[str, Any], list[str]]:
    """Open or make the study; nothing is written before everything is known to fit.

    Returns:
        the study, what it is to be identified by, and what calls for a rebase.
    """
    costs = costs_of_run(config, task, space)
    identity = {
        "hwnas_version": hwnas.__version__,
        "config": config.to_json(),
        "objectives": [ERROR, str(costs.objective)],
        "task_fingerprint": task.fingerprint(),
        "target_fingerprint": dict(meter.fingerprint()),
        "choices": {gene: list(values) for gene, values in space.choices.items()},
    }
    run.make()
    study = SearchStudy(place, must_exist=run.exists)
    recorded = study.identity
    others = [study.beside(name) for name in rung_names(config)] if not run.exists else []
    if not run.exists and any(one.num_trials for one in (study, *others)):
        study.close()
        raise StudyError(
            f"A new run needs a new study, but {place} is there already. Name another one: `study`."
        )
    changed = differences(recorded, identity, ignored=MAY_CHANGE) if recorded else []
    on_target = [change for change in changed if change.startswith("target_fingerprint")]
    may_rebase = changed == on_target and config.search.fidelities is None
    if changed and not (rebase and may_rebase):
        study.close()
        listing = "\n  ".join(changed)
        remedy = " With --rebase, all networks are measured again." if may_rebase else ""
        if rebase and config.search.fidelities is not None:
            remedy = " A run with fidelities cannot be measured again: begin one with --warm-start of this."
        raise StudyError(
            f"Trials of one study must be comparable, but since {run.path} was started this changed:\n"
            f"  {listing}\nRestore it, or start a new run.{remedy}"
        )
    if not recorded:
        study.set_identity(identity)
    save_config(config, run.config)
    return study, identity, on_target


def _silent(_status: object) -> None:
    """Listen to nothing."""
