"""What measuring more than the latency of a network alone asks of a meter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeter

Ask = Callable[..., Mapping[str, Any]]
"""Has a process on the target do something: by the name of an operation, `extra_s` that it may take beyond
the usual silence, and its arguments."""


@runtime_checkable
class SupportsCommands(LatencyMeter, Protocol):
    """A meter whose target takes single commands: for memory, energy, fixed rates, pipelines, engines."""

    @property
    def protocol(self) -> MeasuringProtocol:
        """Settings that every measurement of this meter follows."""
        ...

    def alone(self, model: Path) -> AbstractContextManager[tuple[Ask, str]]:
        """Give one fresh process that has the target to itself, and the path of `model` there.

        Raises:
            MeasurementError: as `measure`.
        """
        ...

    def beside(self, model: Path) -> AbstractContextManager[tuple[Ask, str]]:
        """Give one more process, as `alone` does, while that has the target to itself."""
        ...

    def place_model(self, model: Path) -> str:
        """Make one more model readable on the target and return its path there.

        Raises:
            MeasurementError: if the file cannot be read.
        """
        ...

    def with_options(self, options: Mapping[str, str]) -> AbstractContextManager[SupportsCommands]:
        """Give a meter of the same target whose backend has other options; it must not outlive this one."""
        ...
