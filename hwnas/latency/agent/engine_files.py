"""Builds the engine of a model on the target and hands its file out in pieces."""

from __future__ import annotations

import base64
from typing import Any, Callable, Dict

from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError

MAX_PIECE_BYTES = 1 << 20
BUILD_KEYS = ("fallback", "build_s", "layers_on_gpu")
"""What the record of an engine says of its build."""


class EngineFiles:
    """The engine that was asked for last."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        """Build with backends from `make`."""
        self._make = make
        self._path = ""

    def build_engine(self, model: str) -> Dict[str, Any]:
        """Build the engine of a model, or take the one built before from the same; return its records.

        Raises:
            AgentError: if the backend builds none, or refuses the model.
        """
        backend = self._make()
        engine_file = getattr(backend, "engine_file", None)
        if engine_file is None:
            raise AgentError(
                f"{type(backend).__name__} builds no engines that can be kept. Give the target "
                "backend=tensorrt or backend=tensorrt-rtx."
            )
        backend.load(model)
        self._path, identity = engine_file()
        record: Dict[str, Any] = getattr(backend, "build_record", dict)()
        return {"identity": identity, "build": {key: record.get(key) for key in BUILD_KEYS}}

    def adopt_build(self, model: str, build: int) -> Dict[str, Any]:
        """Let the engine of the build of that number be the one of the model from now on.

        Raises:
            AgentError: if the backend knows no builds, or this one was not made.
        """
        backend = self._make()
        adopt = getattr(backend, "adopt_build", None)
        if adopt is None:
            raise AgentError(f"{type(backend).__name__} builds no engines of which one could be chosen.")
        adopt(model, build)
        return {}

    def read_engine(self, offset: int, size_bytes: int) -> Dict[str, Any]:
        """Return a piece of the engine that was built last, as base64 text; empty behind its end.

        Raises:
            AgentError: if none was built, or it cannot be read.
        """
        if not self._path:
            raise AgentError("No engine was built; send 'build_engine' first.")
        try:
            with open(self._path, "rb") as stream:
                stream.seek(max(offset, 0))
                piece = stream.read(min(max(size_bytes, 0), MAX_PIECE_BYTES))
        except OSError as error:
            raise AgentError(f"The engine {self._path!r} cannot be read: {error.strerror}.") from error
        return {"piece": base64.b64encode(piece).decode("ascii")}
