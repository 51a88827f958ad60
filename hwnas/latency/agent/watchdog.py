"""Keeps one agent on a board and ends it when its driver is gone, however that came about.

The agent itself may be deep in a backend that lets nothing else run, so a process of its own watches the
connection: it hands requests on, and kills the agent with all its children once the input ends or stays
silent. The driver sends empty lines to show that it lives, because a cable that was pulled ends no input.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
from typing import Optional, Sequence, Tuple

from hwnas.processes import die_with_parent
from hwnas.scratch import ScratchDirectory

# Native thread pools read these when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
HEARTBEAT_S = 5.0
SILENCE_S = 30.0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run an agent until the driver is gone or the agent ends.

    Args:
        arguments: number of threads, then, if wished, the silence in seconds after which the driver counts as
            gone.

    Returns:
        Exit code of the agent, 128 plus the signal's number if a signal ended it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(int(arguments[0]))))
    silence_s = float(arguments[1]) if len(arguments) > 1 else SILENCE_S
    wake = _wake_on_child()
    requests, sink = os.pipe()
    watchdog = os.getpid()
    # What the agent leaves there when it is killed goes with it.
    with ScratchDirectory("agent") as scratch:
        child = os.fork()
        if child == 0:
            os.environ["TMPDIR"] = tempfile.tempdir = scratch
            return _serve(watchdog, requests, sink)
        os.close(requests)
        reason = _hand_on(0, sink, child, wake, silence_s)
        if reason:
            sys.stderr.write(reason + "\n")
            _kill_group(child)
        status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _wake_on_child() -> int:
    """Return a descriptor that becomes readable when a child ends."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(signalled)
    return wake


def _serve(watchdog: int, requests: int, sink: int) -> int:
    """Be the agent; a session of its own lets the watchdog end it with all its children."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    die_with_parent(watchdog)
    os.dup2(requests, 0)
    os.close(requests)
    os.close(sink)
    from hwnas.latency.agent import server

    return server.main()


def _hand_on(source: int, sink: int, child: int, wake: int, silence_s: float) -> str:
    """Hand requests on until the child ends, or there is a reason to end it; return that."""
    unread = b""
    while True:
        ready, _, _ = select.select([source, wake], [], [], silence_s)
        if not ready:
            return f"The driver was silent for {silence_s:g} s and counts as gone."
        if wake in ready:
            os.read(wake, 1 << 10)
            if _has_ended(child):
                return ""
        if source in ready:
            piece = os.read(source, 1 << 16)
            if not piece:
                return "The driver closed the connection."
            lines, unread = _split(unread + piece)
            try:
                _write(sink, lines)
            except BrokenPipeError:
                return ""


def _split(content: bytes) -> Tuple[bytes, bytes]:
    """Return the whole lines that are not empty, and the rest."""
    lines = content.split(b"\n")
    return b"".join(line + b"\n" for line in lines[:-1] if line), lines[-1]


def _write(sink: int, content: bytes) -> None:
    while content:
        content = content[os.write(sink, content) :]


def _has_ended(child: int) -> bool:
    # Looks without reaping: the number stays the child's until `main` has its status.
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
