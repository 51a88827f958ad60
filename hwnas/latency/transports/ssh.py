"""Agents on another machine, through the system's OpenSSH client: the user's keys, hosts and detours hold."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from hwnas.errors import MeasurementError, TargetLostError, TargetUnreachableError
from hwnas.latency.agent.watchdog import HEARTBEAT_S
from hwnas.latency.target import Target, split_host
from hwnas.latency.transports.agent_archive import AgentArchive, agent_archive
from hwnas.latency.transports.connection import SharedConnection
from hwnas.latency.transports.local import LocalAgent, describe_end
from hwnas.latency.transports.quoting import remote_command
from hwnas.latency.transports.upload import Upload, upload
from hwnas.model_files.external_data import read_model_files
from hwnas.scratch import ScratchDirectory

CONFIG_VARIABLE = "HWNAS_SSH_CONFIG"
"""Names an OpenSSH configuration file to use instead of the user's."""
CONNECT_S = 10
LOST_AFTER_S = 15
"""A connection whose other end says nothing for so long is lost."""
MAX_MODELS_BYTES = 4 << 30
MAX_AGENTS_BYTES = 64 << 20
_ALIVE_S = 5
_CONNECTION_ENDED = 255
_NOT_FOUND = (126, 127)
_REFUSED = {
    "Host key verification failed": "Compare the key with the one the board shows, then accept it by "
    "connecting once by hand with 'ssh'.",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "Find out why before you remove the old key.",
    "Permission denied": "Give this user a key without a pass phrase, or one in ssh-agent, since nobody can "
    "type here; test it with 'ssh -o BatchMode=yes'.",
    "Bad owner or permissions": "Repair the file it names.",
    "Bad configuration option": "Repair the file it names.",
}


class SshTransport:
    """Starts agents on one board; all share one connection, which lasts until `close`."""

    def __init__(self, target: Target, backend_module: str) -> None:
        """Prepare; the first use connects.

        Args:
            target: with its host and the interpreter to use there.
            backend_module: of the backend that agents will load.

        Raises:
            ConfigError: if the host could not be written on a command line.
            MeasurementError: if the backend cannot travel.
        """
        self._host = target.host
        self._python = target.python or "python3"
        self._threads = target.threads
        module = "" if backend_module.startswith("hwnas.") else backend_module
        self._archive: AgentArchive = agent_archive(module)
        # Short: the path of a socket has at most about 100 characters.
        self._scratch = ScratchDirectory("ssh", parent="/tmp")  # noqa: S108 - private by mkdtemp
        socket = Path(self._scratch.name) / "socket"
        self._client = _client(target.host, socket)
        # Those that answer nothing take as long as any client may, those that answer slowly a little longer.
        connection = SharedConnection(self._client, split_host(target.host)[1], socket, CONNECT_S + _ALIVE_S)
        self._connection = connection
        self._was_reached = False
        self._finalizer = weakref.finalize(self, _disconnect, connection, self._scratch)

    def start_agent(self) -> SshAgent:
        """Start a fresh agent, after sending the program if the board does not have this version.

        Raises:
            TargetUnreachableError: if no connection comes about any more.
            MeasurementError: if none ever came about, the board refuses us, or has no fitting Python.
        """
        program = Upload(self._archive.sha256, len(self._archive.content), self._archive.content)
        try:
            path = self._place("agents", f"{program.sha256}.pyz", program, MAX_AGENTS_BYTES)
        except TargetLostError as error:
            # A board that never answered is more likely misspelt than rebooting: nothing to wait for.
            kind = TargetUnreachableError if self._was_reached else MeasurementError
            raise kind(f"There is no way to {self._host!r}. {error}") from error
        self._was_reached = True
        return SshAgent(self._remote(path, str(self._threads)), dict(os.environ), self._host)

    def place_model(self, model: Path) -> str:
        """Send what the board does not have of a model, and return its path there.

        A model with external data gets a directory of its own, named by the content of all its files; each
        keeps its place relative to the graph, which comes last.

        Raises:
            TargetLostError: if the connection is cut; no part of the model is then taken for it.
            ModelFileError: if a file of it is missing, lies outside its directory, or is not what the graph
                says.
            MeasurementError: if it cannot be read here or kept there, for instance because the disk is full.
        """
        files = read_model_files(model)
        identity = files.sha256()
        directory = f"{identity}/" if files.external else ""
        names = [*((f"{directory}{file.location}", file.path) for file in files.external)]
        names.append((f"{directory}{identity}.onnx", files.graph))
        try:
            for name, path in names:
                placed = self._place("models", name, Upload.of_file(path), MAX_MODELS_BYTES)
        except OSError as error:
            raise MeasurementError(f"The model {str(model)!r} cannot be read: {error.strerror}.") from error
        return placed

    def close(self) -> None:
        """End the shared connection."""
        self._finalizer()

    def _place(self, kind: str, name: str, wanted: Upload, limit_bytes: int) -> str:
        if not self._finalizer.alive:
            raise MeasurementError(f"The connection to {self._host!r} was closed; open a new one.")
        return upload(self._remote, kind, name, wanted, limit_bytes, self._explain)

    def _remote(self, *arguments: str) -> list[str]:
        """Return the command that runs the board's Python; each argument reaches it as it is."""
        self._connection.ensure()
        return [*self._client, "--", split_host(self._host)[1], remote_command(self._python, arguments)]

    def _explain(self, code: int, operation: str, last: str) -> MeasurementError:
        return explain_end(self._host, code, operation, last)


