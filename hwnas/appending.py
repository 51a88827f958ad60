"""Files that grow by whole lines: a line torn by a kill or a power cut is cut off before the next one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas.files import naming


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Keep other processes that do the same out of a file for the duration of a block."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def whole_size(descriptor: int) -> int:
    """Return how many bytes of the file are whole lines."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def append_safely(descriptor: int, content: bytes, *, is_durable: bool = False) -> None:
    """Append whole lines after the last whole line of a file that is open for appending.

    Args:
        descriptor: of the file; `locked`, where others write it.
        content: lines, each with its end.
        is_durable: whether they are on the disk when this returns.

    Raises:
        OSError: if they cannot be written, or not be brought to the disk; they are then cut off again.
    """
    size = whole_size(descriptor)
    os.ftruncate(descriptor, size)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if is_durable:
            os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, size)
        raise


def append_lines(path: Path, content: str) -> None:
    """Append whole lines to a text file, which is made if it is missing.

    Raises:
        OSError: naming `path`, if it cannot be written; it then ends as it did before.
    """
    with naming(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            with locked(descriptor):
                append_safely(descriptor, content.encode("utf-8"))
        finally:
            os.close(descriptor)
