"""The right to write a study in a database: one process at a time.

A row names the holder and when its right expires by the database's clock; a thread of the holder renews it.
A holder that is gone is found out in one of two ways: another process on the same machine sees that its
process id is dead, others wait until the lease has expired. A holder that slept through its expiry, and lost
the study to another process, is stopped at its next write: every commit first looks at the row.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from typing import Any

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hwnas.errors import StudyError
from hwnas.search.machine import machine_id, process_started

LEASE_S = 60.0
"""A lease that was not renewed for so long has expired."""

_MAKE = """
CREATE TABLE IF NOT EXISTS hwnas_drivers (
    study text PRIMARY KEY, token text NOT NULL, host text NOT NULL, machine text NOT NULL,
    pid integer NOT NULL, started bigint NOT NULL, since timestamptz NOT NULL, expires timestamptz NOT NULL
)
"""
_TAKE = """
INSERT INTO hwnas_drivers VALUES
    (:study, :token, :host, :machine, :pid, :started, now(), now() + make_interval(secs => :lease_s))
ON CONFLICT (study) DO UPDATE SET token = excluded.token, host = excluded.host, machine = excluded.machine,
    pid = excluded.pid, started = excluded.started, since = excluded.since, expires = excluded.expires
"""
_HOLDER = """
SELECT host, machine, pid, started, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') AS since,
    extract(epoch FROM expires - now()) AS left_s FROM hwnas_drivers WHERE study = :study
"""
_RENEW = """
UPDATE hwnas_drivers SET expires = now() + make_interval(secs => :lease_s)
WHERE study = :study AND token = :token
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('hwnas_drivers'))"


class StudyLease:
    """One process's right to one study.

    Args:
        engine: of the database; needs no pool.
        study: name of the study.
        lease_s: how long it lasts without being renewed, in seconds.
    """

    def __init__(self, engine: sqlalchemy.Engine, study: str, *, lease_s: float = LEASE_S) -> None:
        """Name the study; nothing is taken yet."""
        self._engine = engine
        self._own: dict[str, Any] = {"study": study, "token": secrets.token_hex(8), "lease_s": lease_s}
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self) -> None:
        """Take the lease.

        Raises:
            StudyError: if a living process holds it.
            SQLAlchemyError: if the database cannot be reached.
        """
        with self._engine.begin() as connection:
            connection.execute(text(_LOCK))
            connection.execute(text(_MAKE))
            holder = connection.execute(text(_HOLDER), self._own).mappings().first()
            if holder is not None and holder["left_s"] > 0 and not _is_dead_here(holder):
                raise StudyError(
                    f"One process drives a study, and another one drives {self._own['study']!r} already "
                    f"(process {holder['pid']} on {holder['host']} since {holder['since']}). Wait for it or "
                    f"end it; if it is gone, its lease expires in {holder['left_s']:.0f} s."
                )
            owner = {"host": socket.gethostname(), "machine": machine_id(), "pid": os.getpid()}
            connection.execute(text(_TAKE), {**self._own, **owner, "started": process_started(os.getpid())})
        self._renewing.start()

    def check(self, session: Session) -> None:
        """Look inside a transaction whether the lease is still ours; it stays so until the transaction ends.

        Raises:
            StudyError: if another process has taken over.
        """
        query = "SELECT token FROM hwnas_drivers WHERE study = :study FOR SHARE"
        if session.execute(text(query), self._own).scalar() != self._own["token"]:
            raise StudyError(
                f"This process has lost the study {self._own['study']!r}: it did not renew its lease within "
                f"{self._own['lease_s']:g} s, and another process has taken over. Nothing was written since."
            )

    def release(self) -> None:
        """Give the lease back; where the database cannot be reached it expires by itself."""
        self._over.set()
        self._renewing.join()
        query = "DELETE FROM hwnas_drivers WHERE study = :study AND token = :token"
        try:
            with self._engine.begin() as connection:
                connection.execute(text(query), self._own)
        except SQLAlchemyError:
            return

    def _renew(self) -> None:
        while not self._over.wait(self._own["lease_s"] / 4):
            try:
                with self._engine.begin() as connection:
                    connection.execute(text(_RENEW), self._own)
            except SQLAlchemyError:
                continue  # the next attempt comes soon; whoever writes meanwhile waits as well


def _is_dead_here(holder: Any) -> bool:
    """Whether a holder was a process of this machine and is gone."""
    return bool(holder["machine"] == machine_id() and process_started(holder["pid"]) != holder["started"])
