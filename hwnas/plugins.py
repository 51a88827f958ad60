"""Finds search spaces, tasks, processors, trainers, data formats, backends, strategies and so on by name.

Built-in and third-party ones register the same way: as entry points of an installed
distribution, in one group a family. Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import MappingProxyType, TracebackType
from typing import Any, ContextManager, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from hwnas.errors import HwnasError, PluginError, did_you_mean, file_access_error
from hwnas.text import shown

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "hwnas.search_spaces": "factory (NetworkContract, restrictions) -> SearchSpace",
        "hwnas.tasks": "factory (settings) -> Task",
        "hwnas.processors": "factory (ProcessorContext) -> Processor",
        "hwnas.trainers": "factory (TrainerContext) -> Trainer",
        "hwnas.data_formats": "reader (path, options) -> RawScan",
        "hwnas.backends": "class with the interface of Backend",
        "hwnas.strategies": "factory (StrategyContext, *, options) -> optuna.samplers.BaseSampler",
        "hwnas.estimators": "factory (EstimatorContext) -> AccuracyEstimator",
        "hwnas.executors": "factory (ExecutorContext) -> Executor",
    }
)
"""Every entry-point group, and what is registered in it."""

_Registered = Mapping[str, Sequence[EntryPoint]]
"""Entry points by group."""


def families_in_words() -> str:
    """Return `search spaces, tasks, ... and executors`: what can be added by plug-ins, as pages list it."""
    *names, last = (group.partition(".")[2].replace("_", " ") for group in GROUPS)
    return f"{', '.join(names)} and {last}"


@dataclass(frozen=True)
class Plugin:
    """One registration.

    Attributes:
        group: entry-point group.
        name: under which it is registered.
        import_path: `module:attribute`.
        distribution: name of the distribution that registers it; empty if that is unknown.
        version: version of the distribution.
    """

    group: str
    name: str
    import_path: str
    distribution: str
    version: str

    def __str__(self) -> str:
        """Name it for people: what, from where."""
        origin = f"{self.distribution} {self.version}, " if self.distribution else ""
        return f"{self.name!r} of {self.group} ({origin}{self.import_path})"

    @property
    def attribute(self) -> str:
        """What is registered, as its author knows it."""
        return self.import_path.partition(":")[2].partition("[")[0].strip()

    def to_json(self) -> Dict[str, str]:
        """Return plain JSON values."""
        return {
            "group": self.group,
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "import_path": self.import_path,
        }


def installed_plugins(group: Optional[str] = None) -> List[Plugin]:
    """Return all registrations in a group, or in all of them, by name; a name may be there twice."""
    if group is None:
        return [plugin for each in GROUPS for plugin in installed_plugins(each)]
    found = {_plugin(group, entry): None for entry in _entries(group)}
    return sorted(found, key=lambda one: (one.name, one.distribution, one.import_path))


def _plugin(group: str, entry: EntryPoint) -> Plugin:
    origin = getattr(entry, "dist", None)  # Python 3.8 does not tell
    named = ("", "") if origin is None else _name_and_version(origin)
    return Plugin(group, entry.name, entry.value, *named)


@lru_cache(maxsize=64)
def _name_and_version(distribution: Distribution) -> Tuple[str, str]:
    return distribution.name, distribution.version


def _entries(group: str) -> Sequence[EntryPoint]:
    return _registered(tuple((path, _last_change(path)) for path in sys.path)).get(group, ())


def _last_change(path: str) -> Optional[Tuple[int, int, int]]:
    """Return what differs once a distribution has been installed in a directory of `sys.path`."""
    try:
        status = os.stat(path or ".")
    except OSError:  # there may be none
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


@lru_cache(maxsize=1)
def _registered(_installed: Tuple[Tuple[str, Optional[Tuple[int, int, int]]], ...]) -> _Registered:
    """Return the entry points of each of our groups; finding them reads a file of every distribution."""
    found = entry_points()
    if sys.version_info < (3, 10):  # noqa: UP036 - on boards
        return {group: tuple(found.get(group, ())) for group in GROUPS}
    return {group: tuple(found.select(group=group)) for group in GROUPS}


def plugin_names(group: str) -> List[str]:
    """Return the sorted names registered in `group`."""
    return sorted({entry.name for entry in _entries(group)})


def find_plugin(group: str, name: str) -> Plugin:
    """Return what is registered as `name` in `group`.

    Raises:
        PluginError: if the name is unknown, or registered by two distributions.
    """
    return _plugin(group, _entry(group, name))


def plugin_or_name(group: str, name: str) -> Union[Plugin, str]:
    """Return what is registered as `name` in `group`, or words for what is not, as an object made by hand."""
    for entry in _entries(group):
        if entry.name == name:
            return _plugin(group, entry)
    return f"{shown(name)} of {group}"


def load_plugin(group: str, name: str) -> Any:
    """Import and return the object registered as `name` in `group`.

    Raises:
        PluginError: if the name is unknown, registered by two distributions, or its import fails.
    """
    entry = _entry(group, name)
    with Blame(_plugin(group, entry), "import", "can be imported"):
        return entry.load()


def _entry(group: str, name: str) -> EntryPoint:
    entries = {_plugin(group, entry): entry for entry in _entries(group) if entry.name == name}
    if not entries:
        known = plugin_names(group)
        raise PluginError(
            f"No {shown(name)} is registered in {group!r}; known are {known}.{did_you_mean(name, known)}"
        )
    if len(entries) > 1:
        raise PluginError(
            f"{name!r} is registered in {group!r} more than once: {' and '.join(sorted(map(str, entries)))}. "
            "Uninstall all but one of these distributions."
        )
    (entry,) = entries.values()
    return entry


class Blame:
    """While it is entered, whatever code of a plug-in raises becomes a `PluginError` that names the plug-in.

    Foreign code may raise anything; a plain traceback out of hwnas would not say whose fault it is. A lack of
    memory and interruptions pass.
    """

    def __init__(
        self, plugin: Union[Plugin, str], method: str, expected: str = "", *, own_errors: bool = False
    ) -> None:
        """Prepare.

        Args:
            plugin: whose code runs.
            method: of it, as its author knows it.
            expected: what should have happened, completing "must"; empty if that is plain.
            own_errors: let what a user can act on pass: errors of hwnas, as a factory raises them for wrong
                settings, and those of the operating system about a file.
        """
        self._plugin, self._method, self._expected = plugin, method, expected
        self._own_errors = own_errors

    def __enter__(self) -> Blame:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Name the plug-in in what was raised.

        Raises:
            PluginError: in place of an exception.
        """
        if not isinstance(error, Exception) or isinstance(error, (PluginError, MemoryError)):
            return
        if self._own_errors and isinstance(error, HwnasError):
            return
        if self._own_errors and isinstance(error, OSError) and file_access_error(error) is not None:
            return
        found = f"raised {type(error).__name__}: {error}"
        if self._expected:
            raise wrong(self._plugin, self._method, self._expected, f"it {found}") from error
        raise PluginError(f"Plug-in {self._plugin}: `{self._method}` {found}") from error


