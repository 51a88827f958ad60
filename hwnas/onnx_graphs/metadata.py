"""What an exported file says about itself."""

from __future__ import annotations

import json

from hwnas.architecture import Architecture
from hwnas.tasks.base import Task

PREFIX = "hwnas."


def graph_metadata(task: Task, architecture: Architecture) -> dict[str, str]:
    """Return metadata properties: what network this is, and all that a runner must know to use it.

    `hwnas.architecture_id` and `hwnas.task` are plain text. `hwnas.architecture`,
    `hwnas.class_names` and one entry for each part of the task's deployment description, such as
    `hwnas.projection`, are JSON.
    """
    values = {
        "architecture": architecture.to_json(),
        "class_names": list(task.class_names),
        **task.deployment(architecture),
    }
    text = {PREFIX + key: json.dumps(value, sort_keys=True, allow_nan=False) for key, value in values.items()}
    return {PREFIX + "architecture_id": architecture.id, PREFIX + "task": task.name, **text}
