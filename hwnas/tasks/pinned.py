"""An optional part of the task contract, for tasks that derive settings from their data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.tasks.base import Task


@runtime_checkable
class SupportsPinnedSettings(Protocol):
    """A task that can say what it derived from its data, so that it can be evaluated on other data."""

    def pinned_settings(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return settings that state outright what was derived from the data of this task.

        `make_task(name, {**settings, **pinned_settings, "data": other})` gives a task that treats other
        data as a network that was trained with this task expects, such as by its normalisation.
        """
        ...


def pinned_settings(task: Task, architecture: Architecture) -> dict[str, Any]:
    """Return the pinned settings of a task; empty for tasks that derive nothing from data."""
    return dict(task.pinned_settings(architecture)) if isinstance(task, SupportsPinnedSettings) else {}