def blame_of_foreign(group: str, name: str, method: str) -> ContextManager[object]:
    """Return a `Blame` for code of a plug-in, to be entered as often as needed; ours raises as it is.

    Args:
        group: of plug-ins.
        name: as registered in it, or of an object made by hand.
        method: that is called.
    """
    plugin = plugin_or_name(group, name)
    if isinstance(plugin, Plugin) and plugin.distribution == "hwnas":
        return contextlib.nullcontext()
    return Blame(plugin, method, own_errors=True)


def made_by(
    group: str,
    name: str,
    *arguments: Any,
    expected: str,
    interface: type,
    extra: Tuple[str, ...] = (),
) -> Any:
    """Return what the factory registered as `name` makes: an object with all members of an interface.

    Args:
        group: of plug-ins.
        name: of the factory.
        arguments: of the factory.
        expected: what the factory must do, completing "must".
        interface: a protocol.
        extra: special methods that count as well, such as `__enter__`.

    Raises:
        PluginError: if the name is unknown, the factory raises an error of its own, or a member is missing.
        HwnasError: what the factory raises on purpose, such as for wrong settings.
    """
    plugin = find_plugin(group, name)
    factory = load_plugin(group, name)
    with Blame(plugin, plugin.attribute, expected, own_errors=True):
        made = factory(*arguments)
    check_interface(plugin, made, interface, extra)
    return made


