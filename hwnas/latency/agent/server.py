"""Answers the requests of one driver: lock, set_up, load, unload, warm_up, clock, and `OtherOperations`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, TextIO

from hwnas.latency.agent.clock import clock, warm_up, warm_up_self_clocked
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.agent.lock import MeasuringLock
from hwnas.latency.agent.machine import fingerprint, pin
from hwnas.latency.agent.other_operations import OtherOperations
from hwnas.latency.backends import heartbeat
from hwnas.latency.backends.base import Backend, make_backend, refuse_missing
from hwnas.latency.backends.errors import AgentError
from hwnas.onnxruntime_loading import disable_telemetry

DEFAULT_NAME = "model"


class Agent:
    """One measuring process: one backend, and any number of models by name."""

    def __init__(self) -> None:
        self._lock = MeasuringLock()
        self._make: Optional[Callable[[], Backend]] = None
        self._models: Dict[str, Backend] = {}
        self._other = OtherOperations(self._fresh_backend)
        self._operations: Dict[str, Callable[..., Dict[str, Any]]] = {
            "lock": self._take_lock,
            "set_up": self._set_up,
            "load": self._load,
            "unload": self._unload,
            "warm_up": self._warm_up,
            "clock": self._clock,
            "inspect": self._inspect,
            **self._other.table(),
        }

    def answer(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the reply to a request; `error` in it says why it was refused."""
        arguments = dict(request)
        operation = self._operations.get(arguments.pop("operation", ""))
        if operation is None:
            return {"error": f"The agent knows {sorted(self._operations)}, but was asked {request!r}."}
        try:
            found = operation(**arguments)
            self._lock.check()
        except AgentError as error:
            return {"error": str(error)}
        return found

    def _take_lock(
        self, wait_s: float, backend: str = "", options: Optional[Mapping[str, str]] = None
    ) -> Dict[str, Any]:
        """Take the lock; what could not be measured under it, since a backend is missing, is said at once."""
        if backend:
            refuse_missing(backend, options)
        self._lock.acquire(wait_s)
        return {}

    def _set_up(
        self, backend: str, threads: int, cores: Sequence[int], options: Optional[Mapping[str, str]] = None
    ) -> Dict[str, Any]:
        # Before the backend is imported: its threads inherit the binding.
        pinned = pin(cores, threads)
        self._make = lambda: make_backend(backend, threads, options)
        first = self._make()
        found = fingerprint(pinned)
        found.update(self._other.identity())
        found.update(threads=threads, backend=backend, backend_options=dict(options or {}))
        found.update(backend_versions=first.versions(), backend_settings=first.settings())
        return {"fingerprint": found}

    def _load(
        self, model: str, io_spec: Mapping[str, Any], seed: int, name: str = DEFAULT_NAME
    ) -> Dict[str, Any]:
        """Load a model file under a name; a model that has the name already goes first, with its memory."""
        self._models.pop(name, None)
        backend = self._fresh_backend()
        backend.load(model)
        bind_random_inputs(backend, io_spec, seed)
        self._models[name] = backend
        return {}

    def _unload(self, name: str = DEFAULT_NAME) -> Dict[str, Any]:
        self._models.pop(name, None)
        return {}

    def _warm_up(
        self,
        min_s: float,
        max_s: float,
        tolerance: float,
        name: str = DEFAULT_NAME,
        give_up_over_ms: Optional[float] = None,
    ) -> Dict[str, Any]:
        backend = self.loaded(name)
        own_clock = getattr(backend, "clock", None)
        if own_clock is not None:
            return warm_up_self_clocked(own_clock, min_s, max_s, tolerance, give_up_over_ms)
        return warm_up(backend.run, min_s, max_s, tolerance, give_up_over_ms)

    def _clock(self, count: int, name: str = DEFAULT_NAME, lead: int = 1) -> Dict[str, Any]:
        backend = self.loaded(name)
        own_clock = getattr(backend, "clock", None)
        return {"samples_ms": clock(backend.run, count, lead) if own_clock is None else own_clock(count)}

    def loaded(self, name: str) -> Backend:
        """Return the backend that holds the model of that name.

        Raises:
            AgentError: if there is none.
        """
        if name not in self._models:
            raise AgentError(
                f"The agent holds no model {name!r}, only {sorted(self._models)}; "
                "send 'set_up', then 'load' with that name."
            )
        return self._models[name]

    def _inspect(self, backends: Mapping[str, str]) -> Dict[str, Any]:
        # Imported when asked for: measuring needs none of it.
        from hwnas.latency.agent.inspection import inspect_machine

        return {"facts": inspect_machine(backends)}

    def _fresh_backend(self) -> Backend:
        if self._make is None:
            raise AgentError("The agent was not set up; send 'set_up' first.")
        return self._make()


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests, one JSON object a line, until the input ends.

    Every reply repeats the number that its request has under `request`.
    """
    number: Any = None

    def reply(value: Mapping[str, Any]) -> None:
        replies.write(json.dumps({**value, "request": number}, allow_nan=False) + "\n")
        replies.flush()

    heartbeat.listen(lambda what, is_waiting: reply({"heartbeat": what, "is_waiting": is_waiting}))
    agent = Agent()
    for line in requests:
        request = dict(json.loads(line))
        number = request.pop("request", None)
        reply(agent.answer(request))


def main() -> int:
    """Serve standard input until it closes; return the exit code."""
    disable_telemetry()
    # Native libraries print what they like: their standard output becomes standard error, replies stay clean.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, replies)
    return 0
