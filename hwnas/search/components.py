"""What a run names, made and tried before anything is measured, trained or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hwnas.config import RunConfig
from hwnas.errors import ConfigError
from hwnas.estimators.base import check_declared_returns
from hwnas.latency.backend_class import backend_class
from hwnas.latency.target import Target
from hwnas.plugins import find_plugin
from hwnas.search.executors.base import Executor, ExecutorContext, WorkerSetup, make_executor
from hwnas.search.objectives import objectives_of_run
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_target import final_target
from hwnas.search.rungs import rung_plans
from hwnas.search.strategies import Limits, StrategyContext, SupportsEarlierStudies
from hwnas.search.strategies.dry_run import try_strategy
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.search_spaces.dry_run import try_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.trainers import TrainerSpec


@dataclass(frozen=True)
class Components:
    """Task and search space of a run."""

    task: Task
    space: SearchSpace


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def checked_components(config: RunConfig, *, for_search: bool = True) -> Components:
    """Make task and space of a run, and try whatever else it names as far as that takes a moment.

    Nothing is written, and no target is connected. Networks, losses and processors are tried later, by
    `hwnas.training.dry_run`.

    Args:
        config: the run.
        for_search: try what only a search uses, too: strategy, estimators and executor may need files that
            the run itself makes beforehand.

    Raises:
        PluginError: if a plug-in is missing or breaks its contract, naming distribution and method.
        ConfigError: if the target, a setting, an option or a choice is wrong.
        DataError: if data set or label map cannot be used.
    """
    _find_plugins(config)
    for url in (config.target, final_target(config)):
        backend_class(Target.parse(url).backend)
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    trainer_of_run(config).make(task, space)
    if for_search:
        objectives_of_run(config, task, space)
        try_space(space, task.io_spec)
        strategy, search = config.search.strategy, config.search
        limits = Limits(None, search.trials)
        sampler = try_strategy(
            strategy.name, StrategyContext(space, None, limits, search.seed), strategy.options
        )
        if search.learn_from and not isinstance(sampler, SupportsEarlierStudies):
            raise ConfigError(
                f"search.learn_from names earlier runs, but the strategy {strategy.name!r} learns from none "
                "(its sampler has no method `transfer`). Use `surrogate`, or try their fronts first, with "
                "search.warm_start."
            )
        for plan in rung_plans(config):  # making one may take as long as training a network
            check_declared_returns(plan.estimator["name"], task)
        executor_of_run(config, RunDirectory(Path()), worker_setup(config), workers=search.workers)
    return Components(task, space)


def _find_plugins(config: RunConfig) -> None:
    """Look up the plug-ins that are not made here, or only for a search."""
    search = config.search
    sections = (search.strategy, search.executor, search.estimator, search.first_estimator)
    for section in sections:
        if section is not None:
            find_plugin(section.group, section.name)


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
