"""Finds search spaces, tasks, data formats, runtimes, strategies and executors by name.

Built-in and third-party ones register the same way: as entry points of an installed
distribution, in one group a family.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from hwnas.errors import PluginError, did_you_mean
from hwnas.text import shown

GROUPS = (
    "hwnas.search_spaces",
    "hwnas.tasks",
    "hwnas.data_formats",
    "hwnas.runtimes",
    "hwnas.strategies",
    "hwnas.executors",
)


def plugin_names(group: str) -> list[str]:
    """Return the sorted names registered in `group`."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: str, name: str) -> Any:
    """Import and return the object registered as `name` in `group`.

    Raises:
        PluginError: if the name is unknown, registered by two distributions, or its import fails.
    """
    entries = {entry.value: entry for entry in entry_points(group=group) if entry.name == name}
    if not entries:
        known = plugin_names(group)
        raise PluginError(
            f"No {shown(name)} is registered in {group!r}; known are {known}.{did_you_mean(name, known)}"
        )
    if len(entries) > 1:
        raise PluginError(
            f"{name!r} is registered in {group!r} more than once, as {sorted(entries)}; "
            "uninstall all but one of these distributions."
        )
    (entry,) = entries.values()
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{name!r} of {group!r} ({entry.value}) cannot be imported: {error}") from error
