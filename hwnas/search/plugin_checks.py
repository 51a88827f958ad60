"""Tries every installed plug-in as far as that takes seconds and no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from hwnas.bundle.runtime.processor import ProcessorContext
from hwnas.errors import HwnasError, PluginError
from hwnas.estimators.base import SCORE, EstimatorContext, checked_estimate, make_estimator
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.latency.backend_class import backend_class
from hwnas.latency.predict.exporting import io_spec_of
from hwnas.plugins import (
    Blame,
    Plugin,
    check_interface,
    check_parameters,
    installed_plugins,
    load_plugin,
)
from hwnas.progress import Listener
from hwnas.scratch import ScratchDirectory
from hwnas.search.executors.base import ExecutorContext, WorkerSetup, make_executor
from hwnas.search.strategies import Limits, StrategyContext
from hwnas.search.strategies.dry_run import try_strategy
from hwnas.search_spaces.base import make_search_space
from hwnas.search_spaces.dry_run import try_space
from hwnas.training.trainers import Trainer, TrainerContext

Status = Literal["passed", "needs settings", "broken"]

_CONTRACT = NetworkContract(5, 16, (64,), dense_logits(6), cyclic_width=True)


@dataclass(frozen=True)
class CheckedPlugin:
    """A plug-in and what came of trying it.

    Attributes:
        plugin: tried.
        status: `needs settings` if it refuses to be made without some, or lacks what it works with here.
        problem: what is wrong or needed; empty if it passed.
    """

    plugin: Plugin
    status: Status
    problem: str = ""

    def to_json(self) -> dict[str, str]:
        """Return plain JSON values."""
        return {**self.plugin.to_json(), "status": self.status, "problem": self.problem}


def check_plugins(*, progress: Listener[Plugin] | None = None) -> list[CheckedPlugin]:
    """Try every plug-in that is installed on something tiny, by group and name.

    Args:
        progress: is given each before it is tried.
    """
    checked = []
    for plugin in installed_plugins():
        if progress is not None:
            progress(plugin)
        checked.append(check_plugin(plugin))
    return checked


def check_plugin(plugin: Plugin) -> CheckedPlugin:
    """Try one plug-in: import it, make it with its defaults, and hold it against its interface."""
    try:
        load_plugin(plugin.group, plugin.name)
        CHECKS[plugin.group](plugin)
    except PluginError as error:
        return CheckedPlugin(plugin, "broken", str(error))
    except HwnasError as error:
        return CheckedPlugin(plugin, "needs settings", str(error))
    return CheckedPlugin(plugin, "passed")


def _check_space(plugin: Plugin) -> None:
    try_space(make_search_space(plugin.name, _CONTRACT), io_spec_of)


def _check_task(plugin: Plugin) -> None:
    def wanted(settings: Mapping[str, Any]) -> None: ...

    check_parameters(plugin, plugin.attribute, load_plugin(plugin.group, plugin.name), wanted)


def _check_processor(plugin: Plugin) -> None:
    def wanted(context: ProcessorContext) -> None: ...

    check_parameters(plugin, plugin.attribute, load_plugin(plugin.group, plugin.name), wanted)


def _check_trainer(plugin: Plugin) -> None:
    from hwnas.testing.tiny import TinySpace, TinyTask

    with Blame(plugin, plugin.attribute, "make a trainer of a context", own_errors=True):
        made = load_plugin(plugin.group, plugin.name)(TrainerContext(TinyTask(), TinySpace()))
    check_interface(plugin, made, Trainer)


def _check_format(plugin: Plugin) -> None:
    def wanted(path: Path, options: Mapping[str, Any]) -> None: ...

    check_parameters(plugin, plugin.attribute, load_plugin(plugin.group, plugin.name), wanted)


def _check_backend(plugin: Plugin) -> None:
    backend_class(plugin.name)


def _check_strategy(plugin: Plugin) -> None:
    from hwnas.testing.tiny import TinySpace

    try_strategy(plugin.name, StrategyContext(TinySpace(), None, Limits(None, 10), 0))


def _check_estimator(plugin: Plugin) -> None:
    from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask

    made = make_estimator(plugin.name, EstimatorContext(TinyTask(), TinySpace()))
    if made.returns == SCORE:  # an evaluation may take as long as a training
        with ScratchDirectory("plugins") as directory:
            checked_estimate(made, ARCHITECTURE, seed=0, directory=Path(directory))


def _check_executor(plugin: Plugin) -> None:
    with ScratchDirectory("plugins") as directory:
        setup = WorkerSetup({"name": "", "settings": {}}, {"name": "", "choices": {}}, {}, 1)
        make_executor(plugin.name, ExecutorContext(setup, 1, Path(directory), {}))


CHECKS: Mapping[str, Callable[[Plugin], None]] = MappingProxyType(
    {
        "hwnas.search_spaces": _check_space,
        "hwnas.tasks": _check_task,
        "hwnas.processors": _check_processor,
        "hwnas.trainers": _check_trainer,
        "hwnas.data_formats": _check_format,
        "hwnas.backends": _check_backend,
        "hwnas.strategies": _check_strategy,
        "hwnas.estimators": _check_estimator,
        "hwnas.executors": _check_executor,
    }
)
"""How each group is tried, for every one of `GROUPS`."""
