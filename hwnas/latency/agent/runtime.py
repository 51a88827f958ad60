"""What a runtime must offer to be measured; registered in the entry-point group `hwnas.runtimes`."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Mapping, Protocol, Tuple

from hwnas.io_spec import TensorSpec
from hwnas.latency.agent.errors import AgentError


class InferenceRuntime(Protocol):
    """One model in one runtime.

    The class is imported on the driver too, to be found by name: import the runtime itself in `__init__`.
    """

    def __init__(self, threads: int) -> None:
        """Import the runtime; AgentError if it is not installed."""
        ...

    def versions(self) -> Dict[str, str]:
        """Return the versions that latency depends on, by name."""
        ...

    def load(self, model: str) -> None:
        """Load a model file and make it ready to run; AgentError if the runtime refuses it."""
        ...

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        ...

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Put the input arrays where `run` reads them, before the clock starts."""
        ...

    def run(self) -> None:
        """Run one inference and return when its output is complete; AgentError if it fails."""
        ...


def make_runtime(import_path: str, threads: int) -> InferenceRuntime:
    """Return the runtime at `module:Class`.

    Raises:
        AgentError: if there is none, or its libraries are missing.
    """
    module_name, _, class_name = import_path.partition(":")
    try:
        runtime = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise AgentError(
            f"The runtime {import_path!r} cannot be imported on the target: {error}. "
            "Install its package there."
        ) from error
    made: InferenceRuntime = runtime(threads)
    return made
