"""Reads the options that a target URL gives to a backend, each of them text."""

from __future__ import annotations

from typing import Sequence

from hwnas.latency.backends.errors import AgentError


def whole_number(name: str, text: str, low: int = 0, high: int = 4095) -> int:
    """Return the number in `text`.

    Raises:
        AgentError: if it is none, or outside `low`..`high`.
    """
    if not text.isdecimal() or not low <= int(text) <= high:
        raise AgentError(f"Option {name!r} must be a whole number in {low}..{high}, but is {text!r}.")
    return int(text)


def one_of(name: str, text: str, choices: Sequence[str]) -> str:
    """Return `text`.

    Raises:
        AgentError: if it is none of `choices`.
    """
    if text not in choices:
        raise AgentError(f"Option {name!r} must be one of {list(choices)}, but is {text!r}.")
    return text
