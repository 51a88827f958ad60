"""The precisions, and what the backends make of them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from hwnas.errors import ConfigError

FP32, FP16, INT8, MIXED = "fp32", "fp16", "int8", "mixed"

PRECISIONS = (FP32, FP16, INT8, MIXED)
"""From the most exact to the one that is looked for last."""

HALF_SCALES_OPSET = 19
"""The first opset in which DequantizeLinear gives halves, as TensorRT's dialect of INT8 needs."""


class Dialect(Enum):
    """How a backend wants quantised graphs written.

    Attributes:
        TENSORRT: symmetric signed activations at the inputs of convolutions, no quantised bias, half
            precision elsewhere; what NVIDIA calls explicit quantisation.
        ONNXRUNTIME_CPU: unsigned activations at inputs and outputs of every operator that has an integer
            kernel, so that these join, and single precision elsewhere; processors compute no halves.
    """

    TENSORRT = "tensorrt"
    ONNXRUNTIME_CPU = "onnxruntime-cpu"

    @property
    def has_fast_half(self) -> bool:
        """Whether what is not quantised is computed in half precision."""
        return self is Dialect.TENSORRT

    @property
    def label(self) -> str:
        """What a user calls it: `tensorrt` or `onnxruntime`."""
        return "tensorrt" if self is Dialect.TENSORRT else "onnxruntime"


_BACKENDS = {"onnxruntime-cpu": "onnxruntime", "trtexec": "tensorrt"}
_DIALECTS = {
    "tensorrt": Dialect.TENSORRT,
    "tensorrt-rtx": Dialect.TENSORRT,
    "trtexec": Dialect.TENSORRT,
}


def dialect_of(backend: str, options: dict[str, Any] | None = None) -> Dialect:
    """Return the dialect of a backend of `hwnas.backends`; providers of NVIDIA take that of TensorRT."""
    provider = str((options or {}).get("provider", ""))
    if provider.startswith(("Tensorrt", "NvTensorRT", "CUDA")):
        return Dialect.TENSORRT
    return _DIALECTS.get(backend, Dialect.ONNXRUNTIME_CPU)


def precision_of(name: str) -> str:
    """Return the precision in a name such as `int8` or, in a second dialect, `int8.tensorrt`."""
    return name.partition(".")[0]


def backend_of(name: str) -> str:
    """Return what a runner calls a backend of `hwnas.backends`: `trtexec` clocks TensorRT, for instance."""
    return _BACKENDS.get(name, name)


def parse_precisions(text: str) -> tuple[str, ...]:
    """Return precisions written like `fp32,int8`, in the order of `PRECISIONS`, `fp32` always among them.

    Raises:
        ConfigError: if one is unknown.
    """
    named = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(named - set(PRECISIONS))
    if unknown:
        raise ConfigError(f"Precisions are {', '.join(PRECISIONS)}, but got {', '.join(unknown)}.")
    return tuple(name for name in PRECISIONS if name in named | {FP32})
