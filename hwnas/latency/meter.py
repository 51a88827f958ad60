"""Clocks models on a target through agents, one fresh process after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import MeasurementError
from hwnas.files import sha256_of_file
from hwnas.io_spec import IoSpec
from hwnas.latency.base import LatencyMeasurement, LatencyMeter
from hwnas.latency.protocol import MeasuringProtocol
from hwnas.latency.statistics import (
    median_interval,
    percentiles,
    relative_half_width,
    robust_spread,
    slow_share,
)
from hwnas.latency.target import Target
from hwnas.latency.transports.base import AgentConnection, Transport
from hwnas.latency.transports.opening import open_transport
from hwnas.plugins import load_plugin

Exclusive = Callable[[], AbstractContextManager[None]]

# Each block begins with one inference that is not clocked; fewer samples would waste too much on it.
_MIN_BLOCK_SAMPLES = 3


def open_meter(
    target_url: str, protocol: MeasuringProtocol | None = None, *, exclusive: Exclusive | None = None
) -> LatencyMeter:
    """Return a meter for a target such as `local?runtime=onnxruntime-cpu&threads=1`.

    Args:
        target_url: see `Target.parse`.
        protocol: how to measure; `MeasuringProtocol.search()` if None.
        exclusive: called before each warm-up; the context it returns is entered while the clock runs, so that
            the caller can pause work of its own on the same machine.

    Raises:
        ConfigError: if the URL is malformed.
        PluginError: if no runtime of that name is installed.
        MeasurementError: if the runtime cannot travel to the target.
    """
    target = Target.parse(target_url)
    transport = open_transport(target)
    if target.transport != "local":
        exclusive = None  # work on this machine does not disturb a clock on another
    return AgentMeter(target, transport, protocol or MeasuringProtocol.search(), exclusive or nullcontext)


class AgentMeter:
    """Measures through agents started by a transport; a `LatencyMeter`."""

    def __init__(
        self,
        target: Target,
        transport: Transport,
        protocol: MeasuringProtocol,
        exclusive: Exclusive = nullcontext,
    ) -> None:
        runtime = load_plugin("hwnas.runtimes", target.runtime)
        self._setup: Mapping[str, Any] = {
            "runtime": f"{runtime.__module__}:{runtime.__qualname__}",
            "threads": target.threads,
            "cores": list(target.cores),
            "options": dict(target.options),
        }
        self._target = target
        self._transport = transport
        self._protocol = protocol
        self._exclusive = exclusive
        self._fingerprint: Mapping[str, Any] | None = None
        self._is_closed = False

    @property
    def target(self) -> str:
        """Canonical URL of the target."""
        return self._target.url

    @property
    def protocol(self) -> MeasuringProtocol:
        """Settings that every measurement of this meter follows."""
        return self._protocol

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what identifies the target; asked of an agent once, then kept.

        Raises:
            MeasurementError: if the target or its runtime cannot be used.
        """
        self._refuse_closed()
        if self._fingerprint is None:
            with ExitStack() as agents:
                self._set_up(self._start(agents))
        assert self._fingerprint is not None  # noqa: S101 - `_set_up` has set it
        return self._fingerprint

    def measure(self, model: Path, io_spec: IoSpec) -> LatencyMeasurement:
        """Clock an ONNX file; waits while another measurement runs on the target.

        Raises:
            MeasurementError: if the file is missing or refused, its inputs differ from `io_spec`,
                the target is busy too long or has changed, or a process dies or hangs.
        """
        self._refuse_closed()
        sha256 = _hash_of_model(model)
        with ExitStack() as agents:
            first = self._start(agents)
            # Before anything that costs time: the lock keeps even our loading away from another's clock.
            self._ask(first, "lock", extra_s=self._protocol.lock_wait_s, wait_s=self._protocol.lock_wait_s)
            processes = [first, *(self._start(agents) for _ in range(self._protocol.processes - 1))]
            path = self._transport.place_model(model)
            for process in processes:
                fingerprint = self._set_up(process)
                self._ask(process, "load", model=path, io_spec=io_spec.to_json(), seed=self._protocol.seed)
            with self._exclusive():
                warmups = [self._warm_up(process) for process in processes]
                samples_ms = self._clock(processes, [float(warmup["median_ms"]) for warmup in warmups])
        return self._judge(samples_ms, warmups, sha256, fingerprint)

    @contextmanager
    def alone(self, model: Path) -> Iterator[tuple[Callable[..., Mapping[str, Any]], str]]:
        """Yield one fresh process that has the target to itself, and the path of `model` there.

        The process is set up and has loaded nothing; it is asked with the name of an operation, `extra_s`
        that the operation may take beyond the usual silence, and its arguments.

        Raises:
            MeasurementError: as `measure`.
        """
        self._refuse_closed()
        _hash_of_model(model)
        with ExitStack() as agents:
            agent = self._start(agents)
            self._ask(agent, "lock", extra_s=self._protocol.lock_wait_s, wait_s=self._protocol.lock_wait_s)
            path = self._transport.place_model(model)
            self._set_up(agent)
            with self._exclusive():
                yield partial(self._ask, agent), path

    @contextmanager
    def beside(self, model: Path) -> Iterator[tuple[Callable[..., Mapping[str, Any]], str]]:
        """Yield one more process, as `alone` does, while that has the target to itself."""
        _hash_of_model(model)
        with ExitStack() as agents:
            agent = self._start(agents)
            path = self._transport.place_model(model)
            self._set_up(agent)
            yield partial(self._ask, agent), path

    def close(self) -> None:
        """Release the target; measuring afterwards is an error."""
        self._is_closed = True
        self._transport.close()

    def __enter__(self) -> AgentMeter:
        """Return the meter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the meter."""
        self.close()

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise MeasurementError(f"The meter of {self.target!r} is closed; open a new one.")

    def _start(self, agents: ExitStack) -> AgentConnection:
        agent = self._transport.start_agent()
        agents.callback(agent.close)
        return agent

    def _ask(
        self, agent: AgentConnection, operation: str, extra_s: float = 0.0, **arguments: Any
    ) -> Mapping[str, Any]:
        return agent.request(operation, timeout_s=self._protocol.reply_timeout_s + extra_s, **arguments)

    def _set_up(self, agent: AgentConnection) -> Mapping[str, Any]:
        """Pin the agent, load the runtime and compare the target with the one met first."""
        found: Mapping[str, Any] = self._ask(agent, "set_up", **self._setup)["fingerprint"]
        if self._fingerprint is None:
            self._fingerprint = found
        changed = {
            key: (self._fingerprint.get(key), found.get(key))
            for key in {**self._fingerprint, **found}
            if self._fingerprint.get(key) != found.get(key)
        }
        if changed:
            raise MeasurementError(
                f"{self.target!r} is not what it was when this meter opened: {changed} (then, now). "
                "Figures of both do not mix: restore the setting, or measure everything anew."
            )
        return found

    def _warm_up(self, agent: AgentConnection) -> Mapping[str, Any]:
        protocol = self._protocol
        max_s = max(protocol.max_warmup_s, protocol.warmup_s)
        return self._ask(
            agent,
            "warm_up",
            extra_s=max_s,
            min_s=protocol.warmup_s,
            max_s=max_s,
            tolerance=protocol.warmup_tolerance,
        )

    def _clock(self, agents: list[AgentConnection], medians_ms: list[float]) -> NDArray[np.float64]:
        """Return samples in ms, [processes, rounds, samples of a block]."""
        protocol = self._protocol
        block = max(int(protocol.block_s * 1000 / float(np.median(medians_ms))), _MIN_BLOCK_SAMPLES)
        block = min(block, protocol.max_block_samples)
        most = max(protocol.max_samples, protocol.min_samples)
        rounds: list[list[list[float]]] = []
        start = time.monotonic()
        while True:
            rounds.append([self._ask(agent, "clock", count=block)["samples_ms"] for agent in agents])
            samples_ms = np.array(rounds, dtype=np.float64).swapaxes(0, 1)
            if time.monotonic() - start >= protocol.max_s or samples_ms.size >= most:
                return samples_ms
            if len(rounds) < protocol.min_rounds or samples_ms.size < protocol.min_samples:
                continue
            interval = median_interval(samples_ms, protocol.confidence, resamples=300)
            if relative_half_width(float(np.median(samples_ms)), interval) <= protocol.relative_interval:
                return samples_ms

    def _judge(
        self,
        samples_ms: NDArray[np.float64],
        warmups: list[Mapping[str, Any]],
        sha256: str,
        fingerprint: Mapping[str, Any],
    ) -> LatencyMeasurement:
        median_ms = float(np.median(samples_ms))
        interval_ms = median_interval(samples_ms, self._protocol.confidence)
        remark = self._remark(samples_ms, relative_half_width(median_ms, interval_ms), warmups)
        return LatencyMeasurement(
            latency_ms=median_ms,
            interval_ms=interval_ms,
            confidence=self._protocol.confidence,
            samples_ms=tuple(tuple(process.ravel().tolist()) for process in samples_ms),
            percentiles_ms=percentiles(samples_ms),
            is_stable=not remark,
            remark=remark,
            warmup_s=tuple(float(warmup["seconds"]) for warmup in warmups),
            model_sha256=sha256,
            target=self.target,
            fingerprint=fingerprint,
            protocol=self._protocol.to_json(),
        )

    def _remark(self, samples_ms: NDArray[np.float64], width: float, warmups: list[Mapping[str, Any]]) -> str:
        """Return what speaks against relying on the figure, empty if nothing does."""
        protocol = self._protocol
        spread = robust_spread([process.ravel() for process in samples_ms])
        slow = slow_share(samples_ms)
        remarks = []
        if samples_ms.size < protocol.min_samples:
            remarks.append(
                f"{samples_ms.size} samples in {protocol.max_s:g} s, wished {protocol.min_samples}"
            )
        if width > protocol.relative_interval:
            remarks.append(f"interval of the median +-{width:.1%}, wished +-{protocol.relative_interval:.1%}")
        if spread > protocol.max_spread:
            remarks.append(
                f"robust spread of the samples {spread:.1%}, at most {protocol.max_spread:.1%} is calm"
            )
        if slow > protocol.max_slow_share:
            remarks.append(f"{slow:.0%} of the samples took more than 1.5 medians")
        if not all(warmup["is_settled"] for warmup in warmups):
            remarks.append(f"still changing after {protocol.max_warmup_s:g} s of warm-up")
        return "; ".join(remarks)


def _hash_of_model(model: Path) -> str:
    try:
        return sha256_of_file(model)
    except OSError as error:
        raise MeasurementError(
            f"The model to measure must be a readable file, but {str(model)!r} is not: {error.strerror}."
        ) from error
