"""How repeatable this machine is right now: one network, clocked again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas.io_spec import IoSpec
from hwnas.latency.backend_class import backend_class
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.statistics import robust_spread, slow_share
from hwnas.latency.target import Target
from hwnas.latency.transports.base import Transport

WINDOWS = 10


@dataclass(frozen=True)
class Noise:
    """What repeating one network for a while shows.

    Attributes:
        seconds: it was repeated.
        median_ms: of all samples.
        windows_ms: medians of ten equal parts, in order.
        drift: largest of them divided by the smallest, minus one.
        spread: robust relative spread of the samples, see `robust_spread`.
        slow: share of samples slower than 1.5 medians.
    """

    seconds: float
    median_ms: float
    windows_ms: tuple[float, ...]
    drift: float
    spread: float
    slow: float


def measure_noise(
    transport: Transport, target: Target, model: Path, io_spec: IoSpec, seconds: float
) -> Noise:
    """Clock a network on a target for `seconds` in one process.

    Raises:
        MeasurementError: if the target cannot run it, or is busy.
    """
    protocol = MeasuringProtocol.search()
    agent = transport.start_agent()
    try:
        wait_s = protocol.lock_wait_s
        backend = backend_class(target.backend)
        named = {"backend": f"{backend.__module__}:{backend.__qualname__}", "options": dict(target.options)}
        agent.request("lock", timeout_s=wait_s + protocol.reply_timeout_s, wait_s=wait_s, **named)
        path = transport.place_model(model)
        agent.request(
            "set_up",
            timeout_s=protocol.reply_timeout_s,
            threads=target.threads,
            cores=list(target.cores),
            **named,
        )
        agent.request("load", timeout_s=600.0, model=path, io_spec=io_spec.to_json(), seed=0)
        warmup = agent.request(
            "warm_up", timeout_s=protocol.reply_timeout_s, min_s=0.5, max_s=5.0, tolerance=0.02
        )
        # A hundred blocks: enough that ten windows hold ten each.
        count = max(int(seconds * 10 / float(warmup["median_ms"])), 1)
        samples: list[float] = []
        start = time.monotonic()
        while (passed_s := time.monotonic() - start) < seconds or len(samples) < WINDOWS:
            reply = agent.request("clock", timeout_s=protocol.reply_timeout_s, count=count)
            samples += reply["samples_ms"]
    finally:
        agent.close()
    return noise_of(samples, passed_s)


def noise_of(samples_ms: list[float], seconds: float) -> Noise:
    """Return what samples in order, at least ten, say about the machine."""
    samples = np.array(samples_ms, np.float64)
    windows = tuple(float(np.median(part)) for part in np.array_split(samples, WINDOWS))
    return Noise(
        seconds=seconds,
        median_ms=float(np.median(samples)),
        windows_ms=windows,
        drift=max(windows) / min(windows) - 1,
        spread=robust_spread([samples]),
        slow=slow_share(samples),
    )
