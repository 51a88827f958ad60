"""SIGTERM and SIGHUP end a command in order: children are killed and temporary directories removed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from hwnas.scratch import remove_own

_PATIENCE_S = 2.5


class Terminated(SystemExit):
    """A signal asks this process to end; raised wherever it is, so that contexts are left."""

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        super().__init__(128 + number)
        self.number = number


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated`; one that is ignored, as `nohup` has it, stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def end_by(terminated: Terminated) -> NoReturn:
    """End this process by the signal that asked for it, once contexts are left.

    At once: Python's own end takes seconds where large libraries are loaded.
    """
    remove_own()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    signal.signal(terminated.number, signal.SIG_DFL)
    os.kill(os.getpid(), terminated.number)
    raise terminated


def _raise(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    # Should tidying take too long, the kernel ends this process, and with it its children.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    raise Terminated(number)
