"""Reads and writes run files.

Unknown keys are refused with their line and the nearest valid name, so that a typing mistake never silently
means the default. Paths count from the run file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hwnas.config.paths import refuse_missing, refuse_wrong_plugin_settings, with_absolute_paths
from hwnas.config.run_config import RunConfig
from hwnas.errors import ConfigError
from hwnas.files import write_bytes_atomically
from hwnas.text import shown
from hwnas.yaml_files.reading import YamlDocument, read_yaml
from hwnas.yaml_files.schema_problems import problems_of
from hwnas.yaml_files.writing import dump_yaml

SECRET_KEYS = ("storage",)


def load_config(path: Path, *, must_exist: tuple[str, ...] = ()) -> RunConfig:
    """Read a run file.

    Args:
        path: of the run file.
        must_exist: sections whose input files and directories must be there.

    Raises:
        ConfigError: if it is missing, not YAML, or holds an unknown key or a wrong value, or names an input
            that does not exist; the message gives the line.
    """
    document = read_yaml(path, if_missing="`hwnas init DIR` writes a run file.")
    value = {} if document.value is None else document.value
    _refuse_other_than_mapping(value, str(path))
    value, stated = with_absolute_paths(value, document)
    config = parse_config(value, document=document)
    refuse_wrong_plugin_settings(value, document)
    refuse_missing(stated, document, must_exist)
    return config


def config_of(
    value: Mapping[str, Any],
    directory: Path,
    *,
    must_exist: tuple[str, ...] = ("task", "search", "measuring"),
) -> RunConfig:
    """Turn plain values into a run as `load_config` does for a file of them.

    Args:
        value: what a run file would hold.
        directory: that relative paths in it count from.
        must_exist: sections whose input files and directories must be there.

    Raises:
        ConfigError: if a key is unknown, a value is wrong, or an input does not exist.
    """
    document = YamlDocument(str(directory / "the run"), value, {})
    _refuse_other_than_mapping(value, "The run")
    whole, stated = with_absolute_paths(_with_lists(value), document)
    config = parse_config(whole)
    refuse_wrong_plugin_settings(whole, document)
    refuse_missing(stated, document, must_exist)
    return config


def parse_config(value: Any, *, document: YamlDocument | None = None) -> RunConfig:
    """Turn plain values into a run. Paths are taken as they are.

    Args:
        value: what the run file holds; tuples stand for lists.
        document: the run file, for lines in messages.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.
    """
    _refuse_other_than_mapping(value, "The run" if document is None else document.path)
    try:
        return RunConfig.model_validate(_with_lists(value))
    except ValidationError as error:
        # Not chained: pydantic's own words repeat values, which may hold a password.
        raise ConfigError(problems_of(error, RunConfig, document=document, secret=SECRET_KEYS)) from None


def _with_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved run, atomically; `load_config` gives an equal one back."""
    text = "# Resolved by hwnas: every setting of this run, defaults included.\n" + dump_yaml(
        config.to_json()
    )
    write_bytes_atomically(path, text.encode("utf-8"))


def _refuse_other_than_mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must hold a mapping of sections, but holds {shown(value)}.")
