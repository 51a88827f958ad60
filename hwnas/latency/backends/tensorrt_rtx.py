"""TensorRT for RTX: the same interface as TensorRT, engines finished on the GPU they run on."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Sequence

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt import TensorRt
from hwnas.latency.backends.tensorrt_build import build_engine, import_tensorrt


class TensorRtRtx(TensorRt):
    """One engine of TensorRT for RTX, built for the compute capability of the GPU that is to run it.

    Its timings stand for RTX graphics cards, never for Jetsons: it has neither their compute capabilities nor
    a timing-based choice of kernels.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "device": TensorRt.OPTIONS["device"],
        "workspace_mb": TensorRt.OPTIONS["workspace_mb"],
        "tf32": TensorRt.OPTIONS["tf32"],
    }
    PRODUCT: ClassVar[str] = "tensorrt-rtx"

    def __init__(self, threads: int, device: str = "0", workspace_mb: str = "0", tf32: str = "on") -> None:
        """Import TensorRT for RTX and open the GPU.

        Raises:
            AgentError: if either is missing, the GPU is none it supports, or an option is out of range.
        """
        super().__init__(threads, device=device, workspace_mb=workspace_mb, tf32=tf32)
        capability = "SM" + self._driver.identity()["compute_capability"].replace(".", "")
        known = supported_capabilities()
        if capability not in known:
            raise AgentError(
                f"TensorRT for RTX {self._trt.__version__} supports {known}, but this GPU is {capability}. "
                "Use backend=tensorrt on it."
            )
        # Without it the default accepts types, such as FP8, that this GPU may not have.
        self._settings["compute_capabilities"] = [capability]

    def _build_paths(self, model: str, key: str) -> Dict[str, str]:
        return {"model": model, "engine": self._cache.path(key), "timing_cache": ""}


def supported_capabilities() -> List[str]:
    """Return the compute capabilities that the installed version builds for, such as SM86.

    Raises:
        AgentError: if it is not installed.
    """
    trt = import_tensorrt(TensorRtRtx.PRODUCT)
    names = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    return sorted(names, key=lambda name: int(name[2:]))


def compile_for(model: str, capabilities: Sequence[str], engine: str) -> Dict[str, Any]:
    """Build an engine for named compute capabilities; needs no GPU.

    Success says that the model compiles for them, nothing about its speed.

    Args:
        model: path of an ONNX file.
        capabilities: such as SM86; see `supported_capabilities`.
        engine: path to write.

    Raises:
        AgentError: if the model is refused, naming the node, or does not compile.
    """
    return build_engine(
        {
            "product": TensorRtRtx.PRODUCT,
            "model": model,
            "engine": engine,
            "timing_cache": "",
            "optimization_level": 3,
            "workspace_mb": 0,
            "tf32": True,
            "dla_core": -1,
            "compute_capabilities": list(capabilities),
        }
    )
