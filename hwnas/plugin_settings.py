"""What plug-ins say of their settings: which are paths, and a model that run files are checked by."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hwnas.errors import PluginError
from hwnas.files import is_yaml, sha256_of_file
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


def settings_by_content(group: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a plug-in as plain JSON values that tell whether two mean the same.

    Files and directories which must exist are stated by the SHA-256 of what they hold, not by where they lie
    (null where there is nothing); what the plug-in makes is left out.

    Args:
        group: of the plug-in.
        name: of the plug-in.
        settings: of it.

    Raises:
        OSError: if a file cannot be read.
    """
    declared = declared_settings(group, name) or DeclaredSettings()
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    found: dict[str, Any] = {}
    for key, value in plain.items():
        is_input = key in declared.inputs or (key in declared.names_or_files and is_yaml(str(value)))
        if key in declared.nested and isinstance(value, dict):
            found[key] = settings_by_content(group, str(plain.get(declared.nested[key])), value)
        elif is_input and isinstance(value, str):
            found[key] = _sha256_of_input(Path(value).expanduser())
        elif key not in declared.outputs:
            found[key] = value
    return found


def _sha256_of_input(path: Path) -> str | None:
    if not path.is_dir():
        return sha256_of_file(path) if path.exists() else None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            name = file.relative_to(path).as_posix()
            digest.update(f"{len(os.fsencode(name))} ".encode() + os.fsencode(name))
            digest.update(sha256_of_file(file).encode())
    return digest.hexdigest()
