"""The study's journal on disk, and the lease that lets one driver write it.

Optuna's own file backend leaves a lock behind when its holder is killed, and a record torn by a
kill makes everything appended after it unreadable. Here the kernel holds the lock (`flock`), so
that it ends with its holder, and a torn tail is cut off under the lock before anything follows it.

Every record ends with a checksum of itself and of the checksum before it, so that a record that was changed,
removed or put elsewhere is noticed; only a lost tail is not, and `hwnas.search.resume.recovery` finds that
out. Optuna ignores the extra field: optuna-dashboard reads the file, and may add its notes, which have none.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.storages.journal import BaseJournalBackend

from hwnas.appending import append_safely, locked, whole_size
from hwnas.errors import StudyError
from hwnas.search.storage.lines import MARK, checked_line, checksum_of_line

# Optuna's codes of the records after which a crash of the machine must not lose what came before:
# a study was created, an attribute of it was set, a trial changed its state.
_DURABLE_OPERATIONS = frozenset({0, 2, 6})
# A system attribute of a study or of a trial was set.
_SYSTEM_ATTRIBUTE_OPERATIONS = frozenset({3, 9})


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
        self._checksum = b""  # of the last known record that has one
        if not read_only:
            with locked(self._descriptor):
                os.ftruncate(self._descriptor, whole_size(self._descriptor))

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the whole records from number `log_number_from` on.

        Raises:
            StudyError: if a record is not as it was written, or is not the one that followed.
        """
        number = min(log_number_from, len(self._offsets) - 1)
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[number])
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # another process is writing it, or was killed doing so
                is_new = number == len(self._offsets) - 1
                record = self._new_record(line) if is_new else _content(line)
                number += 1
                if number > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; what matters is on the disk when this returns.

        Raises:
            StudyError: if they cannot be written, the journal is then as before; or if it is damaged.
        """
        try:
            with locked(self._descriptor):
                for _ in self.read_logs(len(self._offsets) - 1):
                    pass  # what another process appended meanwhile
                append_safely(
                    self._descriptor,
                    _lines(logs, self._checksum),
                    is_durable=any(log["op_code"] in _DURABLE_OPERATIONS for log in logs),
                )
        except OSError as error:
            raise StudyError(
                f"The journal {self._path} cannot be written: {error}. "
                "Make room or restore access, then go on with `Run.search` or `hwnas search RUN --resume`."
            ) from error

    def _new_record(self, line: bytes) -> dict[str, Any]:
        """Check a line that was not read before, and remember where it ends."""
        try:
            record, self._checksum = _checked(line, self._checksum)
        except ValueError as error:
            raise StudyError(
                f"{self._path}:{len(self._offsets)} must be the next record of a study, but {error}: "
                f"{line[:60]!r}. Restore the file from a copy, or let `hwnas search RUN --resume --repair` "
                "take the rest of the study from the records of its trials."
            ) from error
        self._offsets.append(self._offsets[-1] + len(line))
        return record


def cut_at_damage(path: Path) -> Path | None:
    """Cut a journal off before its first damaged record, and return the copy made of it; None if it is sound.

    Only the driver of the run may call this.
    """
    checksum, size = b"", 0
    with suppress(ValueError, FileNotFoundError), path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                _, checksum = _checked(line, checksum)
                size += len(line)
    if not path.exists() or size == path.stat().st_size:
        return None
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    copy = next(name for name in names if not name.exists())
    shutil.copyfile(path, copy)
    os.truncate(path, size)
    return copy


def _lines(logs: list[dict[str, Any]], checksum: bytes) -> bytes:
    """Return records as lines, each with the checksum that follows from the one before."""
    lines = []
    for log in logs:
        line, checksum = checked_line(log, checksum)
        lines.append(line)
    return b"".join(lines)


def _checked(line: bytes, before: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the record on a line, and the checksum that the next one follows from.

    Raises:
        ValueError: if it is not as it was written, or does not follow.
    """
    if MARK in line:
        return _content(line), checksum_of_line(line, before)
    record = _content(line)
    if not _is_of_dashboard(record):
        raise ValueError("has no checksum: it is damaged, or another program or version of hwnas wrote it")
    return record, before


def _content(line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict) or "op_code" not in record:
        raise ValueError("is none")
    record.pop("checksum", None)
    return record


def _is_of_dashboard(record: dict[str, Any]) -> bool:
    """Whether a record is a note that optuna-dashboard keeps in a study or a trial."""
    notes = record.get("system_attr")
    return (
        record["op_code"] in _SYSTEM_ATTRIBUTE_OPERATIONS
        and isinstance(notes, dict)
        and all(key.startswith("dashboard:") for key in notes)
    )


class DriverLease:
    """The right to drive a run; held by one process at a time, and gone when that process is.

    The lock is on the run directory itself: a lock on a file would end for others when the file is removed.
    The file names the holder.

    Raises:
        StudyError: on entering, if another process holds it.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock file in the run directory; nothing is locked yet."""
        self._path = path
        self._descriptors: list[int] = []

    def __enter__(self) -> Self:
        """Take the lease."""
        try:
            # Some network file systems lock files only; there the file is what can be locked.
            self._lock(self._path.parent, os.O_RDONLY | os.O_DIRECTORY, is_needed=False)
            file = self._lock(self._path, os.O_RDWR | os.O_CREAT, is_needed=True)
        except BaseException:
            self._release()
            raise
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        owner = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        os.ftruncate(file, 0)
        os.pwrite(file, owner.encode("utf-8"), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._release()

    def _lock(self, path: Path, flags: int, *, is_needed: bool) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = ""
            with suppress(FileNotFoundError):
                holder = self._path.read_text(encoding="utf-8", errors="replace")[:4096].strip()
            raise StudyError(
                f"One process drives a run, and another one drives {self._path.parent} already "
                f"({holder or 'it has not said who it is'}). Wait for it or end it."
            ) from error
        except OSError:
            if is_needed:
                raise
        return descriptor

    def _release(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
