"""Sends a file to a board once, under its content's name; the far end is `hwnas.latency.agent.store`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hwnas.errors import MeasurementError, TargetLostError, TargetReplyError
from hwnas.files import sha256_of_file
from hwnas.latency.agent import store
from hwnas.latency.transports.pipes import MessageTail
from hwnas.latency.transports.replies import checked_upload_reply
from hwnas.processes import kill_group, start
from hwnas.text import excerpt, visible

_ANSWER_S = 60.0
_SLOWEST_BYTES_PER_S = 100_000
_PIECE_BYTES = 1 << 20
_MAX_REPLY_BYTES = 1 << 16
# One short line for whatever shell the user has there; the program itself follows on standard input.
_BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"


@dataclass(frozen=True)
class Upload:
    """A file to be sent.

    Attributes:
        sha256: of the content, 64 hexadecimal digits.
        size_bytes: of the content.
        source: the content itself, or the file that holds it: large ones are read while they are sent.
    """

    sha256: str
    size_bytes: int
    source: bytes | Path

    @classmethod
    def of_file(cls, path: str | Path) -> Upload:
        """Return the upload of a file as it is now.

        Raises:
            OSError: if it cannot be read.
        """
        return cls(sha256_of_file(path), Path(path).stat().st_size, Path(path))

    def pieces(self) -> Iterator[bytes]:
        """Yield the content.

        Raises:
            OSError: if the file cannot be read any more.
        """
        if isinstance(self.source, bytes):
            yield self.source
            return
        left = self.size_bytes
        with self.source.open("rb") as stream:
            while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
                left -= len(piece)
                yield piece


def upload(
    remote: Callable[..., list[str]],
    kind: str,
    name: str,
    wanted: Upload,
    limit_bytes: int,
    explain: Callable[[int, str, str], MeasurementError],
) -> str:
    """Have a file on the board and return its path there; what is there already is not sent again.

    Args:
        remote: returns the command that runs the board's Python with some arguments.
        kind: directory in the board's cache.
        name: of the file within that directory, perhaps with directories before it.
        wanted: the file.
        limit_bytes: of all files of that kind; those used longest ago make room.
        explain: returns the error for a command that ended: exit code, what it was to do, what it said last.

    Raises:
        TargetLostError: if the connection is cut, or the board takes too long.
        MeasurementError: if the board cannot keep the file.
    """
    program = Path(store.__file__).read_bytes()
    size = wanted.size_bytes
    arguments = (str(len(program)), kind, wanted.sha256, name, str(size), str(limit_bytes))
    operation = f"upload to {kind}"
    process = start(
        remote("-c", _BOOTSTRAP, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        closes_descriptors=True,
    )
    with _messages(process) as messages:
        limit_s = _ANSWER_S + size / _SLOWEST_BYTES_PER_S
        too_long = threading.Event()

        def give_up() -> None:
            too_long.set()
            kill_group(process)

        timer = threading.Timer(limit_s, give_up)
        timer.start()
        try:
            reply = _converse(process, program, wanted)
        finally:
            timer.cancel()
            kill_group(process)
            code = process.wait()
            _close(process)
        if too_long.is_set():
            raise TargetLostError(f"The target did not finish the {operation} within {limit_s:.0f} s.")
        last = visible(messages.text()[-2000:])
        if messages.is_flood:
            raise TargetReplyError(f"The target wrote endless messages during the {operation}: {last[-200:]}")
    if "error" in reply:
        raise MeasurementError(str(reply["error"]))
    if "path" not in reply:
        raise explain(code, operation, last)
    return str(reply["path"])


def _converse(process: subprocess.Popen[bytes], program: bytes, wanted: Upload) -> Mapping[str, Any]:
    """Send the program and, if asked, the file; return the last reply, empty if the far end is gone."""
    reply = _exchange(process, [program])
    if "send" in reply:
        reply = _exchange(process, wanted.pieces())
    if not reply:
        _close_input(process)
        process.wait()
    return reply


def _exchange(process: subprocess.Popen[bytes], content: Iterable[bytes]) -> Mapping[str, Any]:
    sink, source = _pipes(process)
    with contextlib.suppress(BrokenPipeError):  # what it said before it ended is still to be read
        for piece in content:
            sink.write(piece)
        sink.flush()
    line = source.readline(_MAX_REPLY_BYTES)
    if line and not line.endswith(b"\n"):
        raise TargetReplyError(
            f"The target must answer an upload with one short line, but wrote {excerpt(line)}."
        )
    return checked_upload_reply(line, "The target")


@contextlib.contextmanager
def _messages(process: subprocess.Popen[bytes]) -> Iterator[MessageTail]:
    """Yield what a process says on its standard error."""
    assert process.stderr is not None  # noqa: S101 - opened as a pipe
    with process.stderr as stream:
        messages = MessageTail(os.dup(stream.fileno()), process.kill)
    try:
        yield messages
    finally:
        messages.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None  # noqa: S101 - opened as pipes above
    assert process.stdout is not None  # noqa: S101
    return process.stdin, process.stdout


def _close_input(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        _pipes(process)[0].close()


def _close(process: subprocess.Popen[bytes]) -> None:
    _close_input(process)
    _pipes(process)[1].close()
