"""What an agent answers beside the clock of `latency_ms`: state, resources, fixed rate, load."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

from hwnas.latency.agent.clock import warm_up
from hwnas.latency.agent.end_to_end import EndToEndClock
from hwnas.latency.agent.engine_files import EngineFiles
from hwnas.latency.agent.fixed_rate import BackgroundLoad, FixedRateClock, use_all_cores
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.agent.nvml import Nvml, open_nvml
from hwnas.latency.agent.resources import resources
from hwnas.latency.agent.state import read_identity, read_state
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError


class OtherOperations:
    """Operations that load models of their own, or none."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        """Load models into backends from `make`."""
        self._make = make
        self._nvml: Optional[Nvml] = None
        self._is_nvml_opened = False
        self._fixed_rate: Optional[FixedRateClock] = None
        self._background: Optional[BackgroundLoad] = None
        self._end_to_end: Optional[EndToEndClock] = None
        self._engines = EngineFiles(make)

    def table(self) -> Dict[str, Callable[..., Dict[str, Any]]]:
        """Return the operations by name."""
        return {
            "state": self.state,
            "resources": self.resources,
            "kernels": self.kernels,
            "start_fixed_rate": self.start_fixed_rate,
            "fixed_rate": self.fixed_rate,
            "start_background": self.start_background,
            "stop_background": self.stop_background,
            "start_end_to_end": self.start_end_to_end,
            "end_to_end": self.end_to_end,
            "build_engine": self._engines.build_engine,
            "read_engine": self._engines.read_engine,
            "adopt_build": self._engines.adopt_build,
        }

    def identity(self) -> Dict[str, Any]:
        """Return how the machine is set up, see `read_identity`."""
        return read_identity(nvml=self._opened_nvml())

    def state(self) -> Dict[str, Any]:
        """Return how the machine is at the moment, see `read_state`."""
        return {"state": read_state(nvml=self._opened_nvml())}

    def resources(
        self, model: str, io_spec: Mapping[str, Any], seed: int, idle_s: float, busy_s: float
    ) -> Dict[str, Any]:
        """Load and run a model, see `hwnas.latency.agent.resources`."""
        self._need_our_clock(self._make(), "resources")
        found = resources(
            self._make,
            lambda backend: bind_random_inputs(backend, io_spec, seed),
            model,
            idle_s=idle_s,
            busy_s=busy_s,
            nvml=self._opened_nvml(),
        )
        return {"resources": found}

    def kernels(self, model: str, io_spec: Mapping[str, Any], seed: int, runs: int) -> Dict[str, Any]:
        """Return the kernels of a model with their times, where the backend can tell."""
        backend = self._make()
        time_kernels = getattr(backend, "kernels", None)
        if time_kernels is None:
            raise AgentError(f"{type(backend).__name__} does not tell the times of single kernels.")
        return {"kernels": time_kernels(model, lambda: bind_random_inputs(backend, io_spec, seed), runs)}

    def start_fixed_rate(
        self,
        model: str,
        io_spec: Mapping[str, Any],
        seed: int,
        rate_hz: float,
        min_s: float,
        max_s: float,
        tolerance: float,
    ) -> Dict[str, Any]:
        """Load a model, warm it up back to back, and begin a schedule for it."""
        backend = self._loaded(model, io_spec, seed)
        found = warm_up(backend.run, min_s, max_s, tolerance)
        self._fixed_rate = FixedRateClock(backend.run, rate_hz)
        return found

    def fixed_rate(self, seconds: float) -> Dict[str, Any]:
        """Go on with the schedule, see `FixedRateClock.frames`."""
        if self._fixed_rate is None:
            raise AgentError("No schedule was begun; send 'start_fixed_rate' first.")
        return self._fixed_rate.frames(seconds)

    def start_background(
        self, model: str, io_spec: Mapping[str, Any], seed: int, rate_hz: float
    ) -> Dict[str, Any]:
        """Load a model and run it at a rate until `stop_background`, on any processor."""
        use_all_cores()
        backend = self._loaded(model, io_spec, seed)
        backend.run()
        self._background = BackgroundLoad(backend.run, rate_hz)
        self._background.start()
        return {}

    def stop_background(self) -> Dict[str, Any]:
        """End the background load, see `BackgroundLoad.stop`."""
        if self._background is None:
            raise AgentError("No background load was begun; send 'start_background' first.")
        background, self._background = self._background, None
        return background.stop()

    def start_end_to_end(
        self,
        model: str,
        io_spec: Mapping[str, Any],
        seed: int,
        deployment: Mapping[str, Any],
        scan: Mapping[str, Any],
        min_s: float,
        max_s: float,
        tolerance: float,
    ) -> Dict[str, Any]:
        """Load a model, prepare a scan from `end_to_end.packed` for it, and warm both up."""
        self._end_to_end = EndToEndClock(self._loaded(model, io_spec, seed), deployment, scan)
        from hwnas.range_view.compiled import kernel_name

        return {**warm_up(self._run_end_to_end, min_s, max_s, tolerance), "kernel": kernel_name()}

    def end_to_end(self, count: int) -> Dict[str, Any]:
        """Clock the scan from points to labels, see `EndToEndClock.clock`."""
        return dict(self._needed_end_to_end().clock(count))

    def _run_end_to_end(self) -> None:
        self._needed_end_to_end().run()

    def _needed_end_to_end(self) -> EndToEndClock:
        if self._end_to_end is None:
            raise AgentError("No scan was prepared; send 'start_end_to_end' first.")
        return self._end_to_end

    def _loaded(self, model: str, io_spec: Mapping[str, Any], seed: int) -> Backend:
        backend = self._make()
        self._need_our_clock(backend, "runs at a fixed rate and background load")
        backend.load(model)
        bind_random_inputs(backend, io_spec, seed)
        return backend

    def _need_our_clock(self, backend: Backend, what: str) -> None:
        """Refuse backends that clock themselves: one inference of theirs starts a process."""
        if hasattr(backend, "clock"):
            raise AgentError(
                f"{type(backend).__name__} clocks itself, so it cannot be measured for {what}. "
                "Use the backend 'tensorrt' on a board that has its Python module."
            )

    def _opened_nvml(self) -> Optional[Nvml]:
        if not self._is_nvml_opened:
            self._nvml, self._is_nvml_opened = open_nvml(), True
        return self._nvml
