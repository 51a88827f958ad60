"""Opens the study of a run, if all that its trials depend on is as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.config import JOURNAL, RunConfig, save_config
from hwnas.errors import StudyError
from hwnas.estimators.base import GROUP
from hwnas.files import write_checked_json
from hwnas.latency.measurement import LatencyMeter
from hwnas.plugin_settings import settings_by_content
from hwnas.search.objectives import objectives_of_run
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record, read_record_if_any
from hwnas.search.rungs import rung_plans
from hwnas.search.storage.place import StudyPlace
from hwnas.search.study import ERROR, SearchStudy, differences
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.version import __version__

ESTIMATOR_INPUTS = "estimator_inputs"
"""Under this name an identity states what is in the files that estimators take."""
MAY_CHANGE = (
    "hwnas_version",
    "words",
    "config.task.data",  # a data set may move; its fingerprint may not change
    "config.search.trials",
    "config.search.timeout_min",
    "config.search.candidate_timeout_min",
    "config.search.workers",
    "config.search.executor",
    "config.search.prescreening",
    "config.search.warm_start",
    "config.search.learn_from",
    "config.search.estimator_report",
    "config.search.initial_architectures",
    "config.storage",  # a database may move; it must hold the study
    "config.search.threads_per_worker",
    "config.training.full",
    "config.measuring.final",
    "config.measuring.table",
)
"""Parts of a study's identity that do not shape the values of its trials."""


def with_study_name(config: RunConfig, run: RunDirectory) -> RunConfig:
    """Name the study in a database: like the run directory, or as it was when the run began."""
    if config.storage == JOURNAL or config.study is not None:
        return config
    recorded = run.load_config().study if run.exists else None
    return config.model_copy(update={"study": recorded or run.path.name})


def check_start(run: RunDirectory, *, resume: bool) -> None:
    """Refuse to start over a run, or to resume none.

    Raises:
        StudyError: if a run is there and is not to be resumed, or the other way round.
    """
    if run.exists and not resume:
        raise StudyError(
            f"A new run needs a directory without one, but {run.path} holds a run. "
            "Go on with `hwnas search RUN --resume` or `Run.open`, or choose another directory."
        )
    first = next((path for path in run.written_later if path.exists()), None)
    if not run.exists and first is not None:
        raise StudyError(
            f"A new run would replace {first}, which belongs to no run (there is no {run.config.name}). "
            "Move it away, or choose another directory."
        )
    if resume and not run.exists:
        raise StudyError(f"There is no run in {run.path} to resume. Start it without `resume=True`.")


def opened_study(
    run: RunDirectory,
    place: StudyPlace,
    config: RunConfig,
    task: Task,
    space: SearchSpace,
    meter: LatencyMeter,
    *,
    rebase: bool,
    repair: bool = False,
) -> tuple[SearchStudy, dict[str, Any], list[str]]:
    """Open or make the study; nothing is written before everything is known to fit.

    Args:
        run: directory of the run.
        place: of the study.
        config: of the run.
        task: of the run.
        space: of the run.
        meter: of the target, for its fingerprint.
        rebase: whether another target is what is wanted.
        repair: whether a study that is gone, or has lost its beginning, is to be made again.

    Returns:
        the study, what it is to be identified by, and what calls for a rebase.

    Raises:
        StudyError: if it is of another run, or not comparable with what is to come.
    """
    identity = _identity_of(config, task, space, meter)
    run.make()
    study = SearchStudy(place, must_exist=run.exists and not repair)
    recorded = study.identity
    if run.exists and not recorded:
        recorded = _identity_on_file(run, study, place, repair=repair)
    identity |= _inputs_of_estimators(config, recorded.get(ESTIMATOR_INPUTS, {}))
    try:
        if not run.exists:
            _refuse_trials_of_others(study, config, place)
        changed = differences(recorded, identity, ignored=MAY_CHANGE) if recorded else []
        on_target = _changes_of_target(changed, run, config, rebase=rebase)
    except StudyError:
        study.close()
        raise
    if not study.identity:
        study.set_identity(recorded or identity)
    save_config(config, run.config)
    return study, identity, on_target


