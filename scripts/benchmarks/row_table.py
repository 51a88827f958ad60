"""A table of rows that only grows: JSON lines, safe against kills, refused where its settings are others.

`pandas.read_json(path, lines=True)` reads it. Beside it, with the ending `.json`, stands where its rows are
from.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hwnas.errors import ConfigError
from hwnas.files import write_json_atomically

Row = dict[str, Any]
Key = tuple[str, int]
"""Architecture, and number of the training or measurement."""


def settings_id(settings: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that differ for different settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode("ascii")).hexdigest()[:8]


def read_rows(path: Path, number: str = "seed") -> list[Row]:
    """Return the whole rows of a table; a last line without an end was being written when its writer died.

    Args:
        path: of the lines.
        number: column that, with `id`, tells rows apart.

    Raises:
        ConfigError: if another line is no row.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = []
    for position, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            lacking = {"id", number, "settings"} - set(row)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"Line {position} of {path} is no row of JSON ({error}). Delete it.") from error
        if lacking:
            raise ConfigError(f"Line {position} of {path} lacks {sorted(lacking)}. Delete it.")
        rows.append(row)
    return rows


def provenance_path(table: Path) -> Path:
    """Return where settings and sessions of a table stand."""
    return table.with_suffix(".json")


def read_provenance(table: Path) -> dict[str, Any]:
    """Return settings and sessions of a table.

    Raises:
        ConfigError: if they are not there.
    """
    path = provenance_path(table)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} does not say what {table} is of ({error}). Copy both files.") from error
    return content


class RowTable:
    """The table, open for one writer; every row says by `settings` what it was made with."""

    def __init__(self, path: Path, settings: Mapping[str, Any], number: str = "seed") -> None:
        """Open or begin a table, and cut off what is left of a row that was being written.

        Args:
            path: of the lines.
            settings: that all rows share, plain JSON values.
            number: column that, with `id`, tells rows apart.

        Raises:
            ConfigError: if it holds rows of other settings, damaged lines, or another process writes it.
        """
        self.path, self.settings, self._number = path, settings_id(settings), number
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            content = path.read_bytes()
            os.ftruncate(self._descriptor, content.rfind(b"\n") + 1)
            self.rows = read_rows(path, number)
            self._check_settings()
            self._tell(settings)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"Another process writes {self.path}. Wait for it, or name another.") from None

    def _check_settings(self) -> None:
        others = sorted({row["settings"] for row in self.rows} - {self.settings})
        if others:
            raise ConfigError(
                f"{self.path} holds rows of the settings {others}, but these are {self.settings}; what they "
                f"are stands in {provenance_path(self.path)}. Name another file, or give the same data and "
                "options."
            )

    @property
    def keys(self) -> set[Key]:
        """What is in the table."""
        return {(row["id"], row[self._number]) for row in self.rows}

    def append(self, row: Row) -> None:
        """Write one row to the disk."""
        row = {**row, "settings": self.settings}
        line = json.dumps(row, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
        while line:  # a signal or a full disk may end a write early
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)
        self.rows.append(row)

    def add_session(self, session: Mapping[str, Any]) -> str:
        """Note what the next rows are made on, and return the short name that they have for it."""
        content = read_provenance(self.path)
        name = settings_id(session)
        content["sessions"][name] = dict(session)
        write_json_atomically(provenance_path(self.path), content)
        return name

    def _tell(self, settings: Mapping[str, Any]) -> None:
        if not provenance_path(self.path).exists():
            content = {"settings_id": self.settings, "settings": dict(settings), "sessions": {}}
            write_json_atomically(provenance_path(self.path), content)

    def __enter__(self) -> RowTable:
        """Return the table."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let other processes write."""
        os.close(self._descriptor)
