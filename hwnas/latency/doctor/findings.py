"""One thing that was checked, and how it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        level: `ok`; `warn`: figures suffer; `problem`: something cannot be done, or figures do not count.
        check: short name of what was looked at.
        found: what is.
        advice: what to do about it, empty if nothing.
    """

    level: Literal["ok", "warn", "problem"]
    check: str
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding("ok", check, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """Return a finding that makes figures worse."""
    return Finding("warn", check, found, advice)


def problem(check: str, found: str, advice: str) -> Finding:
    """Return a finding that makes something impossible."""
    return Finding("problem", check, found, advice)
