"""Writes YAML that is read back equal, by `hwnas.yaml_files.reading` and by readers of YAML 1.1."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hwnas.yaml_files.reading import CORE_TAG
from hwnas.yaml_files.words import AMBIGUOUS, FLOAT, INT


def dump_yaml(value: Any, *, on_one_line: bool = False) -> str:
    """Return plain values as YAML text that `parse_yaml`, and readers of YAML 1.1, read back equal.

    Args:
        value: None, truth values, numbers, text, lists, and dicts with text keys.
        on_one_line: with braces and brackets, as it may stand behind a key; without an end of line.
    """
    if on_one_line:
        settings: dict[str, Any] = {"Dumper": _OneLineDumper, "default_flow_style": True, "width": 1 << 30}
    else:
        settings = {"Dumper": _Dumper, "width": 110}
    text: str = yaml.dump(value, sort_keys=False, allow_unicode=True, **settings)
    return re.sub(r"\n(?:\.\.\.\n)?\Z", "", text) if on_one_line else text


class _Dumper(yaml.SafeDumper):
    """Quotes what any version of YAML could read as something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _OneLineDumper(_Dumper):
    """Escapes ends of lines, which would otherwise be written as they are."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if len(text.splitlines()) > 1 or text.endswith("\n") else None
        return self.represent_scalar(CORE_TAG + "str", text, style)


_OneLineDumper.add_representer(str, _OneLineDumper.represent_text)

# Text is written in quotes if the core schema reads it as a number, or this module refuses it without them.
for _pattern in (INT, FLOAT, *(entry[0] for entry in AMBIGUOUS)):
    _whole = re.compile(f"(?:{_pattern.pattern})$", _pattern.flags)
    for _kind in (_Dumper, _OneLineDumper):
        _kind.add_implicit_resolver(CORE_TAG + "ambiguous", _whole, None)
