"""Settings of workers in a Ray cluster, and Ray itself, which is not installed everywhere."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hwnas.errors import ConfigError, StudyError

LOCAL = "local"
_REACHED_WITHIN_S = 10.0


@dataclass(frozen=True)
class RayOptions:
    """Settings of the executor in a run file.

    Attributes:
        address: of a cluster: `auto`, `host:port` or `ray://host:port`; `local` starts one on this machine.
        gpus_per_trial: share of a GPU that each worker gets; several share one below 1.
        cpus_per_trial: cores of each worker; None means `threads_per_worker`.
        retries: how often a job is given to another worker when its worker or node is lost.
        runtime_env: what Ray sets up on nodes, such as `{"pip": ["hwnas"]}`.
    """

    address: str = "auto"
    gpus_per_trial: float = 0.0
    cpus_per_trial: float | None = None
    retries: int = 3
    runtime_env: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if one is wrong.
        """
        numbers = {"gpus_per_trial": self.gpus_per_trial, "retries": self.retries}
        if self.cpus_per_trial is not None:
            numbers["cpus_per_trial"] = self.cpus_per_trial
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigError(f"The executor's {name} must be a finite number from 0, but is {value!r}.")
        if self.gpus_per_trial > 1 and self.gpus_per_trial != int(self.gpus_per_trial):
            raise ConfigError(f"gpus_per_trial above 1 must be whole, but is {self.gpus_per_trial}.")


def imported_ray() -> Any:
    """Return the module `ray`.

    Raises:
        ConfigError: if it cannot be imported.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            f"The executor 'ray' needs Ray, which cannot be imported: {error}. "
            "Install it with: pip install 'hwnas[ray]'"
        ) from error
    return ray


def check_reachable(address: str) -> None:
    """Refuse a cluster that nobody runs at once: Ray itself tries for minutes.

    Args:
        address: as in `RayOptions`; only one with a host and a port is tried.

    Raises:
        StudyError: if nothing listens there.
    """
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        if place.hostname is None or place.port is None:
            return
        socket.create_connection((place.hostname, place.port), timeout=_REACHED_WITHIN_S).close()
    except (OSError, ValueError) as error:
        raise no_cluster(address, error) from error


def no_cluster(address: str, reason: object) -> StudyError:
    """Return the error that says what to do where no cluster answers."""
    return StudyError(
        f"There must be a Ray cluster at {address!r}, but: {reason}. Start one with `ray start --head`, "
        "or use the address `local`."
    )
