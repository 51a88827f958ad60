"""From a target to the way there."""

from __future__ import annotations

from hwnas.latency.backend_class import backend_class
from hwnas.latency.target import Target
from hwnas.latency.transports.base import Transport
from hwnas.latency.transports.local import LocalTransport
from hwnas.latency.transports.ssh import SshTransport
from hwnas.thread_counts import checked_threads


def open_transport(target: Target) -> Transport:
    """Return what starts agents on a target; nothing is connected yet.

    Raises:
        PluginError: if no backend of that name is installed.
        MeasurementError: if the backend is not Python source and so cannot travel.
        ConfigError: if the target asks for more threads than this machine can use.
    """
    if target.transport == "local":
        return LocalTransport(checked_threads(target.threads, least=1))
    return SshTransport(target, backend_class(target.backend).__module__)
