"""Finds search spaces, tasks, processors, trainers, data formats, backends, strategies and so on by name.

Built-in and third-party ones register the same way: as entry points of an installed
distribution, in one group a family. Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Any, List, Optional, Type

from hwnas.errors import HwnasError, PluginError, did_you_mean, file_access_error

GROUPS = (
    "hwnas.search_spaces",
    "hwnas.tasks",
    "hwnas.processors",
    "hwnas.trainers",
    "hwnas.data_formats",
    "hwnas.backends",
    "hwnas.strategies",
    "hwnas.estimators",
    "hwnas.executors",
)


def _entries(group: str) -> List[EntryPoint]:
    if sys.version_info < (3, 10):  # noqa: UP036 - on boards
        return list(entry_points().get(group, []))
    return list(entry_points(group=group))


def plugin_names(group: str) -> List[str]:
    """Return the sorted names registered in `group`."""
    return sorted({entry.name for entry in _entries(group)})


def load_plugin(group: str, name: str) -> Any:
    """Import and return the object registered as `name` in `group`.

    Raises:
        PluginError: if the name is unknown, registered by two distributions, or its import fails.
    """
    entries = {entry.value: entry for entry in _entries(group) if entry.name == name}
    if not entries:
        known = plugin_names(group)
        raise PluginError(
            f"No {name!r} is registered in {group!r}; known are {known}.{did_you_mean(name, known)}"
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


def distribution_of(group: str, name: str) -> Optional[str]:
    """Return the distribution that registers `name` in `group`, such as `hwnas 1.0.0`.

    None where the name is unknown, or was registered without a distribution.
    """
    for entry in _entries(group):
        dist = getattr(entry, "dist", None)  # Python 3.8 does not tell
        if entry.name == name and dist is not None:
            return f"{dist.metadata['Name']} {dist.version}"
    return None


def fault_of(group: str, name: str, method: str, problem: str) -> PluginError:
    """Return the error of a plug-in that does not do what its protocol says.

    Args:
        group: of the plug-in.
        name: under which it is registered.
        method: at fault.
        problem: what was expected and what was found; the end of a sentence whose beginning names the method.
    """
    where = distribution_of(group, name)
    kind = group.rpartition(".")[2].rstrip("s").replace("_", " ")
    of = "" if where is None else f" of {where}"
    return PluginError(f"`{method}` of the {kind} {name!r}{of}: {problem}")


class Blaming:
    """Turns what goes wrong in a method of a plug-in into a `PluginError` that names it.

    Errors raised on purpose pass, and so do those of the operating system that a user can act on, a lack of
    memory, and interruptions.
    """

    def __init__(self, group: str, name: str, method: str) -> None:
        """Name the method that the block calls, see `fault_of`."""
        self._group, self._name, self._method = group, name, method

    def __enter__(self) -> Blaming:
        """Begin the call."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End the call.

        Raises:
            PluginError: instead of an error of the plug-in.
        """
        if not isinstance(error, Exception) or isinstance(error, (HwnasError, MemoryError)):
            return
        if isinstance(error, OSError) and file_access_error(error) is not None:
            return
        problem = f"raised {type(error).__name__}: {error}"
        raise fault_of(self._group, self._name, self._method, problem) from error
