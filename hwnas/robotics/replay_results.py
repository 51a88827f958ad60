"""What came of a bag that was replayed through a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = ("read", "decode", "preprocess", "network", "postprocess", "write", "total")
"""What is clocked of a scan: the message from the bag, arrays from it, range image, network, labels of
points, messages into the output; and all together."""


@dataclass(frozen=True)
class ReplayStatus:
    """Which scan is labelled next: its number, from 1, and how many messages the topic holds."""

    number: int
    wanted: int


@dataclass(frozen=True)
class StepLatency:
    """How long a step took, over all labelled scans, in milliseconds."""

    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class RefusedScan:
    """A scan that was not labelled.

    Attributes:
        number: its place on the topic, from 1.
        log_ns: time at which it was recorded.
        message: why.
    """

    number: int
    log_ns: int
    message: str


@dataclass(frozen=True)
class Replay:
    """What came of a bag.

    Attributes:
        bag: the bag that was read.
        bundle: the bundle that labelled it.
        out: the bag that was written; None if no scan was labelled.
        topic: name of the topic that clouds were read from.
        output_topics: names of the topics that were written.
        copied_topics: names of the topics that were copied.
        scans: number of scans on the topic.
        labelled: how many of them were.
        refused: those that were not, in order.
        copied_messages: number of messages of other topics.
        latency: latency of each of `STEPS`; empty if no scan was labelled.
        rate: `fast` or `recorded`.
        max_lag_ms: how long after its time the most delayed scan was begun, at the recorded rate; None at
            another.
        warnings: what is unusual about scans, with how many of them each is about.
        precision: precision of the network.
        are_checked: whether scans that contradict the bundle's manifest were refused.
    """

    bag: Path
    bundle: Path
    out: Path | None
    topic: str
    output_topics: tuple[str, ...]
    copied_topics: tuple[str, ...]
    scans: int
    labelled: int
    refused: tuple[RefusedScan, ...]
    copied_messages: int
    latency: Mapping[str, StepLatency]
    rate: str
    max_lag_ms: float | None
    warnings: Mapping[str, int]
    precision: str
    are_checked: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas ros replay --json` prints them."""
        return {
            "bag": str(self.bag),
            "bundle": str(self.bundle),
            "out": None if self.out is None else str(self.out),
            "topic": self.topic,
            "output_topics": list(self.output_topics),
            "copied_topics": list(self.copied_topics),
            "scans": self.scans,
            "labelled": self.labelled,
            "refused": [
                {"scan": one.number, "log_ns": one.log_ns, "message": one.message} for one in self.refused
            ],
            "copied_messages": self.copied_messages,
            "latency": {
                step: {"median_ms": one.median_ms, "p99_ms": one.p99_ms} for step, one in self.latency.items()
            },
            "rate": self.rate,
            "max_lag_ms": self.max_lag_ms,
            "warnings": dict(self.warnings),
            "precision": self.precision,
            "are_checked": self.are_checked,
        }
