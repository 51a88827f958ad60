"""The place of a run's study: opened by readers, and held by one driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from optuna.storages import BaseStorage, JournalStorage

from hwnas.config import JOURNAL, RunConfig
from hwnas.search.run_directory import RunDirectory
from hwnas.search.storage.journal import LockedJournal


class StudyPlace(Protocol):
    """Where one study lies.

    Attributes:
        name: of the study there.
    """

    name: str

    def opened(self, *, read_only: bool) -> AbstractContextManager[BaseStorage]:
        """Open the storage.

        Args:
            read_only: for readers beside a driver; nothing is written, not even a repair.

        Raises:
            StudyError: if it cannot be opened.
        """

    def held(self) -> AbstractContextManager[None]:
        """Hold the right to write the study.

        Raises:
            StudyError: if another process holds it, with its name.
        """

    def __str__(self) -> str:
        """Name the place for people, without credentials."""


class JournalPlace:
    """A journal file in a run directory; `driver.lock` beside it is what a driver holds."""

    name = "search"

    def __init__(self, journal: Path) -> None:
        """Name the file; nothing is opened."""
        self._journal = journal

    def __str__(self) -> str:
        """Return the path."""
        return str(self._journal)

    @contextmanager
    def opened(self, *, read_only: bool) -> Iterator[BaseStorage]:
        """Open the journal; without `read_only` it is made if missing, and a torn tail cut off."""
        backend = LockedJournal(self._journal, read_only=read_only)
        try:
            yield JournalStorage(backend)
        finally:
            backend.close()

    def held(self) -> AbstractContextManager[None]:
        """Hold nothing: the lock of the run directory is enough."""
        return nullcontext()


def place_of_run(run: RunDirectory, config: RunConfig) -> StudyPlace:
    """Return where a run's study lies.

    Raises:
        ConfigError: if what the storage needs is not installed.
    """
    if config.storage == JOURNAL:
        return JournalPlace(run.study_journal)
    from hwnas.search.storage.database import DatabasePlace

    return DatabasePlace(config.storage, config.study or run.path.name)
