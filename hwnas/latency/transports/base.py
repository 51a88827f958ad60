"""What a meter needs from the way to its target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class AgentConnection(Protocol):
    """One running agent."""

    def request(self, operation: str, *, timeout_s: float, **arguments: Any) -> Mapping[str, Any]:
        """Send one request and return its reply.

        Raises:
            TargetLostError: if the connection is cut or the agent is killed.
            MeasurementError: if the agent refuses, crashes, hangs or answers nonsense, with the reason.
        """
        ...

    def close(self) -> None:
        """End the agent at once; calling it twice is harmless."""
        ...


class Transport(Protocol):
    """Starts agents on one target."""

    def start_agent(self) -> AgentConnection:
        """Start a fresh agent.

        Raises:
            TargetUnreachableError: if no connection comes about any more.
            MeasurementError: if it cannot be started.
        """
        ...

    def place_model(self, model: Path) -> str:
        """Make a model readable on the target and return its path there.

        Raises:
            TargetLostError: if the connection is cut meanwhile; no part of the model is then taken for it.
            MeasurementError: if the target cannot keep it, for instance because its disk is full.
        """
        ...

    def close(self) -> None:
        """Give back the connection; starting an agent afterwards makes a new one."""
        ...
