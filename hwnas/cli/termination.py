"""SIGTERM and SIGHUP end a command in order: children are killed and temporary directories removed."""

from __future__ import annotations

import signal
from types import FrameType

_PATIENCE_S = 2.5


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit; one that is ignored, as `nohup` has it, stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    # Should tidying take too long, the kernel ends this process, and with it its children.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    raise SystemExit(128 + number)
