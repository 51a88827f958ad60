"""Reads and writes run files.

Unknown keys are refused with their line and the nearest valid name, so that a typing mistake never silently
means the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from hwnas.config.run_config import RunConfig, without_password
from hwnas.errors import ConfigError, did_you_mean
from hwnas.files import write_bytes_atomically


def load_config(path: Path) -> RunConfig:
    """Read a run file.

    Raises:
        ConfigError: if it is missing, not YAML, or holds an unknown key or a wrong value; the
            message gives the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The run file {path} cannot be read: {error}. `hwnas init DIR` writes one."
        ) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The run file {path} is not valid YAML: {error}") from error
    _refuse_repeated_keys(root, path)
    return parse_config(value if value is not None else {}, path=path, root=root)


def parse_config(value: Any, *, path: Path | None = None, root: yaml.Node | None = None) -> RunConfig:
    """Turn plain values into a run, relative paths of the task resolved.

    Args:
        value: what the run file holds.
        path: of the run file, for messages and relative paths.
        root: of the YAML tree, for line numbers.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path or 'The run'} must hold a mapping of sections, but got {value!r}.")
    if path is not None:
        value = _with_resolved_paths(value, path.resolve().parent)
    try:
        return RunConfig.model_validate(value)
    except ValidationError as error:
        problems = dict.fromkeys(_problem(item, path, root) for item in error.errors(include_url=False))
        raise ConfigError("\n".join(problems)) from error


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved run, atomically; `load_config` gives an equal one back."""
    text = "# Resolved by hwnas: every setting of this run, defaults included.\n" + yaml.safe_dump(
        config.to_json(), sort_keys=False, allow_unicode=True
    )
    write_bytes_atomically(path, text.encode("utf-8"))


def _with_resolved_paths(value: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Let paths in settings of plug-ins, and those of files and earlier runs, count from `base`."""
    found = dict(value)
    if isinstance(found.get("task"), Mapping):
        found["task"] = {key: _resolved(key, item, base) for key, item in found["task"].items()}
    search = found.get("search")
    if isinstance(search, Mapping):
        sections: dict[str, Any] = {
            name: {key: _resolved(key, item, base) for key, item in search[name].items()}
            for name in ("strategy", "estimator", "first_estimator")
            if isinstance(search.get(name), Mapping)
        }
        if isinstance(search.get("warm_start"), list):
            sections["warm_start"] = [_resolved("warm_start", item, base) for item in search["warm_start"]]
        for name in ("worth", "cells"):
            if isinstance(search.get(name), str):
                sections[name] = _resolved(name, search[name], base)
        found["search"] = {**search, **sections}
    return found


def _resolved(key: str, value: Any, base: Path) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith(("./", "../", "~/")) or (
        key in ("data", "pretraining_data", "cells") and (base / value).exists()
    ):
        return str((base / Path(value).expanduser()).resolve())
    return value


def _problem(item: Any, path: Path | None, root: yaml.Node | None) -> str:
    # Pydantic adds the tried type of a union to the location; keys of the file come first.
    location = [part for part in item["loc"] if not _is_type_tag(part)]
    dotted = ".".join(str(part) for part in location)
    line = _line_of(root, location)
    where = f"{path or 'run.yaml'}:{line}: " if line else ""
    if item["type"] != "extra_forbidden":
        found = without_password(item["input"]) if dotted == "storage" else item["input"]
        return f"{where}`{dotted}` is {found!r}: {item['msg']}."
    valid = _valid_names(location[:-1])
    hint = did_you_mean(str(location[-1]), valid)
    section = ".".join(str(part) for part in location[:-1]) or "the top level"
    return f"{where}unknown key {dotted!r}.{hint} Valid in {section}: {', '.join(valid)}."


def _is_type_tag(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str"} or "[" in part or part.startswith("constrained-")
    )


def _valid_names(location: list[int | str]) -> list[str]:
    model: Any = RunConfig
    for part in location:
        found = model.model_fields[part].annotation
        # Of an optional section it is the section that has names.
        model = next((one for one in get_args(found) if hasattr(one, "model_fields")), found)
    return list(model.model_fields)


def _line_of(node: yaml.Node | None, location: list[int | str]) -> int | None:
    """Return the line, from 1, of the deepest part of `location` that the file holds."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = (node.value[part], node.value[part])
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return int(line)


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(
                    f"{path}:{line}: key {key.value!r} was already given in line {seen[key.value]}; "
                    "keep one of them."
                )
            seen[key.value] = line
            _refuse_repeated_keys(value, path)