class SshAgent(LocalAgent):
    """The near end of one agent: the client process, kept from silence by empty lines."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], host: str) -> None:
        """Start the client."""
        self._host = host
        self._writing = threading.Lock()
        self._is_closed = threading.Event()
        super().__init__(command, environment, repr(host), closes_descriptors=True)
        threading.Thread(target=self._show_life, name="hwnas-heartbeat", daemon=True).start()

    def close(self) -> None:
        """End the agent by ending its connection; calling it twice is harmless."""
        self._is_closed.set()
        with self._writing:
            super().close()

    def _send(self, line: bytes, deadline: float) -> None:
        with self._writing:
            super()._send(line, deadline)

    def _show_life(self) -> None:
        while not self._is_closed.wait(HEARTBEAT_S):
            try:
                self._send(b"\n", time.monotonic())
            except TimeoutError:
                continue  # the board does not read at the moment; what it has not read shows life later
            except (OSError, ValueError):
                return  # the next request finds out and says how it ended

    def _describe_end(self, code: int, operation: str, last: str) -> MeasurementError:
        return explain_end(self._host, code, operation, last)


def explain_end(host: str, code: int, operation: str, last: str) -> MeasurementError:
    """Return the error for a client that ended with `code` during `operation`, having said `last`."""
    if code in _NOT_FOUND:
        return MeasurementError(
            f"Python cannot be started on {host!r}: {last}. Install Python 3.8 or later there, or name one "
            "with 'python=/path/to/python' in the target."
        )
    if code != _CONNECTION_ENDED:
        return describe_end(128 - code if 128 < code < 160 else code, operation, last)
    for sign, advice in _REFUSED.items():
        if sign in last:
            return MeasurementError(f"OpenSSH does not connect to {host!r}: {last}. {advice}")
    return TargetLostError(
        f"The connection to {host!r} was lost during {operation!r}: {last or 'OpenSSH gave no reason'}. "
        "Check that the board runs and that the network reaches it."
    )


def _client(host: str, socket: Path) -> list[str]:
    """Return the command line of the client up to the host; the user's configuration fills the rest."""
    user, _, port = split_host(host)
    options = {
        "BatchMode": "yes",
        # An unknown key is refused whatever the configuration says: figures must come from the board meant.
        "StrictHostKeyChecking": "yes",
        "ControlMaster": "no",
        "ControlPath": str(socket),
        "ControlPersist": "no",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": str(_ALIVE_S),
        "ServerAliveCountMax": str(LOST_AFTER_S // _ALIVE_S),
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "LogLevel": "ERROR",
    }
    config = os.environ.get(CONFIG_VARIABLE)
    return [
        "ssh",
        *(["-F", config] if config else []),
        *("-T", "-a", "-x"),
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        *(["-l", user] if user else []),
        *(["-p", port] if port else []),
    ]


def _disconnect(connection: SharedConnection, scratch: ScratchDirectory) -> None:
    connection.close()
    scratch.cleanup()
