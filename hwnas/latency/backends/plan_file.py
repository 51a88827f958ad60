"""Tells which TensorRT wrote an engine, on any machine."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.latency.backends.errors import AgentError

_PRODUCTS = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
# trtexec itself reads the version from these bytes (samples/common/sampleEngines.cpp, TensorRT 10.3 to 11.1).
_VERSION = slice(24, 28)


@dataclass(frozen=True)
class PlanHeader:
    """Which product of NVIDIA wrote an engine (`tensorrt` or `tensorrt-rtx`) and its version."""

    product: str
    version: str


def is_plan(path: str) -> bool:
    """Return whether the file at `path` begins as engines do; False if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(4) in _PRODUCTS
    except OSError:
        return False


def read_plan_header(path: str) -> PlanHeader:
    """Return who wrote the engine at `path`.

    Raises:
        AgentError: if it cannot be read or is no engine.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(_VERSION.stop)
    except OSError as error:
        raise AgentError(f"The engine {path!r} cannot be read: {error.strerror}.") from error
    product = _PRODUCTS.get(start[:4])
    if product is None or len(start) < _VERSION.stop:
        raise AgentError(f"{path!r} is no engine of TensorRT: it begins with {start[:4]!r}.")
    return PlanHeader(product, ".".join(str(number) for number in start[_VERSION]))
