"""Messages that never arrived, as gaps between the stamps of others show: not every middleware tells."""

from __future__ import annotations

from collections import deque
from statistics import median

# The period is that of the last steps, of which so many must be known.
_STEPS, _FEWEST = 20, 5
# A step that is longer than so many periods has a gap, and one beyond so many is a pause.
_GAP, _PAUSE = 1.5, 20.5


class StampGaps:
    """Counts what is missing among messages of a sensor that measures at a steady rate."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._last_ns: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS)

    def arrived(self, stamp_ns: int) -> int:
        """Return how many messages are missing before one with this stamp, in nanoseconds.

        A bag that begins anew, and a sensor that was stopped, miss nothing.
        """
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None:
            return 0
        step = stamp_ns - last_ns
        if step <= 0:
            return 0
        period = median(self._steps) if len(self._steps) >= _FEWEST else None
        if period is not None and step > _GAP * period:
            return round(step / period) - 1 if step <= _PAUSE * period else 0
        self._steps.append(step)
        return 0
