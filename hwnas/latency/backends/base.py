"""What a backend must offer to be measured; registered in the entry-point group `hwnas.backends`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar, Dict, Mapping, Optional, Protocol, Tuple

from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.errors import AgentError


class Backend(Protocol):
    """One model in one backend.

    A backend may have further methods that are looked for by name: `clock(count)` returns that many durations
    in ms where the backend clocks itself (trtexec), and is then used in place of the agent's clock;
    `write(arrays)` copies further inputs to the memory that `bind` reserved, in place of a new `bind`;
    `engine_bytes()` and `build_record()` tell about an engine built from the model. The class method
    `check_installed(options)` raises AgentError where libraries are plainly missing; it is called while
    others may be measuring, so that it must neither import them nor cost time.

    The class is imported on the driver too, to be found by name: import the backend itself in `__init__`.

    Attributes:
        OPTIONS: what a target may set for this backend beside its threads: name in the target URL -> what it
            means. They reach `__init__` as keywords, as the text that stood in the URL.
    """

    OPTIONS: ClassVar[Mapping[str, str]]

    def __init__(self, threads: int, **options: str) -> None:
        """Import the backend; AgentError if it is not installed or an option has no such value."""
        ...

    def versions(self) -> Dict[str, str]:
        """Return the versions that latency depends on, by name."""
        ...

    def settings(self) -> Dict[str, Any]:
        """Return what the backend is told beyond its defaults, as plain JSON values; part of the fingerprint.

        An agent holds several models at once. Threads of one that is idle must not spin meanwhile.
        """
        ...

    def load(self, model: str) -> None:
        """Load a model file and make it ready to run; AgentError if the backend refuses it."""
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

    def outputs(self) -> Dict[str, Any]:
        """Return what the last `run` computed, as numpy arrays by name, in graph order."""
        ...


def make_backend(import_path: str, threads: int, options: Optional[Mapping[str, str]] = None) -> Backend:
    """Return the backend at `module:Class`.

    Raises:
        AgentError: if there is none, its libraries are missing, or it has no such option.
    """
    backend = _class_of(import_path, options)
    made: Backend = backend(threads, **(options or {}))
    return made


def refuse_missing(import_path: str, options: Optional[Mapping[str, str]] = None) -> None:
    """Refuse a backend that cannot be made in any case, without what could disturb other measurements.

    Raises:
        AgentError: if there is none, its libraries are plainly missing, or it has no such option.
    """
    check = getattr(_class_of(import_path, options), "check_installed", None)
    if check is not None:
        check(options or {})


def _class_of(import_path: str, options: Optional[Mapping[str, str]]) -> Any:
    module_name, _, class_name = import_path.partition(":")
    try:
        backend = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise AgentError(
            f"The backend {import_path!r} cannot be imported on the target: {error}. "
            "Install its package there."
        ) from error
    known = getattr(backend, "OPTIONS", {})
    for name in options or {}:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise AgentError(f"{class_name} has no option {name!r}; it has {sorted(known)}.{hint}")
    return backend
