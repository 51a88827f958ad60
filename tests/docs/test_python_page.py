"""What the page about Python shows of every argument and attribute reads well on its own."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.blocks import DOCS

PAGE = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", PAGE, re.MULTILINE)
ENTRY = re.compile(r"^    (\w+): (.+)$")
NO_NOUN = re.compile(r"(of|that|for|from|to|in|on|with|by|at|as|which|whose|where|when) ")


def documented(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def entries(function_or_class: Any) -> Iterator[tuple[str, str]]:
    """Name and first line of every argument and attribute that a docstring describes."""
    section = ""
    for line in (inspect.getdoc(function_or_class) or "").splitlines():
        if re.fullmatch(r"\w+:", line):
            section = line
        elif section in {"Args:", "Attributes:"} and (found := ENTRY.match(line)):
            yield found[1], found[2]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_entries_begin_with_what_they_are(name: str) -> None:
    value = documented(name)
    described = [value]
    if isinstance(value, type):
        described += [
            one
            for key, one in inspect.getmembers(value)
            if (key == "__init__" or not key.startswith("_")) and inspect.isroutine(one)
        ]
    poor = [f"{key}: {text}" for one in described for key, text in entries(one) if NO_NOUN.match(text)]
    assert poor == [], f"say what it is first: {poor}"
