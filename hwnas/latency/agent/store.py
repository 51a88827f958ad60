"""Keeps files on a board by their content. Its source is sent there and run by the board's own Python.

A model with external data is a directory, in which each of its files is kept by content; a directory is
cleaned as one. Standard input: the file, once asked for. Standard output, one JSON object a line: `path` if
the file is there (or has arrived whole), `send` if it is wanted, `error` with the reason otherwise. It
imports nothing of hwnas, because it runs before anything of hwnas is there.
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
from typing import Any, BinaryIO, Sequence, Tuple

FRESH_S = 600.0
MARGIN_BYTES = 1 << 20


class StoreError(Exception):
    """The file cannot be kept."""


def main(arguments: Sequence[str]) -> None:
    """Store a file: kind, sha256, name, bytes, most bytes of that kind together."""
    kind, sha256, name, size, limit = arguments
    try:
        store(kind, sha256, name, int(size), int(limit))
    except StoreError as error:
        _say(error=str(error))
    except OSError as error:
        reason = "the disk of the target is full" if error.errno == errno.ENOSPC else error.strerror
        _say(error=f"A file for hwnas cannot be written on the target: {reason} ({error.filename}).")


def store(kind: str, sha256: str, name: str, size: int, limit: int) -> None:
    """Have a file already, or receive it from standard input; say where it is.

    Args:
        kind: directory in the cache.
        sha256: of the file.
        name: relative to that directory; its first part is what is cleaned as one.
        size: of the file in bytes.
        limit: of all files of that kind in bytes.

    Raises:
        StoreError: if the name leads out of the directory, there is no room, or what arrives is not it.
        OSError: if it cannot be written.
    """
    if sys.version_info < (3, 8):  # noqa: UP036 - this is a board's interpreter
        raise StoreError(f"Python 3.8 or later is needed, but {sys.executable} is {sys.version[:6]}.")
    directory = _directory_of(kind)
    first, _, rest = name.partition("/")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise StoreError(f"A file for hwnas is not kept as {name!r}, which leads elsewhere.")
    path = os.path.join(directory, name)
    if _is_whole(path, sha256):
        os.utime(path)
    else:
        _make_room(directory, size, limit, keep=first)
        if rest:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
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


def _make_room(directory: str, size: int, limit: int, keep: str) -> None:
    """Delete files and models used longest ago, but not `keep`, until `size` more bytes fit.

    They fit if `limit` bytes hold all there is, and there is room on the disk.
    """
    entries = [(*_use_of(os.path.join(directory, name)), name) for name in os.listdir(directory)]
    total = sum(size_of_entry for _, size_of_entry, _ in entries)
    for used_s, size_of_entry, name in sorted(entries):
        fits = total + size <= limit and shutil.disk_usage(directory).free >= size + MARGIN_BYTES
        if fits or time.time() - used_s < FRESH_S:
            break
        if name == keep:  # the model that is arriving
            continue
        _delete(os.path.join(directory, name))
        total -= size_of_entry
    free = shutil.disk_usage(directory).free
    if free < size + MARGIN_BYTES:
        raise StoreError(
            f"The disk of the target is full: {directory!r} needs {(size + MARGIN_BYTES) / 1e6:.1f} MB and "
            f"has {free / 1e6:.1f} MB free. Free some space there."
        )


def _use_of(path: str) -> Tuple[float, int]:
    """Return when a file, or any file of a model, was used last, and its size."""
    paths = [path]
    for parent, _, names in os.walk(path):
        paths += [os.path.join(parent, name) for name in names]
    used_s, size = 0.0, 0
    for each in paths:
        with contextlib.suppress(FileNotFoundError):  # another driver made room
            found = os.lstat(each)
            used_s = max(used_s, found.st_mtime)
            size += 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return used_s, size


def _delete(path: str) -> None:
    """Delete a file, or a directory with its graph first: what is left of a model is never taken for it."""
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            if name.endswith(".onnx"):
                _delete(os.path.join(path, name))
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


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
