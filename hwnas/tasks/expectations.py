"""An optional part of the task contract, for tasks that can say what scans their networks expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.tasks.base import Task


@runtime_checkable
class SupportsInputExpectations(Protocol):
    """A task whose bundles state what they expect of their input."""

    def expectations(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return plain JSON values about the raw input, such as those of `ScanExpectations`."""
        ...


def expectations(task: Task, architecture: Architecture) -> dict[str, Any]:
    """Return what a network of this task expects of its raw input; empty for tasks that do not say."""
    return dict(task.expectations(architecture)) if isinstance(task, SupportsInputExpectations) else {}
