"""Markdown of what the code says: tables, code, docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any


def cell(text: str) -> str:
    """Return text as it can stand in a cell of a table."""
    return escaped(" ".join(text.split())).replace("|", "\\|")


def escaped(text: str) -> str:
    """Return text in which nothing outside `code` is markup."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(heading)} |", "|" + "---|" * len(heading)]
    lines += [f"| {' | '.join(cell(each) for each in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def code(value: Any) -> str:
    """Return a value as code."""
    return f"`{value}`"


def prose(text: str) -> str:
    """Return a docstring or help text, paragraphs kept, each on one line."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\f", ""))
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)
