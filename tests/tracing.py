"""Runs commands without a network, their system calls traced, to see what they would write and ask for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwnas.onnxruntime_loading import VARIABLE

_CALLS = "socket,connect,sendto,sendmsg,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2"
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|^(mkdir|rename|creat)")


def _isolated() -> list[str]:
    """The command that runs another without a network, its calls traced; or skip, with the reason."""
    for tool in ("unshare", "strace"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: see scripts/prepare_test_programs")
    network = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    command = [*network, "strace", "-f", "-qq", "-e", f"trace={_CALLS}"]
    tried = subprocess.run([*command, "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network namespace or no tracing here: {tried.stderr.decode().strip()[-200:]}")
    return command


class Traced:
    """What a command did.

    Neither `CI` nor `ORT_DISABLE_TELEMETRY` is set for it, unless among `variables`; what it may write is
    below `directory`, and its home is `directory/home`.
    """

    def __init__(self, command: Sequence[str | Path], directory: Path, **variables: str) -> None:
        self.home, self.trace = directory / "home", directory / "trace"
        own = {directory / name for name in ("home", "tmp", "work")}
        for path in own:
            path.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in {"CI", VARIABLE}}
        environment.pop("GITHUB_ACTIONS", None)
        environment.update(
            HOME=str(self.home), TMPDIR=str(directory / "tmp"), PYTHONDONTWRITEBYTECODE="1", **variables
        )
        environment.pop("XDG_CACHE_HOME", None)
        self.done = subprocess.run(
            [*_isolated(), "-o", str(self.trace), *map(str, command)],
            cwd=directory / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        lock = os.environ["HWNAS_MEASURING_LOCK"]
        self._allowed = (str(directory), lock, "/dev/", "/proc/self/", "pipe:")

    def network(self) -> list[str]:
        """Calls that reach for a network, or for the names of hosts."""
        return [
            line
            for line in self._lines()
            if (re.match(r"(socket|connect|sendto|sendmsg)\(", line) and "AF_UNIX" not in line)
            or re.search(r'"/etc/(resolv.conf|hosts)"', line)
        ]

    def written_elsewhere(self) -> list[str]:
        """Calls that would write outside of the directories of the command."""
        found = []
        for line in self._lines():
            path = re.search(r'"([^"]*)"', line)
            is_relative = path is not None and not path[1].startswith("/")  # to a directory of its own
            if path and _WRITES.search(line) and not is_relative and not path[1].startswith(self._allowed):
                found.append(line)
        return found

    def _lines(self) -> list[str]:
        """Each call, without its process number."""
        return [line.split(maxsplit=1)[1] for line in self.trace.read_text(errors="replace").splitlines()]
