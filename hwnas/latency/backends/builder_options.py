"""What TensorRT's builder is told alike, whether Python or trtexec builds the engine."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from hwnas.latency.backends.options import one_of, whole_number

DEVICE = "number of the GPU, 0 unless given"
BUILD = "number of the build; a higher one builds anew without known timings, to compare builds"
BUILDER_OPTIONS: Mapping[str, str] = {
    "dla_core": "number of the DLA core, with the GPU for what it cannot run; GPU only unless given",
    "optimization_level": "effort of the builder, 0 to 5; 3 unless given, as TensorRT has it",
    "workspace_mb": "most scratch memory of a layer in MiB; all of it unless given",
    "tf32": "on or off: whether float32 may be computed in TF32; on unless given, as TensorRT has it",
}


def builder_settings(dla_core: str, optimization_level: str, workspace_mb: str, tf32: str) -> Dict[str, Any]:
    """Return `BUILDER_OPTIONS` as they go into the settings of a backend; `dla_core` is -1 for the GPU only.

    Raises:
        AgentError: if one is out of range.
    """
    return {
        "dla_core": whole_number("dla_core", dla_core) if dla_core else -1,
        "optimization_level": whole_number("optimization_level", optimization_level, 0, 5),
        "workspace_mb": whole_number("workspace_mb", workspace_mb, 0, 1 << 20),
        "tf32": one_of("tf32", tf32, ("on", "off")) == "on",
    }
