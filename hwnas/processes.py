"""Starts every child process of the project, so that none outlives its parent, however that ends.

A parent holds the only writing end of a pipe, its lifeline; every child holds a reading end. When the parent
ends, by itself, by a signal or by `kill -9`, the kernel closes the writing end. On Linux the kernel then
kills the child's process group itself (`O_ASYNC` with `F_SETSIG`, see fcntl(2)), be the child importing,
computing in native code or stopped. Elsewhere a thread of the child waits for the end of the pipe.

`PR_SET_PDEATHSIG` would be simpler, but it is sent when the *thread* that started the child ends.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

VARIABLE = "HWNAS_LIFELINE"
_PR_SET_PDEATHSIG = 1
_F_SETSIG = 10  # of Linux; the module fcntl of older Pythons does not name it
# A program that closes inherited descriptors loses its lifeline; this shell keeps it for the program.
_KEEPER = ("/bin/sh", "-c", '"$@"; exit $?', "sh")


class Lifeline(NamedTuple):
    """A child's reading end: its descriptor, what pipe it is of, and whether the kernel acts on it."""

    descriptor: int
    inode: int
    is_kernel: int


class _Pipe:
    """The pipe of this process, made when the first child needs it; a forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: Sequence[int] | None = None
        os.register_at_fork(after_in_child=self._forget)

    def new_reader(self) -> Lifeline:
        """Return a reading end of its own for one child; the caller closes it."""
        with self._lock:
            if self._ends is None:
                self._ends = os.pipe()
            reader = self._ends[0]
        inode = os.fstat(reader).st_ino
        if sys.platform.startswith("linux"):
            # Opened anew, not duplicated: whom the kernel is to signal belongs to the open description.
            with contextlib.suppress(OSError):
                return Lifeline(os.open(f"/proc/self/fd/{reader}", os.O_RDONLY), inode, 1)
        return Lifeline(os.dup(reader), inode, 0)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)


_pipe = _Pipe()


def new_lifeline() -> Lifeline:
    """Return a reading end for one child; the caller closes its descriptor once the child has it."""
    return _pipe.new_reader()


def tie(lifeline: Lifeline, owner: int) -> None:
    """Have the kernel kill a process, or the group of number `-owner`, when the parent ends (Linux)."""
    if not lifeline.is_kernel:
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        fcntl.fcntl(lifeline.descriptor, _F_SETSIG, int(signal.SIGKILL))
        fcntl.fcntl(lifeline.descriptor, fcntl.F_SETOWN, owner)
        flags = fcntl.fcntl(lifeline.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(lifeline.descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)


def attach(lifeline: Lifeline | None = None) -> None:
    """Tie this process to the one that started it; to be called before anything large is imported.

    Args:
        lifeline: that was handed over; the one that `start` names in the environment if None.
    """
    if lifeline is None:
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return
        lifeline = Lifeline(*(int(part) for part in text.split(":")))
    try:
        found = os.fstat(lifeline.descriptor)
    except OSError:
        return
    if not stat.S_ISFIFO(found.st_mode) or found.st_ino != lifeline.inode:
        return  # the variable was inherited from a process that had another
    os.set_inheritable(lifeline.descriptor, False)
    is_leader = os.getpgrp() == os.getpid()
    tie(lifeline, -os.getpid() if is_leader else os.getpid())
    # The parent may have ended before the kernel was asked.
    if _is_cut(lifeline.descriptor):
        _end_here()
    if not lifeline.is_kernel:
        threading.Thread(target=_wait, args=(lifeline.descriptor,), daemon=True).start()


def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    closes_descriptors: bool = False,
    own_session: bool = True,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that is killed, with its process group, when this process ends.

    A Ctrl-C at the terminal reaches this process alone, which then ends its children in order.

    Args:
        command: program and arguments; for modules of the project see `module_command`.
        env: environment of the child; that of this process if None.
        pass_fds: descriptors that it inherits.
        closes_descriptors: whether the program closes what it inherits, as OpenSSH's client does.
        own_session: False for a program that asks people at the terminal; only the program itself is then
            killed.
        options: of `subprocess.Popen`.

    Raises:
        OSError: if it cannot be started.
    """
    lifeline = new_lifeline()
    try:
        process = subprocess.Popen(
            [*(_KEEPER if closes_descriptors else ()), *command],
            env={**(os.environ if env is None else env), VARIABLE: ":".join(str(part) for part in lifeline)},
            pass_fds=(*pass_fds, lifeline.descriptor),
            start_new_session=own_session,
            **options,
        )
        tie(lifeline, -process.pid if own_session else process.pid)
    finally:
        os.close(lifeline.descriptor)
    return process


def run(
    command: Sequence[str], *, content: bytes = b"", timeout_s: float | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its status and what it printed.

    Args:
        command: program and arguments.
        content: its standard input.
        timeout_s: after which it is killed with its process group.
        options: of `start`; `stderr` goes to a pipe of its own unless given.

    Raises:
        OSError: if it cannot be started.
        subprocess.TimeoutExpired: if it takes too long.
    """
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = start(command, **piped)
    try:
        out, err = process.communicate(content, timeout=timeout_s)
    finally:
        kill_group(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err or b"")


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, and ties it to its parent before it imports anything."""
    return [sys.executable, "-m", "hwnas.processes", module, *arguments]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that `start` gave, with its process group if it has one, and wait until it is gone.

    Nothing is done once somebody has waited for it: its number may be that of another process by now.
    """
    if process.returncode is not None:
        return
    # Without permission: all that is left of the group belongs to somebody else.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has ended, without waiting for it: its number stays its own."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this forked process when the thread that forked it ends (Linux).

    For processes that somebody else forks, or that outlive no thread of their parent.

    Args:
        parent: process number of the parent; this process ends if the parent is gone already.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def collect_garbage_seldom() -> None:
    """Have the collector look at new objects less often, for processes that import much and live shortly.

    Modules such as torch's are a million objects that stay. By default the collector goes through them seven
    times while they are imported, a fifth of the time that a worker takes to start.
    """
    gc.set_threshold(10_000, 20, 10)


def main() -> None:
    """Tie this process to its parent and run the module that the first argument names."""
    attach()
    collect_garbage_seldom()
    import runpy

    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _is_cut(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _wait(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    _end_here()


def _end_here() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
