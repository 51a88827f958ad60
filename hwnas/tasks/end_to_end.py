"""An optional part of the task contract, for tasks that can be clocked from a scan to its labels."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.scan import Scan
from hwnas.tasks.base import Task


@runtime_checkable
class ClockedEndToEnd(Protocol):
    """A task whose pre- and post-processing the agent knows; `deployment` states their settings."""

    def end_to_end_sample(self, architecture: Architecture) -> Scan:
        """Return a typical scan, always the same one."""
        ...


def end_to_end_sample(task: Task, architecture: Architecture) -> Scan | None:
    """Return the scan that a task is clocked with; None for tasks whose network can only be clocked alone."""
    return task.end_to_end_sample(architecture) if isinstance(task, ClockedEndToEnd) else None
