"""The one connection to a board that all of OpenSSH's clients of a transport share.

OpenSSH can keep it by itself (`ControlPersist`), but then in a process that leaves its parent, and would
outlive a driver that is killed. Here it is a child like any other.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hwnas.processes import kill_group, start

_POLL_S = 0.01


class SharedConnection:
    """A client of OpenSSH that others reach through a socket.

    Args:
        client: its command line up to the host, with `ControlPath`.
        host: to connect to.
        socket: of `ControlPath`.
        patience_s: how long connecting may take.
    """

    def __init__(self, client: Sequence[str], host: str, socket: Path, patience_s: float) -> None:
        """Describe it; `ensure` connects."""
        program, *options = client
        # Of an option that is given twice, OpenSSH takes the first.
        self._command = [program, "-o", "ControlMaster=yes", "-N", *options, "--", host]
        self._socket = socket
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ensure(self) -> None:
        """Connect unless that is done. Where it fails, a client connects by itself and says what is wrong."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._socket.unlink(missing_ok=True)
            self._process = start(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                closes_descriptors=True,
            )
            deadline = time.monotonic() + self._patience_s
            while not self._socket.exists() and self._process.poll() is None:
                if time.monotonic() > deadline:
                    kill_group(self._process)
                    return
                time.sleep(_POLL_S)

    def close(self) -> None:
        """Disconnect; calling it twice is harmless."""
        with self._lock:
            if self._process is not None:
                kill_group(self._process)
                self._process = None