def refuse_other_name(group: str, name: str, found: str) -> None:
    """Refuse what calls itself otherwise than it is registered: files that name it could not be read.

    Raises:
        PluginError: naming both.
    """
    if found != name:
        raise wrong(find_plugin(group, name), "name", f"be {name!r}, as registered", f"is {found!r}")


def wrong(plugin: Union[Plugin, str], method: str, expected: str, found: str) -> PluginError:
    """Return the error about a plug-in that breaks its contract.

    Args:
        plugin: at fault.
        method: of it.
        expected: completes "must".
        found: completes "but".
    """
    return PluginError(f"Plug-in {plugin}: `{method}` must {expected}, but {found}.")


def check_interface(
    plugin: Union[Plugin, str], made: object, interface: type, extra: Tuple[str, ...] = ()
) -> None:
    """Check that an object has all members of an interface, and that its methods take what they are given.

    Args:
        plugin: that gave the object.
        made: an object, or a class whose instances are meant.
        interface: a protocol.
        extra: special methods that count as well, such as `__enter__`.

    Raises:
        PluginError: naming what is missing, or the parameters that do not fit.
    """
    own = {name for name in vars(interface) if not name.startswith("_")}
    for name in sorted({*own, *getattr(interface, "__annotations__", {}), *extra}):
        declared = vars(interface).get(name)
        is_method = inspect.isfunction(declared)
        described = f"be a {'method' if is_method else 'value'} as in {interface.__name__}"
        with Blame(plugin, name, described, own_errors=True):
            member = getattr(made, name, _MISSING)
        if member is _MISSING:
            raise wrong(plugin, name, described, "there is none")
        if is_method and declared is not None:
            is_unbound = inspect.isclass(made) and inspect.isfunction(inspect.getattr_static(made, name))
            bound = declared if is_unbound else declared.__get__(object(), object)
            check_parameters(plugin, name, member, bound)


_MISSING = object()


def check_parameters(plugin: Union[Plugin, str], name: str, member: object, declared: Any) -> None:
    """Check that a function can be called as another one.

    Args:
        plugin: that it is of.
        name: of the function.
        member: the function.
        declared: has the parameters that it will be given.

    Raises:
        PluginError: if it is no function, or does not take them.
    """
    if not callable(member):
        raise wrong(plugin, name, "be a function", f"is {type(member).__name__}")
    try:
        signature = inspect.signature(member)
    except ValueError:
        return  # written in C, which does not tell
    wanted = inspect.signature(declared).parameters.values()
    kinds = inspect.Parameter
    plain = [one for one in wanted if one.kind in {kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD}]
    named = [one.name for one in wanted if one.kind == kinds.KEYWORD_ONLY]
    try:
        signature.bind(*plain, **dict.fromkeys(named))
    except TypeError as error:
        taken = ", ".join(one.name for one in wanted if one.name != "self")
        raise wrong(plugin, name, f"take ({taken})", f"it takes {signature} ({error})") from error


def distribution_of(group: str, name: str) -> Optional[str]:
    """Return the distribution that registers `name` in `group`, such as `hwnas 1.0.0`.

    None where the name is unknown, or was registered without a distribution.
    """
    found = plugin_or_name(group, name)
    if isinstance(found, str) or not found.distribution:
        return None
    return f"{found.distribution} {found.version}"
