"""What the checks of graphs against versions of a runtime have in common."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+)*\Z")
_NAMED = 8


def release_of(version: str) -> tuple[int, int]:
    """Return major and minor number of a version such as `1.16` or `10.13.3.9`; (0, 0) if it is malformed."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def listed(items: Sequence[str]) -> str:
    """Return the first items for a message, and how many more there are."""
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more


@functools.cache
def known_releases(name: str) -> Mapping[str, Any]:
    """Return the content of a JSON file of this package with what each version takes."""
    known: Mapping[str, Any] = json.loads(
        files("hwnas.onnx_graphs").joinpath(name).read_text(encoding="utf-8")
    )
    return known
