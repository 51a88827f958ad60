"""Agents on this machine: child processes that end with their parent."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hwnas.errors import ConfigError, MeasurementError, TargetLostError, TargetReplyError, TargetSilentError
from hwnas.latency.agent.watchdog import THREAD_VARIABLES
from hwnas.latency.backends.child_process import LIMIT_VARIABLE, limit_s
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.transports.pipes import (
    MAX_MESSAGES_BYTES,
    LineReader,
    LineTooLongError,
    MessageTail,
    write_within,
)
from hwnas.latency.transports.replies import HEARTBEAT, REQUEST, checked_reply, limit_bytes
from hwnas.processes import kill_group, module_command, start
from hwnas.scratch import ScratchDirectory
from hwnas.text import shortened, visible

# Signals that come from outside, be it from a person, a service manager or a kernel short of memory.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_MESSAGES_AT_ONCE = 100
_MESSAGE_CHARACTERS = 500
_LAST_CHARACTERS = 2000

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

        Links stay: external data lies beside the link, as every backend looks for it.
        """
        return str(model.absolute())

    def close(self) -> None:
        """Remove what agents left behind; there is no connection."""
        self._scratch.cleanup()


class LocalAgent:
    """One agent process, spoken to in JSON lines; it is trusted with nothing, see `replies`."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        target: str = "The measuring process",
        *,
        closes_descriptors: bool = False,
    ) -> None:
        self._process = start(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            closes_descriptors=closes_descriptors,
        )
        self._target = target
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        self._reader = LineReader(self._stdout.fileno())
        with _pipe(self._process.stderr) as messages:
            self._messages = MessageTail(os.dup(messages.fileno()), self._process.kill)
        self._number = 0
        self._fault = ""
        self._noted = ""

    @property
    def pid(self) -> int:
        """Process number of the agent."""
        return self._process.pid

    def request(self, operation: str, *, timeout_s: float, **arguments: Any) -> Mapping[str, Any]:
        """Send one request and return its reply.

        An agent whose answer cannot be relied on is ended; so is one that takes too long.

        Raises:
            TargetLostError: if the agent is killed or cut off, or answers what no answer may be.
            MeasurementError: if it refuses, crashes, is silent for `timeout_s`, or says for longer than any
                build may take that it works.
        """
        if self._fault:
            raise TargetReplyError(f"{self._target} was given up: {self._fault}")
        try:
            reply = self._converse(operation, timeout_s, arguments)
        except (TargetReplyError, TargetSilentError) as error:
            self._fault = str(error)
            self._process.kill()
            raise
        if "error" in reply:
            raise MeasurementError(str(reply["error"]))
        return reply

    def close(self) -> None:
        """Kill the agent and wait until it is gone; calling it twice is harmless."""
        kill_group(self._process)
        self._stdin.close()
        self._stdout.close()
        self._messages.close()

    def _converse(self, operation: str, timeout_s: float, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result, or for an error, through messages that it works."""
        self._number += 1
        request = {"operation": operation, **arguments, REQUEST: self._number}
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        start = time.monotonic()
        last_s = start + timeout_s + _longest_work_s(operation)
        try:
            self._send(line, start + timeout_s)
        except TimeoutError:
            raise self._silence(operation, timeout_s) from None
        except OSError as error:
            raise self._death(operation) from error
        messages = 0
        while True:
            deadline = min(time.monotonic() + timeout_s, last_s)
            try:
                answer = self._read_line(operation, limit_bytes(operation, arguments), deadline)
            except TimeoutError:
                if messages and deadline == last_s:
                    raise self._endless_work(operation, last_s - start) from None
                raise self._silence(operation, timeout_s) from None
            reply = checked_reply(operation, arguments, self._number, answer, self._target)
            if HEARTBEAT not in reply:
                return reply
            messages += 1
            self._note_work(operation, reply, messages, time.monotonic() - start)

    def _note_work(self, operation: str, reply: Mapping[str, Any], messages: int, seconds: float) -> None:
        """Pass a message on; refuse more of them than a build in earnest sends."""
        if messages > _MESSAGES_AT_ONCE + seconds:
            raise TargetReplyError(
                f"{self._target} sent {messages} messages within {seconds:.0f} s that it works on "
                f"{operation!r}; one a second is the most."
            )
        level = logging.WARNING if reply["is_waiting"] else logging.INFO
        text = shortened(reply[HEARTBEAT], _MESSAGE_CHARACTERS)
        if text != self._noted:
            self._noted = text
            _log.log(level, "%s", text)

    def _send(self, line: bytes, deadline: float) -> None:
        write_within(self._stdin.fileno(), line, deadline)

    def _read_line(self, operation: str, limit: int, deadline: float) -> bytes:
        try:
            return self._reader.read_line(limit, deadline)
        except LineTooLongError:
            raise TargetReplyError(
                f"{self._target} must answer {operation!r} in at most {limit} bytes, but wrote more."
            ) from None
        except EOFError:
            raise self._death(operation) from None

    def _endless_work(self, operation: str, seconds: float) -> MeasurementError:
        return TargetSilentError(
            f"{self._target} says for {seconds:g} s that it works on {operation!r}, which is longer than "
            f"two builds may take. Where builds take longer, set {LIMIT_VARIABLE} here to the limit that it "
            "has on the target."
        )

    def _silence(self, operation: str, timeout_s: float) -> MeasurementError:
        return TargetSilentError(
            f"{self._target} gave no answer to {operation!r} within {timeout_s:g} s. "
            "The model may hang in the backend or the machine be overloaded; raise 'reply_timeout_s' "
            "for very slow models."
        )

    def _death(self, operation: str) -> MeasurementError:
        """Return the error that says how the agent ended and what it said last."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return MeasurementError(f"{self._target} closed its output during {operation!r} but lives on.")
        last = visible(self._messages.text()[-_LAST_CHARACTERS:])
        if self._messages.is_flood:
            return TargetReplyError(
                f"{self._target} wrote more than {MAX_MESSAGES_BYTES >> 20} MiB of messages and was ended. "
                f"The last: {last[-_MESSAGE_CHARACTERS:]}"
            )
        return self._describe_end(code, operation, last)

    def _describe_end(self, code: int, operation: str, last: str) -> MeasurementError:
        return describe_end(code, operation, last)


def _longest_work_s(operation: str) -> float:
    """Return how long an agent may say that it works: as long as two builds may take, one behind another."""
    if operation == "lock":
        return 0.0  # how long to wait for it was asked for
    try:
        return 2 * limit_s()
    except AgentError as error:
        raise ConfigError(str(error)) from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - opened as pipes
    return stream


def describe_end(code: int, operation: str, last: str) -> MeasurementError:
    """Return the error for an agent that ended.

    Args:
        code: exit code, minus the number of the signal if one ended it.
        operation: that it was asked for.
        last: what it said last.
    """
    ending = signal.Signals(-code) if -code in set(signal.Signals) else None
    how = f"by signal {ending.name}" if ending else f"with exit code {code}"
    kind = TargetLostError if ending in _FROM_OUTSIDE else MeasurementError
    return kind(
        f"The measuring process ended {how} during {operation!r}. "
        + ("The kernel may have been short of memory. " if ending == signal.SIGKILL else "")
        + (f"It said last: {last}" if last else "It left no message.")
    )
