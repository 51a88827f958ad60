"""Calls a task's `evaluate`, and lets no figure pass that cannot be one."""

from __future__ import annotations

import math

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.plugins import Blame, plugin_or_name, wrong
from hwnas.tasks.base import GROUP, Predict, Quality, Task


def evaluate(
    task: Task, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
) -> Quality:
    """Return what `Task.evaluate` says of a network.

    Raises:
        PluginError: if it raises an error of its own, or returns anything but a quality of 0 to 1.
        TrainingError: if the split has nothing to evaluate on.
        DataError: if the data cannot be read.
    """
    with Blame(plugin_or_name(GROUP, task.name), "evaluate", own_errors=True):
        quality = task.evaluate(predict, architecture, split=split, limit=limit)
    return checked_quality(quality, task.name, split=split)


def checked_quality(
    quality: Quality, name: str, *, method: str = "evaluate", group: str = GROUP, split: str = "val"
) -> Quality:
    """Return a quality that may be compared with others.

    Args:
        quality: as a plug-in returned it.
        name: of the plug-in.
        method: that returned it.
        group: of the plug-in.
        split: that was evaluated.

    Raises:
        PluginError: if it is none, or its value is not a number from 0 to 1.
        TrainingError: if the value is not a number because nothing was evaluated.
    """
    if not isinstance(quality, Quality):
        plugin = plugin_or_name(group, name)
        raise wrong(plugin, method, "return a Quality", f"returned {type(quality).__name__}")
    value = quality.value
    if isinstance(value, float) and math.isnan(value) and not quality.num_items:
        raise TrainingError(
            f"{quality.metric} is not a number: the split {split!r} has no labelled items of any class. Name "
            "validation data that have labels."
        )
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0.0 <= value <= 1.0:
        raise wrong(
            plugin_or_name(group, name),
            method,
            "return a quality of 0 (worst) to 1 (best)",
            f"{quality.metric} is {value!r}; divide percentages by 100, and turn errors into 1 - error",
        )
    return quality
