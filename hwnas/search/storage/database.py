"""A study in a PostgreSQL database, as Optuna's own tables: optuna-dashboard opens it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hwnas.config.database_address import parse_address, secrets_of, shown_address
from hwnas.errors import ConfigError, StudyError
from hwnas.search.storage.lease import StudyLease
from hwnas.search.storage.retrying import RetryingStorage, reason_of

PATIENCE_S = 120.0
"""So long a lost connection is tried again before a search ends, resumably."""

_SCHEMA_LOCK = 0x68776E6173  # "hwnas": two drivers must not make Optuna's tables at once
_CONNECTING: dict[str, Any] = {
    "application_name": "hwnas",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that vanished without a word is noticed within half a minute."""


class DatabasePlace:
    """One study in a database.

    The password comes from the address, or from where libpq looks for it (`PGPASSWORD`, `~/.pgpass`).

    Raises:
        ConfigError: if the driver psycopg is not installed, or the address cannot be used.
    """

    def __init__(self, address: str, name: str, *, patience_s: float = PATIENCE_S) -> None:
        """Name the study; nothing is opened.

        Args:
            address: `postgresql+psycopg://user@host:port/database`.
            name: of the study.
            patience_s: so long a lost connection is tried again.
        """
        self.name = name
        self._url = parse_address(address)
        self._patience_s = patience_s
        self._lease: StudyLease | None = None
        try:
            importlib.import_module("psycopg")
        except ImportError as error:
            raise ConfigError(
                f"A study in a database needs psycopg, which cannot be imported: {error}. "
                "Install it with: pip install 'hwnas[postgres]'"
            ) from error

    def __str__(self) -> str:
        """Name study and database, without what is secret."""
        return f"study {self.name!r} in {shown_address(self._url)}"

    @contextmanager
    def opened(self, *, read_only: bool) -> Iterator[BaseStorage]:
        """Open the database; without `read_only` tables are made if missing.

        What the holder of the study opened writes nothing once another process has taken over.
        """
        with self._reached():
            storage = self._storage(read_only=read_only)
        if self._lease is not None and not read_only:
            event.listen(storage.scoped_session, "before_commit", self._lease.check)
        try:
            yield RetryingStorage(get_storage(storage), patience_s=self._patience_s)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the study's lease, see `StudyLease`."""
        with self._reached():
            lease = StudyLease(_engine(self._url), self.name)
            lease.take()
        self._lease = lease
        try:
            yield
        finally:
            self._lease = None
            lease.release()

    def _storage(self, *, read_only: bool) -> RDBStorage:
        url = self._url.render_as_string(hide_password=False)
        arguments = {"connect_args": _CONNECTING, "pool_pre_ping": True}
        if read_only:
            return RDBStorage(url, engine_kwargs=arguments, skip_table_creation=True)
        engine = _engine(self._url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
            storage = RDBStorage(url, engine_kwargs=arguments)
        engine.dispose()
        return storage

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, SQLAlchemyError, StorageInternalError) as error:
            reason = reason_of(error)
            for secret in secrets_of(self._url):
                reason = reason.replace(secret, "***")
            raise StudyError(
                f"The {self} must be reachable, but: {reason}. Is the server running, and is the password in "
                "PGPASSWORD, in ~/.pgpass or in the run file's `storage`?"
            ) from error


def _engine(url: URL) -> sqlalchemy.Engine:
    """Return an engine that opens a connection for every use."""
    return sqlalchemy.create_engine(url, connect_args=_CONNECTING, poolclass=sqlalchemy.pool.NullPool)
