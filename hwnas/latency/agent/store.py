"""Keeps files on a board by their content. Its source is sent there and run by the board's own Python.

Standard input: the file, once asked for. Standard output, one JSON object a line: `path` if the file is there
(or has arrived whole), `send` if it is wanted, `error` with the reason otherwise. It imports nothing of
hwnas, because it runs before anything of hwnas is there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import time
from typing import Any, BinaryIO, Sequence

FRESH_S = 600.0
MARGIN_BYTES = 1 << 20


class StoreError(Exception):
    """The file cannot be kept."""


def main(arguments: Sequence[str]) -> None:
    """Store a file: kind, sha256, ending of its name, bytes, most bytes of that kind together."""
    kind, sha256, ending, size, limit = arguments
    try:
        store(kind, sha256, ending, int(size), int(limit))
    except StoreError as error:
        _say(error=str(error))
    except OSError as error:
        reason = "the disk of the target is full" if error.errno == errno.ENOSPC else error.strerror
        _say(error=f"A file for hwnas cannot be written on the target: {reason} ({error.filename}).")


def store(kind: str, sha256: str, ending: str, size: int, limit: int) -> None:
    """Have a file already, or receive it from standard input; say where it is.

    Raises:
        StoreError: if there is no room, or what arrives is not it.
        OSError: if it cannot be written.
    """
    if sys.version_info < (3, 8):  # noqa: UP036 - this is a board's interpreter
        raise StoreError(f"Python 3.8 or later is needed, but {sys.executable} is {sys.version[:6]}.")
    directory = _directory_of(kind)
    path = os.path.join(directory, sha256 + ending)
    if _is_whole(path, sha256):
        os.utime(path)
    else:
        _make_room(directory, size, limit)
        _say(send=True)
        _receive(sys.stdin.buffer, path, sha256, size)
    _say(path=path)


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _directory_of(kind: str) -> str:
    """Return the directory for one kind of files, private to this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    directory = os.path.join(cache, "hwnas", kind)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.stat(directory)
    # The agent's own code lies there: whoever may write to it may run what they like as this user.
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"{directory!r} must be yours and writable by you alone; repair it with chmod.")
    return directory


def _is_whole(path: str, sha256: str) -> bool:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for piece in iter(lambda: stream.read(1 << 20), b""):
                digest.update(piece)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == sha256


def _make_room(directory: str, size: int, limit: int) -> None:
    """Delete files used longest ago until `size` more bytes fit into `limit` and on the disk."""
    files = []
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(FileNotFoundError):  # another driver made room
            found = os.stat(path)
            files.append((found.st_mtime, found.st_size, path))
    total = sum(size_of_file for _, size_of_file, _ in files)
    for used_s, size_of_file, path in sorted(files):
        fits = total + size <= limit and shutil.disk_usage(directory).free >= size + MARGIN_BYTES
        if fits or time.time() - used_s < FRESH_S:
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        total -= size_of_file
    free = shutil.disk_usage(directory).free
    if free < size + MARGIN_BYTES:
        raise StoreError(
            f"The disk of the target is full: {directory!r} needs {(size + MARGIN_BYTES) / 1e6:.1f} MB and "
            f"has {free / 1e6:.1f} MB free. Free some space there."
        )


def _receive(stream: BinaryIO, path: str, sha256: str, size: int) -> None:
    """Write a file that is whole or absent, even if connection or power is cut meanwhile."""
    directory = os.path.dirname(path)
    part = os.path.join(directory, f".{sha256[:16]}.{os.getpid()}.part")
    try:
        with open(part, "wb") as out:
            _copy(stream, out, sha256, size)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    entry = os.open(directory, os.O_RDONLY)
    os.fsync(entry)
    os.close(entry)


def _copy(stream: BinaryIO, out: BinaryIO, sha256: str, size: int) -> None:
    digest = hashlib.sha256()
    left = size
    while left > 0:
        piece = stream.read(min(left, 1 << 18))
        if not piece:
            raise StoreError(f"The upload ended {left} bytes too early.")
        digest.update(piece)
        out.write(piece)
        left -= len(piece)
    if digest.hexdigest() != sha256:
        raise StoreError(f"The file changed while it was sent: its content is not {sha256}.")


if __name__ == "__main__":
    main(sys.argv[-5:])
