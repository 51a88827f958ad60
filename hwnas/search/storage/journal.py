"""The study's journal on disk, and the lease that lets one driver write it.

Optuna's own file backend leaves a lock behind when its holder is killed, and a record torn by a
kill makes everything appended after it unreadable. Here the kernel holds the lock (`flock`), so
that it ends with its holder, and a torn tail is cut off under the lock before anything follows it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.storages.journal import BaseJournalBackend

from hwnas.errors import StudyError
from hwnas.files import naming

# Optuna's codes of the records after which a crash of the machine must not lose what came before:
# a study was created, an attribute of it was set, a trial changed its state.
_DURABLE_OPERATIONS = frozenset({0, 2, 6})


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _whole_size(descriptor: int) -> int:
    """Return how many bytes of the file are whole lines."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _append_line_safely(descriptor: int, content: bytes) -> None:
    """Append whole lines after the last whole line; on failure the file is as before."""
    size = _whole_size(descriptor)
    os.ftruncate(descriptor, size)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def append_lines(path: Path, content: str) -> None:
    """Append whole lines to a text file, first cutting off a line torn by a kill.

    Raises:
        OSError: if the file cannot be written; it then ends as it did before.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with naming(path), _locked(descriptor):
            _append_line_safely(descriptor, content.encode("utf-8"))
    finally:
        os.close(descriptor)


class LockedJournal(BaseJournalBackend):
    """One JSON record a line, appended whole or not at all.

    Args:
        path: of the journal; made if missing, unless `read_only`.
        read_only: leaves even a torn tail as it is, for readers beside a driver.

    Raises:
        StudyError: if the journal cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StudyError(f"The journal {path} cannot be opened: {error}.") from error
        self._offsets = [0]  # where each known record starts, and where the next one will
        if not read_only:
            with _locked(self._descriptor):
                os.ftruncate(self._descriptor, _whole_size(self._descriptor))

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the whole records from number `log_number_from` on.

        Raises:
            StudyError: if a record that was written whole cannot be read.
        """
        number = min(log_number_from, len(self._offsets) - 1)
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[number])
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # another process is writing it, or was killed doing so
                record = self._record(line, number)
                number += 1
                if number == len(self._offsets):
                    self._offsets.append(self._offsets[-1] + len(line))
                if number > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; what matters is on the disk when this returns.

        Raises:
            StudyError: if they cannot be written; the journal is then as before.
        """
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode("utf-8")
        try:
            with _locked(self._descriptor):
                _append_line_safely(self._descriptor, content)
                if any(log["op_code"] in _DURABLE_OPERATIONS for log in logs):
                    os.fsync(self._descriptor)
        except OSError as error:
            raise StudyError(
                f"The journal {self._path} cannot be written: {error}. "
                "Make room or restore access, then go on with --resume."
            ) from error

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "op_code" not in record:
            raise StudyError(
                f"{self._path}:{number + 1} must be a record of a study, but is damaged: {line[:60]!r}. "
                "Restore the file from a copy."
            )
        return record


class DriverLease:
    """The right to drive a run; held by one process at a time, and gone when that process is.

    Raises:
        StudyError: on entering, if another process holds it.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock file; nothing is locked yet."""
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lease."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 4096, 0).decode("utf-8", "replace").strip()
            os.close(self._descriptor)
            raise StudyError(
                f"One process drives a run, and another one drives {self._path.parent} already "
                f"({holder or 'it has not said who it is'}). Wait for it or end it."
            ) from error
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        owner = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, owner.encode("utf-8"), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        os.close(self._descriptor)
