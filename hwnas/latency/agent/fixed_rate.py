"""Inferences at the rate of a sensor, idle in between."""

from __future__ import annotations

import gc
import os
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from hwnas.latency.backends.errors import AgentError

# A pinned agent may not put another model on its own processors: that is for the system to decide.
_CORES_AT_START = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class FixedRateClock:
    """Runs frame k at t0 + k / rate, however long the frames before took, so that no delay adds up.

    A frame that comes while the one before still runs waits for it. One that waited for a whole period is
    dropped, as a node that only wants the newest frame would.
    """

    def __init__(self, run: Callable[[], None], rate_hz: float) -> None:
        """Begin the schedule one period from now."""
        self._run = run
        self._period_s = 1.0 / rate_hz
        self._frame = 1
        self._start_s = time.perf_counter()

    def frames(self, seconds: float) -> Dict[str, Any]:
        """Run the frames that are due in the next `seconds`, at least one, and return how they went.

        Returns:
            `samples_ms`, duration of every inference; `lateness_ms`, by which it began after its frame came;
            `missed`, inferences that ended after the next frame came; `dropped`, frames that were not run.
        """
        samples_ms: List[float] = []
        lateness_ms: List[float] = []
        missed = dropped = 0
        end = time.perf_counter() + seconds
        while self._due_s() < time.perf_counter():
            self._frame += 1  # came while nobody asked for frames: neither run nor dropped
        is_collecting = gc.isenabled()
        gc.disable()
        try:
            while not samples_ms or self._due_s() < end:
                late = int((time.perf_counter() - self._due_s()) / self._period_s)
                if late > 0:
                    dropped += late
                    self._frame += late
                due = self._due_s()
                wait_until(due)
                begin = time.perf_counter()
                self._run()
                done = time.perf_counter()
                samples_ms.append((done - begin) * 1000)
                lateness_ms.append((begin - due) * 1000)
                missed += done > due + self._period_s
                self._frame += 1
        finally:
            if is_collecting:
                gc.enable()
        return {"samples_ms": samples_ms, "lateness_ms": lateness_ms, "missed": missed, "dropped": dropped}

    def _due_s(self) -> float:
        return self._start_s + self._frame * self._period_s


def wait_until(moment_s: float) -> None:
    """Sleep until a moment of `time.perf_counter`; the processor idles, as it would between two frames."""
    wait_s = moment_s - time.perf_counter()
    if wait_s > 0:
        time.sleep(wait_s)


class BackgroundLoad:
    """Runs a model at a rate in a thread of its own, until it is stopped."""

    def __init__(self, run: Callable[[], None], rate_hz: float) -> None:
        """Prepare; nothing runs yet."""
        self._clock = FixedRateClock(run, rate_hz)
        self._ended = threading.Event()
        self._samples_ms: List[float] = []
        self._error: Optional[AgentError] = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._started_s = 0.0

    def start(self) -> None:
        """Begin to run."""
        self._started_s = time.perf_counter()
        self._thread.start()

    def stop(self) -> Dict[str, Any]:
        """End and return `achieved_hz` and `median_ms`.

        Raises:
            AgentError: if an inference failed meanwhile.
        """
        self._ended.set()
        self._thread.join()
        seconds = time.perf_counter() - self._started_s
        if self._error is not None:
            raise self._error
        ordered = sorted(self._samples_ms)
        return {
            "achieved_hz": len(ordered) / seconds,
            "median_ms": ordered[len(ordered) // 2] if ordered else None,
        }

    def _work(self) -> None:
        try:
            while not self._ended.is_set():
                self._samples_ms += self._clock.frames(0.0)["samples_ms"]
        except AgentError as error:
            self._error = error


def use_all_cores() -> None:
    """Let this process run on every processor that it was allowed when it started."""
    if _CORES_AT_START:
        os.sched_setaffinity(0, _CORES_AT_START)