def _identity_of(config: RunConfig, task: Task, space: SearchSpace, meter: LatencyMeter) -> dict[str, Any]:
    """Return what must not change within a study, but for what is in files, see `_inputs_of_estimators`."""
    return {
        "hwnas_version": __version__,
        "config": config.to_json(),
        "objectives": [ERROR, str(objectives_of_run(config, task, space).objective)],
        "task_fingerprint": task.fingerprint(),
        "words": task.words.to_json(),
        "target_fingerprint": dict(meter.fingerprint()),
        "choices": {gene: list(values) for gene, values in space.choices.items()},
    }


def _refuse_trials_of_others(study: SearchStudy, config: RunConfig, place: StudyPlace) -> None:
    """Refuse to begin a run in a study that has trials, on any rung.

    Raises:
        StudyError: if it has some.
    """
    lower = [study.beside(plan.study) for plan in rung_plans(config)[:-1]]
    if any(one.num_trials for one in (study, *lower)):
        raise StudyError(
            f"A new run needs a new study, but {place} is there already. Name another one: `study`."
        )


def _changes_of_target(
    changed: list[str], run: RunDirectory, config: RunConfig, *, rebase: bool
) -> list[str]:
    """Return what changed on the target since a run was started, which calls for a rebase.

    Raises:
        StudyError: if anything else changed, or no rebase is wanted or possible.
    """
    on_target = [change for change in changed if change.startswith("target_fingerprint")]
    has_rungs = len(rung_plans(config)) > 1
    may_rebase = changed == on_target and not has_rungs
    if not changed or (rebase and may_rebase):
        return on_target
    listing = "\n  ".join(changed)
    remedy = " With `rebase=True`, all networks are measured again." if may_rebase else ""
    if rebase and has_rungs:
        remedy = (
            " A run with fidelities or a first estimator cannot be measured again: begin one with "
            "`warm_start=` of this."
        )
    raise StudyError(
        f"Trials of one study must be comparable, but since {run.path} was started this changed:\n"
        f"  {listing}\nRestore it, or start a new run.{remedy}"
    )


def _inputs_of_estimators(config: RunConfig, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is in the files that estimators take, such as a supernet; nothing where they take none.

    What is not there any more counts as it was: who needs it says so.
    """
    found = {}
    for plan in rung_plans(config):
        name, settings = plan.estimator["name"], plan.estimator["settings"]
        for key, value in settings_by_content(GROUP, name, settings).items():
            if value != settings.get(key):
                place = f"{name}.{key}"
                found[place] = recorded.get(place) if value is None else value
    return {ESTIMATOR_INPUTS: found} if found else {}


def record_identity(run: RunDirectory, study: SearchStudy) -> None:
    """Keep a copy of what must not change within a study, in case the study is lost."""
    identity = {"schema_version": SCHEMA_VERSION, **study.identity}
    try:
        is_there = read_record_if_any(run.identity, "") == identity
    except StudyError:
        is_there = False  # damaged: the study itself says what it is of
    if not is_there:
        write_checked_json(run.identity, identity)


def _identity_on_file(
    run: RunDirectory, study: SearchStudy, place: StudyPlace, *, repair: bool
) -> dict[str, Any]:
    """Return what a study that has lost its beginning is to be identified by."""
    try:
        if repair:
            found = read_record(run.identity, "Restore the study from a copy, or start a new run.")
            return {key: value for key, value in found.items() if key != "schema_version"}
    except StudyError:
        study.close()
        raise
    study.close()
    raise StudyError(
        f"{run.path} holds a run, but {place} has lost the beginning of its study. Restore it from a copy, "
        "or let `hwnas search RUN --resume --repair` make it again from the records of the trials."
    )
