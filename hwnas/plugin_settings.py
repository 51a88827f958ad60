"""What plug-ins say of their settings: which are paths, and a model that run files are checked by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hwnas.errors import PluginError
from hwnas.plugins import load_plugin


@dataclass(frozen=True)
class DeclaredSettings:
    """What a plug-in says of its settings; paths in a run file count from that file.

    Attributes:
        model: a pydantic model of all settings, by which run files are checked; None where there is none.
        inputs: settings that are files or directories which must exist.
        outputs: settings that are files or directories which the plug-in makes.
        names_or_files: settings that are a path if they end in `.yaml` or `.yml`, otherwise a name.
        nested: setting that holds the settings of another plug-in of the family -> setting with its name.
    """

    model: Any = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    names_or_files: tuple[str, ...] = ()
    nested: Mapping[str, str] = field(default_factory=dict)


_Factory = TypeVar("_Factory", bound=Callable[..., Any])


def takes_settings(
    model: Any = None,
    *,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    names_or_files: tuple[str, ...] = (),
    nested: Mapping[str, str] | None = None,
) -> Callable[[_Factory], _Factory]:
    """Declare the settings of a plug-in's factory, see `DeclaredSettings`.

    @takes_settings(inputs=("data",), names_or_files=("label_map",))
    def make_my_task(settings: Mapping[str, Any]) -> MyTask: ...
    """
    declared = DeclaredSettings(model, inputs, outputs, names_or_files, dict(nested or {}))

    def declare(factory: _Factory) -> _Factory:
        factory.declared_settings = declared  # type: ignore[attr-defined]
        return factory

    return declare


def declared_settings(group: str, name: str) -> DeclaredSettings | None:
    """Return what a plug-in says of its settings; None if the plug-in cannot be loaded."""
    try:
        factory = load_plugin(group, name)
    except PluginError:
        return None
    found = getattr(factory, "declared_settings", None)
    return found if isinstance(found, DeclaredSettings) else DeclaredSettings()
