"""Settings of a build that only some versions of TensorRT offer; what is asked for and absent is an error."""

from __future__ import annotations

from typing import Any, Mapping

from hwnas.latency.backends.engine_identity import ANY_AMPERE, SAME_CAPABILITY
from hwnas.latency.backends.errors import AgentError

HARDWARE_LEVELS = {
    "none": "NONE",
    ANY_AMPERE: "AMPERE_PLUS",
    SAME_CAPABILITY: "SAME_COMPUTE_CAPABILITY",
}


def set_compatibility(trt: Any, config: Any, request: Mapping[str, Any]) -> None:
    """Set what `request` asks for of hardware compatibility, version compatibility and build route.

    Raises:
        AgentError: if this version does not offer it.
    """
    level = request.get("hardware_compatibility", "none")
    if level != "none":
        levels = getattr(trt, "HardwareCompatibilityLevel", None)
        _need(trt, f"hardware_compatibility={level}", is_offered=hasattr(levels, HARDWARE_LEVELS[level]))
        config.hardware_compatibility_level = getattr(levels, HARDWARE_LEVELS[level])
    if request.get("version_compatible"):
        _need(trt, "version_compatible=on", is_offered=hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"))
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request.get("build_route"):
        # An empty list of routes is what TensorRT for RTX has; setting one there would change nothing.
        has_routes = bool(getattr(config, "all_build_routes", ""))
        _need(trt, f"build_route={request['build_route']}", is_offered=has_routes)
        config.build_route = request["build_route"]


def _need(trt: Any, what: str, *, is_offered: bool) -> None:
    if not is_offered:
        raise AgentError(
            f"{what} was asked for, but TensorRT {trt.__version__} does not offer it. Leave it out, or "
            "update TensorRT."
        )
