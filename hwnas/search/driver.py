"""One search, from its run file to its front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hwnas.architecture import Architecture
from hwnas.config import JOURNAL, RunConfig
from hwnas.latency.measurement import LatencyMeter
from hwnas.progress import Listener
from hwnas.search.components import checked_components, executor_of_run, trainer_of_run, worker_setup
from hwnas.search.earlier_studies import record_of_earlier
from hwnas.search.interruption import StopRequest
from hwnas.search.objectives import objectives_of_run
from hwnas.search.progress import SearchStatus, silent
from hwnas.search.resume.opening import check_start, opened_study, record_identity, with_study_name
from hwnas.search.resume.rebase import Rebase, update_records
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_target import opened_meter
from hwnas.search.session import SearchResult, SearchSession
from hwnas.search.storage import DriverLease, cut_at_damage
from hwnas.search.storage.place import place_of_run
from hwnas.search.study import SearchStudy
from hwnas.search.worker import Jobs
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.training.dry_run import dry_run


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def search(
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    rebase: bool = False,
    repair: bool = False,
    progress: Listener[SearchStatus] | None = None,
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
    check_start(run, resume=resume)
    components = checked_components(config)
    task, space = components.task, components.space
    if not resume:  # a run that is there passed
        dry_run(task, space, trainer_of_run(config))
    run.path.mkdir(parents=True, exist_ok=True)
    config = with_study_name(config, run)
    place = place_of_run(run, config)
    with DriverLease(run.driver_lock), place.held(), StopRequest() as stop:
        check_start(run, resume=resume)
        earlier = record_of_earlier(run, space, config.search.learn_from)
        if repair and config.storage == JOURNAL:
            cut_at_damage(run.study_journal)
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
                session = SearchSession(
                    config, run, study, task, space, meter, pool, stop, progress or silent, earlier
                )
                return session.run()
            finally:
                study.close()


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
        task, space, trainer_of_run(config).make(task, space), (), silent
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
