"""The data of a run, known again: search, full training, comparison and export must share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.errors import StudyError
from hwnas.search.records import FINGERPRINT
from hwnas.search.run_directory import RunDirectory, read_record
from hwnas.search.study import differences
from hwnas.tasks.base import Task

_MAY_MOVE = "config.task.data"
_SHOWN = 12


def refuse_other_data(run: RunDirectory, task: Task) -> None:
    """Compare the data of a task with those that the run was searched with.

    Raises:
        StudyError: if they differ, with what differs and what to do; or if the run does not say what its data
            are.
    """
    recorded = read_record(run.identity, "`hwnas search RUN --resume` writes it anew.")
    before, now = recorded.get(FINGERPRINT), task.fingerprint()
    if before == now:
        return
    listing = "\n  ".join(_changes(run, recorded, str(before), now))
    raise StudyError(
        "All figures of one run must come from the same data, but since the search this changed:\n"
        f"  {listing}\nRestore it, or start a new run; with `search.warm_start: [{run.path}]` it begins with "
        "the networks of this one."
    )


def _changes(run: RunDirectory, recorded: Mapping[str, Any], before: str, now: str) -> list[str]:
    """Return the settings of the task that changed; if none did, that it must be the data themselves."""
    settings = run.load_config().to_json()["task"]
    known = recorded.get("config", {}).get("task", {})
    changed = differences(known, settings, path="config.task", ignored=(_MAY_MOVE,))
    return changed or [
        f"the data of the task in {settings.get('data') or 'its settings'}: samples, labels, or how they are "
        f"read, such as dataset.yaml, its sensor or its label map "
        f"(fingerprint {before[:_SHOWN]} -> {now[:_SHOWN]})"
    ]
