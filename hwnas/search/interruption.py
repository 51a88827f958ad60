"""Ctrl-C that ends a run between two steps instead of inside one."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 2.0
"""So long a step may go on after SIGTERM or SIGHUP, whose sender, unlike a person, does not send a second."""


class StopRequest:
    """Notes the first Ctrl-C, SIGTERM or SIGHUP; the second one interrupts as usual.

    After SIGTERM and SIGHUP the second one comes by itself, in two seconds. A SIGHUP that is ignored, as
    `nohup` has it, stays so.

    Outside the main thread, where Python handles no signals, it never notes one.
    """

    def __init__(self) -> None:
        """Note nothing yet."""
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._note)
                for number in _SIGNALS
                if signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        if self._timer is not None:
            self._timer.cancel()
        self._restore()

    def raise_if_requested(self) -> None:
        """End a step that has no result to return before it is done.

        Raises:
            KeyboardInterrupt: if a signal was noted.
        """
        if self.requested:
            raise KeyboardInterrupt

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        if number != signal.SIGINT:
            self._timer = threading.Timer(_PATIENCE_S, os.kill, (os.getpid(), number))
            self._timer.daemon = True
            self._timer.start()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
