"""Shorthand for arguments of `Run`: comma-separated names, and True or False for progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from hwnas.progress import Listener, Status


def listed(names: str | Sequence[str]) -> str:
    """Return names separated by commas; a text is such a list already, and not a sequence of letters."""
    return names if isinstance(names, str) else ",".join(names)


def listening(
    progress: Listener[Status] | bool,  # noqa: FBT001 - or a listener
    shown: Callable[[], AbstractContextManager[Listener[Status]]],
) -> AbstractContextManager[Listener[Status] | None]:
    """Return a context with the listener that `progress` means: a caller's own, one that shows, or none."""
    if isinstance(progress, bool):
        return shown() if progress else nullcontext(None)
    return nullcontext(progress)
