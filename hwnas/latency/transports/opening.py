"""From a target to the way there."""

from __future__ import annotations

from hwnas.latency.backend_class import backend_class
from hwnas.latency.target import Target
from hwnas.latency.transports.base import Transport
from hwnas.latency.transports.local import LocalTransport
from hwnas.latency.transports.ssh import SshTransport


def open_transport(target: Target) -> Transport:
    """Return what starts agents on a target; nothing is connected yet.

    Raises:
        PluginError: if no backend of that name is installed.
        MeasurementError: if the backend is not Python source and so cannot travel.
    """
    if target.transport == "local":
        return LocalTransport(target.threads)
    return SshTransport(target, backend_class(target.backend).__module__)
