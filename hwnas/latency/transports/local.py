"""Agents on this machine: child processes that end with their parent."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import MeasurementError, TargetLostError
from hwnas.latency.agent.guardian import THREAD_VARIABLES
from hwnas.processes import kill_group, module_command, start
from hwnas.scratch import ScratchDirectory

# Signals that come from outside, be it from a person, a service manager or a kernel short of memory.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_MAX_REPLY_BYTES = 64 << 20

_log = logging.getLogger(__name__)


class LocalTransport:
    """Starts agents with this interpreter; every native thread pool of theirs gets `threads` threads."""

    def __init__(self, threads: int, command: Sequence[str] = ()) -> None:
        self._command = tuple(command) or tuple(module_command("hwnas.latency.agent"))
        self._threads = threads
        # What killed agents leave there goes with it.
        self._scratch = ScratchDirectory("agents")

    def start_agent(self) -> LocalAgent:
        """Start a fresh agent process.

        Raises:
            MeasurementError: if the process cannot be started.
        """
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(self._threads))}
        environment["TMPDIR"] = self._scratch.name
        try:
            return LocalAgent(self._command, environment)
        except OSError as error:
            raise MeasurementError(
                f"The measuring process {self._command[0]!r} cannot be started: {error}. "
                "Check memory, disk space in the temporary directory and the process limit."
            ) from error

    def place_model(self, model: Path) -> str:
        """Return the absolute path of the model: an agent here reads the same files.

        Links stay: external data lies beside the link, as every runtime looks for it.
        """
        return str(model.absolute())

    def close(self) -> None:
        """Remove what agents left behind; there is no connection."""
        self._scratch.cleanup()


class LocalAgent:
    """One agent process, spoken to in JSON lines."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, closes_descriptors: bool = False
    ) -> None:
        # A file, not a pipe: the agent can never block on messages that nobody reads.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        try:
            self._process = start(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                bufsize=0,
                env=environment,
                closes_descriptors=closes_descriptors,
            )
        except OSError:
            self._messages.close()
            raise
        self._unread = b""

    @property
    def pid(self) -> int:
        """Process number of the agent."""
        return self._process.pid

    def request(self, operation: str, *, timeout_s: float, **arguments: Any) -> Mapping[str, Any]:
        """Send one request and return its reply.

        Raises:
            TargetLostError: if the agent is killed or cut off.
            MeasurementError: if it refuses, crashes, answers nonsense, or is silent for `timeout_s`.
        """
        line = json.dumps({"operation": operation, **arguments}, allow_nan=False).encode() + b"\n"
        deadline = time.monotonic() + timeout_s
        try:
            self._send(line)
        except OSError as error:
            raise self._death(operation) from error
        reply = _parsed(operation, self._read_line(operation, deadline, timeout_s))
        while "working" in reply:
            _log.log(logging.WARNING if reply.get("is_waiting") else logging.INFO, "%s", reply["working"])
            deadline = time.monotonic() + timeout_s
            reply = _parsed(operation, self._read_line(operation, deadline, timeout_s))
        if "error" in reply:
            raise MeasurementError(str(reply["error"]))
        return dict(reply)

    def close(self) -> None:
        """Kill the agent and wait until it is gone; calling it twice is harmless."""
        kill_group(self._process)
        self._stdin.close()
        self._stdout.close()
        self._messages.close()

    def _send(self, line: bytes) -> None:
        while line:
            line = line[self._stdin.write(line) :]

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    def _read_line(self, operation: str, deadline: float, timeout_s: float) -> bytes:
        poll = select.poll()
        poll.register(self._stdout.fileno(), select.POLLIN | select.POLLHUP)
        pieces = [self._unread]
        size = len(self._unread)
        while b"\n" not in pieces[-1]:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poll.poll(left_ms):
                raise MeasurementError(
                    f"The measuring process gave no answer to {operation!r} within {timeout_s:g} s. "
                    "The model may hang in the runtime or the machine be overloaded; raise 'reply_timeout_s' "
                    "for very slow models."
                )
            piece = os.read(self._stdout.fileno(), 1 << 16)
            size += len(piece)
            if not piece:
                raise self._death(operation)
            if size > _MAX_REPLY_BYTES:
                raise MeasurementError(f"The answer to {operation!r} exceeds {_MAX_REPLY_BYTES} bytes.")
            pieces.append(piece)
        line, _, self._unread = b"".join(pieces).partition(b"\n")
        return line

    def _death(self, operation: str) -> MeasurementError:
        """Return the error that says how the agent ended and what it said last."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return MeasurementError(
                f"The measuring process closed its output during {operation!r} but lives on."
            )
        self._messages.seek(max(0, self._messages.seek(0, os.SEEK_END) - 2000))
        last = self._messages.read().decode(errors="replace").strip()
        return self._describe_end(code, operation, last)

    def _describe_end(self, code: int, operation: str, last: str) -> MeasurementError:
        return describe_end(code, operation, last)


def _parsed(operation: str, answer: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(answer))
    except (ValueError, TypeError) as error:
        raise MeasurementError(
            f"The measuring process must answer {operation!r} in JSON, but wrote {answer[:200]!r}. "
            "The agent on the target does not fit this version of hwnas."
        ) from error


def describe_end(code: int, operation: str, last: str) -> MeasurementError:
    """Return the error for an agent that ended.

    Args:
        code: exit code, minus the number of the signal if one ended it.
        operation: that it was asked for.
        last: what it said last.
    """
    ending = signal.Signals(-code) if code < 0 else None
    how = f"by signal {ending.name}" if ending else f"with exit code {code}"
    kind = TargetLostError if ending in _FROM_OUTSIDE else MeasurementError
    return kind(
        f"The measuring process ended {how} during {operation!r}. "
        + ("The kernel may have been short of memory. " if ending == signal.SIGKILL else "")
        + (f"It said last: {last}" if last else "It left no message.")
    )
