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
            MeasurementError: if the agent refuses, dies, hangs or answers nonsense, with the reason.
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
            MeasurementError: if it cannot be started.
        """
        ...

    def place_model(self, model: Path) -> str:
        """Make a model readable on the target and return its path there."""
        ...
