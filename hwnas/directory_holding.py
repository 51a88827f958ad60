"""Keeps other processes out of a directory that a long step works in."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas.errors import ConfigError


@contextmanager
def held_directory(directory: Path) -> Iterator[None]:
    """Keep other processes out of a directory; they are let in when this one ends, however it does.

    Args:
        directory: that exists; nothing is written into it.

    Raises:
        ConfigError: if another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process works in {directory} already. Wait for it or end it, or give another "
                "`out=`."
            ) from error
        yield
    finally:
        os.close(descriptor)
