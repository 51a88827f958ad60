"""Temporary directories: removed at the end of their use, and after a `kill -9` at the next start.

Whoever uses one holds a lock on it (flock(2)), which the kernel gives back when the holder is gone, however
that came about. So a directory without a holder is rubbish, and no process number has to be trusted. Only
directories of the same user, made on this machine, are looked at.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from types import TracebackType

_MARK = ".hwnas-"
_swept: set[str] = set()
_own: weakref.WeakSet[ScratchDirectory] = weakref.WeakSet()


class ScratchDirectory:
    """A new private directory, also a context; `name` is its path."""

    def __init__(self, purpose: str, *, parent: str | None = None) -> None:
        """Make it.

        Args:
            purpose: letters, digits and `-` for its name.
            parent: where to make it; the user's temporary directory if None.

        Raises:
            OSError: if it cannot be made.
        """
        self.name, self._lock = _make(purpose, parent or tempfile.gettempdir())
        self._finalizer = weakref.finalize(self, _remove, self.name, self._lock, os.getpid())
        _own.add(self)

    def __enter__(self) -> str:
        """Return the path."""
        return self.name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it with all that is in it."""
        self.cleanup()

    def cleanup(self) -> None:
        """Remove it with all that is in it; calling it twice is harmless, and it may have been moved away."""
        self._finalizer()


def remove_own() -> None:
    """Remove every directory that this process holds: it is about to end."""
    for directory in list(_own):
        directory.cleanup()


def sweep(parent: str | None = None) -> None:
    """Remove what killed processes of this user and machine left in a directory, once per process.

    Args:
        parent: the directory; the user's temporary directory if None. What cannot be read is left alone.
    """
    try:
        directory = parent or tempfile.gettempdir()
    except OSError:  # no directory is usable; whoever needs one says so
        return
    if directory in _swept:
        return
    _swept.add(directory)
    for path in _left_behind(directory):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _make(purpose: str, parent: str) -> tuple[str, int]:
    sweep(parent)
    while True:
        path = tempfile.mkdtemp(prefix=_MARK + purpose + "-" + _machine() + "-", dir=parent)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another process has swept it before it was locked
            continue
        # Where directories cannot be locked, nobody else gets a lock either, and nothing is swept.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            return path, lock
        os.close(lock)


def _remove(path: str, lock: int, owner: int) -> None:
    if os.getpid() == owner:  # not a forked child, whose copy of the lock ends with it
        shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _left_behind(directory: str) -> Iterator[str]:
    """Yield the directories of our making in `directory`."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        if not name.startswith(_MARK) or _machine() not in name.split("-"):
            continue
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                yield path


def _machine() -> str:
    """Return eight digits for this machine: others that share a network disk may not see its locks."""
    return hashlib.sha256(os.uname().nodename.encode("utf-8", "surrogateescape")).hexdigest()[:8]
