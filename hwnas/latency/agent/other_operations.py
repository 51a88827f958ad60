"""What an agent answers beside the clock of `latency_ms`: the machine's state, and a network's resources."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.agent.nvml import Nvml, open_nvml
from hwnas.latency.agent.resources import resources
from hwnas.latency.agent.runtime import InferenceRuntime
from hwnas.latency.agent.state import read_identity, read_state


class OtherOperations:
    """Operations that load models of their own, or none."""

    def __init__(self, make: Callable[[], InferenceRuntime]) -> None:
        """Load models into runtimes from `make`."""
        self._make = make
        self._nvml: Optional[Nvml] = None
        self._is_nvml_opened = False

    def table(self) -> Dict[str, Callable[..., Dict[str, Any]]]:
        """Return the operations by name."""
        return {"state": self.state, "resources": self.resources}

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
        found = resources(
            self._make,
            lambda runtime: bind_random_inputs(runtime, io_spec, seed),
            model,
            idle_s=idle_s,
            busy_s=busy_s,
            nvml=self._opened_nvml(),
        )
        return {"resources": found}

    def _opened_nvml(self) -> Optional[Nvml]:
        if not self._is_nvml_opened:
            self._nvml, self._is_nvml_opened = open_nvml(), True
        return self._nvml
