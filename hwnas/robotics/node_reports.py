"""What a node that labels clouds says of itself: counts, latency by step, and whether all is well."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from hwnas.robotics.replay_results import StepLatency
from hwnas.text import counted, shortened, visible

NODE_STEPS = ("decode", "wait", "preprocess", "network", "postprocess", "publish", "total")
"""What is clocked of a scan: arrays from the message, waiting for the scan before, range image, network,
labels of points, messages made and sent; and all together, from its arrival to its publication."""
WINDOW = 1000
"""Scans that latency is stated over: the last 100 s at 10 Hz."""

_MOST_CHARACTERS = 500


class Level(IntEnum):
    """How well a node does, as `diagnostic_msgs/DiagnosticStatus` numbers it."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Counts:
    """What came of scans since the node was configured.

    Attributes:
        received: messages that arrived while the node was active.
        labelled: published.
        dropped: not labelled, because a newer one had arrived or the node was deactivated.
        refused: malformed messages, and scans that the bundle does not take.
        failed: scans whose labels could not be computed or published.
        lost: messages that never arrived, or that newer ones replaced in the queue of the middleware, as far
            as it tells or their numbers show; not among those received.
    """

    received: int = 0
    labelled: int = 0
    dropped: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0

    def __sub__(self, before: Counts) -> Counts:
        """Return what was added since."""
        return Counts(**{name: value - getattr(before, name) for name, value in vars(self).items()})


@dataclass
class LatencyWindow:
    """Times of the steps of the last scans."""

    times_ms: dict[str, deque[float]] = field(
        default_factory=lambda: {step: deque(maxlen=WINDOW) for step in NODE_STEPS}
    )

    def add(self, times_ms: Mapping[str, float], total_ms: float) -> None:
        """Take the times of one scan."""
        for step, time_ms in {**times_ms, "total": total_ms}.items():
            self.times_ms[step].append(time_ms)

    def latency(self) -> dict[str, StepLatency]:
        """Return median and 99th percentile of each step; nothing without a scan."""
        return {
            step: StepLatency(float(np.median(times)), float(np.percentile(times, 99)))
            for step, times in self.times_ms.items()
            if times
        }


@dataclass(frozen=True)
class NodeReport:
    """A node at one moment.

    Attributes:
        is_configured: whether it has a bundle.
        is_active: whether it labels.
        counts: what became of the scans.
        latency: latency of `NODE_STEPS` over the last `WINDOW` labelled scans; empty without any.
        network: what labels, by name: bundle, architecture, precision, backend.
        last_refusal: why the last refused scan was.
        last_failure: why the last failed one was.
        last_warning: what is unusual about the last scan that was labelled; empty if nothing is.
        problem: why the last bundle or parameter could not be taken; empty once one could.
    """

    is_configured: bool
    is_active: bool
    counts: Counts
    latency: Mapping[str, StepLatency]
    network: Mapping[str, str]
    last_refusal: str = ""
    last_failure: str = ""
    last_warning: str = ""
    problem: str = ""

    def values(self) -> dict[str, str]:
        """Return everything as texts by name, as diagnostics hold it."""
        found = {"state": self.state, **self.network}
        found |= {f"scans {name}": str(value) for name, value in vars(self.counts).items()}
        for step, latency in self.latency.items():
            found[f"{step} median ms"] = f"{latency.median_ms:.2f}"
            found[f"{step} p99 ms"] = f"{latency.p99_ms:.2f}"
        found |= {
            "last refusal": self.last_refusal,
            "last failure": self.last_failure,
            "last warning": self.last_warning,
            "problem": self.problem,
        }
        return {name: shortened(visible(text), _MOST_CHARACTERS) for name, text in found.items() if text}

    @property
    def state(self) -> str:
        """In the words of lifecycle nodes."""
        return "active" if self.is_active else "inactive" if self.is_configured else "unconfigured"

    def status_since(self, before: Counts) -> tuple[Level, str]:
        """Return how well the node did since `before`, the counts of an earlier report, and why."""
        since = self.counts - before
        if not self.is_configured:
            return (
                (Level.ERROR, self.problem)
                if self.problem
                else (Level.WARN, "not configured: no bundle is open")
            )
        if not self.is_active:
            return Level.OK, "configured, not active"
        for level, text in self._complaints(since):
            return level, text
        return (
            Level.OK,
            f"{counted(since.labelled, 'scan')} labelled{self._took(', {:.0f} ms from arrival on')}",
        )

    def _took(self, words: str) -> str:
        """Return words about the median of all steps; none before the first scan of a network."""
        return words.format(self.latency["total"].median_ms) if "total" in self.latency else ""

    def _complaints(self, since: Counts) -> list[tuple[Level, str]]:
        """Return what is wrong, the worst first."""
        none = Level.WARN if since.labelled else Level.ERROR
        found = []
        if since.failed:
            found.append((none, f"{counted(since.failed, 'scan')} failed: {self.last_failure}"))
        if since.refused:
            found.append((none, f"{counted(since.refused, 'scan')} refused: {self.last_refusal}"))
        if self.problem:
            found.append((Level.WARN, f"goes on as before: {self.problem}"))
        if since.dropped or since.lost:
            took = self._took(", which takes {:.0f} ms")
            text = f"{since.dropped} of {counted(since.received, 'scan')} dropped for newer ones"
            lost = f"; {since.lost} never arrived" if since.lost else ""
            found.append((Level.WARN, f"{text}: they arrive faster than they are labelled{took}{lost}"))
        if not since.labelled:
            found.append(
                (Level.WARN, "no scan labelled: none arrived" if not since.received else "no scan done yet")
            )
        return found
