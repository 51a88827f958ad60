"""Which integrations there are, and writing those that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwnas.bundle.integrations.base import Deployed, Writer
from hwnas.bundle.integrations.isaac_ros import write_isaac_ros
from hwnas.bundle.integrations.ros2 import write_ros2
from hwnas.bundle.integrations.triton import write_triton
from hwnas.errors import ConfigError, did_you_mean

TRITON, ISAAC_ROS, ROS2 = "triton", "isaac-ros", "ros2"
_WRITERS: dict[str, Writer] = {TRITON: write_triton, ISAAC_ROS: write_isaac_ros, ROS2: write_ros2}


def parse_integrations(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names in a list, or in a text such as `triton,isaac-ros`, in the order of writing.

    isaac-ros brings triton, whose repository one of its nodes serves.

    Raises:
        ConfigError: for a name that is none.
    """
    given = names.split(",") if isinstance(names, str) else names
    wanted = {name.strip() for name in given if name.strip()}
    for name in sorted(wanted - set(_WRITERS)):
        raise ConfigError(
            f"`integrations={name}` is none of {', '.join(_WRITERS)}.{did_you_mean(name, list(_WRITERS))}"
        )
    if ISAAC_ROS in wanted:
        wanted.add(TRITON)
    return tuple(name for name in _WRITERS if name in wanted)


def write_integrations(deployed: Deployed, wanted: Sequence[str]) -> dict[str, Any]:
    """Write the files of each integration into the bundle and return what the manifest says about them."""
    return {name: dict(_WRITERS[name](deployed)) for name in wanted}
