"""Clocks models on a target through agents, one fresh process after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.backend_class import backend_class
from hwnas.latency.measure.clocking import MODEL, OTHER, Clocked, clock_model, clock_pair
from hwnas.latency.measure.comparison import LatencyComparison, Pair, assess_pair, calmest_pair
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE, REFERENCE_IO, write_reference
from hwnas.latency.measure.retrying import again_when_lost
from hwnas.latency.measure.session import Session
from hwnas.latency.measure.summary import Attempt, Subject, assess, calmest, stated
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.latency.target import Target
from hwnas.latency.transports.base import AgentConnection, Transport
from hwnas.latency.transports.opening import open_transport
from hwnas.model_files.external_data import sha256_of_model
from hwnas.scratch import ScratchDirectory
from hwnas.text import excerpt

Exclusive = Callable[[], AbstractContextManager[None]]


def open_meter(
    target_url: str, protocol: MeasuringProtocol | None = None, *, exclusive: Exclusive | None = None
) -> AgentMeter:
    """Return a meter for a target such as `local?backend=onnxruntime-cpu&threads=1`.

    Args:
        target_url: see `Target.parse`.
        protocol: how to measure; `MeasuringProtocol.search()` if None.
        exclusive: called before each warm-up; the context it returns is entered while the clock runs, so that
            the caller can pause work of its own on the same machine.

    Raises:
        ConfigError: if the URL is malformed.
        PluginError: if no backend of that name is installed.
        MeasurementError: if the backend cannot travel to the target.
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
        backend = backend_class(target.backend)
        self._setup: Mapping[str, Any] = {
            "backend": f"{backend.__module__}:{backend.__qualname__}",
            "threads": target.threads,
            "cores": list(target.cores),
            "options": dict(target.options),
        }
        self._target = target
        self._transport = transport
        self._protocol = protocol
        self._exclusive = exclusive
        self._fingerprint: Mapping[str, Any] | None = None
        self._best_reference_ms: float | None = None
        self._directory: ScratchDirectory | None = None
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
            MeasurementError: if the target or its backend cannot be used.
        """
        self._refuse_closed()
        if self._fingerprint is None:
            with ExitStack() as agents:
                self._set_up(self._start(agents))
        assert self._fingerprint is not None  # noqa: S101 - `_set_up` has set it
        return self._fingerprint

    @again_when_lost
    def measure(
        self, model: Path, io_spec: IoSpec, *, give_up_over_ms: float | None = None
    ) -> LatencyMeasurement:
        """Clock an ONNX file; waits while another measurement runs on the target.

        A run that looks disturbed is repeated, and the calmest is stated with the reason.

        Args:
            model: the file.
            io_spec: its inputs and outputs.
            give_up_over_ms: a hard limit; a model that is clearly over it gets no more time than that takes.

        Raises:
            MeasurementError: if the file is missing or refused, its inputs differ from `io_spec`,
                the target is busy too long, has changed or throttles, or a process dies or hangs.
            TargetLostError: if it is lost again and again, or stays away.
        """
        attempts: list[Attempt] = []
        clocked: Clocked | None = None
        with self.together({MODEL: (model, io_spec)}) as session:
            subject = self._subject(model, give_up_over_ms)
            while len(attempts) < self._protocol.max_attempts and not any(a.is_final for a in attempts):
                clocked = clock_model(session, self._protocol, give_up_over_ms, clocked)
                attempts.append(assess(clocked, replace(subject, best_reference_ms=self._best(clocked))))
        return stated(attempts, calmest(attempts))

    @again_when_lost
    def compare(self, first: tuple[Path, IoSpec], second: tuple[Path, IoSpec]) -> LatencyComparison:
        """Clock two ONNX files by turns and say how many times slower the second one is.

        Raises:
            MeasurementError: as `measure`.
        """
        pairs: list[Pair] = []
        clocked: Clocked | None = None
        with self.together({MODEL: first, OTHER: second}) as session:
            subjects = self._subject(first[0]), self._subject(second[0])
            while len(pairs) < self._protocol.max_attempts and not any(pair.is_final for pair in pairs):
                clocked = clock_pair(session, self._protocol, clocked)
                best_ms = self._best(clocked)
                one, two = (replace(subject, best_reference_ms=best_ms) for subject in subjects)
                pairs.append(assess_pair(clocked, one, two))
        return calmest_pair(pairs)

    @contextmanager
    def together(self, models: Mapping[str, tuple[Path, IoSpec]]) -> Iterator[Session]:
        """Yield fresh processes that have the target to themselves and hold `models` and `REFERENCE` by name.

        Raises:
            MeasurementError: as `measure`.
        """
        self._refuse_closed()
        for model, _ in models.values():
            sha256_of_model(model)
        with ExitStack() as agents:
            first = self._start(agents)
            # Before anything that costs time: the lock keeps even our loading away from another's clock.
            self._lock(first)
            processes = [first, *(self._start(agents) for _ in range(self._protocol.processes - 1))]
            for process in processes:
                self._set_up(process)
            session = Session(processes, self._ask, self._transport.place_model, self._protocol)
            for name, (model, io_spec) in models.items():
                session.load(name, model, io_spec)
            session.load(REFERENCE, self._reference_file(), REFERENCE_IO)
            with self._exclusive():
                yield session

    @contextmanager
    def alone(self, model: Path) -> Iterator[tuple[Callable[..., Mapping[str, Any]], str]]:
        """Yield one fresh process that has the target to itself, and the path of `model` there.

        The process is set up and has loaded nothing; it is asked with the name of an operation, `extra_s`
        that the operation may take beyond the usual silence, and its arguments.

        Raises:
            MeasurementError: as `measure`.
        """
        self._refuse_closed()
        sha256_of_model(model)
        with ExitStack() as agents:
            agent = self._start(agents)
            self._lock(agent)
            path = self._transport.place_model(model)
            self._set_up(agent)
            with self._exclusive():
                yield partial(self._ask, agent), path

    @contextmanager
    def with_options(self, options: Mapping[str, str]) -> Iterator[AgentMeter]:
        """Yield a meter of the same target whose backend has other options, over the same connection.

        Its figures are of another fingerprint. It must not outlive this meter.
        """
        self._refuse_closed()
        changed = tuple(sorted({**dict(self._target.options), **options}.items()))
        target = replace(self._target, options=changed)
        meter = AgentMeter(target, self._transport, self._protocol, self._exclusive)
        try:
            yield meter
        finally:
            meter.forget()

    def place_model(self, model: Path) -> str:
        """Make one more model readable on the target and return its path there.

        Raises:
            MeasurementError: if the file cannot be read.
        """
        sha256_of_model(model)
        return self._transport.place_model(model)

    @contextmanager
    def beside(self, model: Path) -> Iterator[tuple[Callable[..., Mapping[str, Any]], str]]:
        """Yield one more process, as `alone` does, while that has the target to itself."""
        sha256_of_model(model)
        with ExitStack() as agents:
            agent = self._start(agents)
            path = self._transport.place_model(model)
            self._set_up(agent)
            yield partial(self._ask, agent), path

    def close(self) -> None:
        """Release the target; measuring afterwards is an error."""
        self.forget()
        self._transport.close()

    def forget(self) -> None:
        """Remove the meter's own files, but leave the connection to who else uses it."""
        self._is_closed = True
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

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

    def _lock(self, agent: AgentConnection) -> None:
        """Wait until the target is free; a backend that is not installed there is refused before."""
        wait_s = self._protocol.lock_wait_s
        named = {key: self._setup[key] for key in ("backend", "options")}
        self._ask(agent, "lock", extra_s=wait_s, wait_s=wait_s, **named)

    def _set_up(self, agent: AgentConnection) -> Mapping[str, Any]:
        """Pin the agent, load the backend and compare the target with the one met first."""
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
                f"{self.target!r} is not what it was when this meter opened: {excerpt(changed, 1000)} (then, "
                "now). Measurements from the two states cannot be combined: restore the setting, or measure "
                "everything again."
            )
        return found

    def _subject(self, model: Path, give_up_over_ms: float | None = None) -> Subject:
        return Subject(
            target=self.target,
            fingerprint=self.fingerprint(),
            protocol=self._protocol,
            model_sha256=sha256_of_model(model),
            reference_sha256=sha256_of_model(self._reference_file()),
            give_up_over_ms=give_up_over_ms,
        )

    def _best(self, clocked: Clocked) -> float | None:
        """Return the lowest median of the reference on this target so far, this attempt included."""
        if REFERENCE in clocked.samples_ms:
            median_ms = float(np.median(clocked.samples_ms[REFERENCE]))
            self._best_reference_ms = min(median_ms, self._best_reference_ms or median_ms)
        return self._best_reference_ms

    def _reference_file(self) -> Path:
        if self._directory is None:
            self._directory = ScratchDirectory("reference")
        path = Path(self._directory.name) / "reference.onnx"
        if not path.exists():
            write_reference(path)
        return path
