"""What an agent refuses on purpose; the message travels to the driver as it is."""

from __future__ import annotations

from hwnas.errors import HwnasError


class AgentError(HwnasError):
    """A request cannot be carried out; the message says why and what to do."""
