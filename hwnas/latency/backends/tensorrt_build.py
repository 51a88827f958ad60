"""Builds an engine with TensorRT 10, TensorRT 11 or TensorRT for RTX; meant to run in a child process.

Precision comes from the types in the ONNX file: networks are strongly typed wherever the flag exists. What a
version offers is asked of its module, never deduced from its number; the one exception is the fallback for
versions before 10.12, whose strong typing does not cover all operators (NVIDIA's migration guide).
"""

from __future__ import annotations

import hashlib
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline, model_files, read_outline
from hwnas.latency.backends.tensorrt_compatibility import set_compatibility
from hwnas.latency.backends.tensorrt_refusals import (
    CannotRunThereError,
    ProfileMissingError,
    build_error,
    parse_model,
    refuse_open_inputs,
)
from hwnas.latency.backends.trtexec_flags import STRONG_TYPING_COMPLETE

if TYPE_CHECKING:
    import tensorrt

MODULES = {
    "tensorrt": ("tensorrt",),
    # With the bindings package alone installed, the module has the longer name.
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
_MAX_MESSAGES = 20


def import_tensorrt(product: str) -> Any:
    """Return the Python module of `tensorrt` or `tensorrt-rtx`.

    Raises:
        AgentError: if it is not installed or its libraries do not load.
    """
    reasons = []
    for name in MODULES[product]:
        try:
            module = import_module(name)
            if hasattr(module, "Builder"):
                return module
            reasons.append(f"{name}: it is not TensorRT itself, but for instance its type stubs")
        except (ImportError, OSError, FileNotFoundError) as error:
            reasons.append(f"{name}: {error}")
    hint = {
        "tensorrt": "pip install 'hwnas[tensorrt]'. On a Jetson it belongs to JetPack: install "
        "python3-libnvinfer and let the virtual environment see system packages, or use backend=trtexec.",
        "tensorrt-rtx": "pip install 'hwnas[rtx]'.",
    }[product]
    raise AgentError(
        f"The backend {product!r} needs its Python module, but importing it fails ({'; '.join(reasons)}). "
        f"Install it with: {hint}"
    )


def make_log(trt: Any) -> Any:
    """Return a logger for TensorRT that keeps the last warnings and errors in `messages`."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: List[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.messages = [*self.messages[1 - _MAX_MESSAGES :], str(message).strip()]

    return Log()


def build_engine(request: Mapping[str, Any]) -> Dict[str, Any]:
    """Build an engine, write it to a file and return what was done.

    Args:
        request: `product` (a key of `MODULES`), `model` and `engine` (paths), `timing_cache` (path, or empty
            for none), `optimization_level` (0 to 5), `workspace_mb` (0: all memory), `tf32` (bool),
            `dla_core` (-1: GPU only), `compute_capabilities` (TensorRT for RTX: names such as SM86; empty:
            its default), and, where wanted, `hardware_compatibility` (none, ampere-plus or
            same-compute-capability), `version_compatible` (bool), `build_route` (text; empty for its own).

    Returns:
        `typing` (strong or weak), `fallback` (why strong typing did not do, empty if it did), `build_s`,
        `engine_bytes`, `engine_sha256`, `layers_on_gpu` (those that the DLA cannot run; None without DLA),
        `messages` (last warnings).

    Raises:
        ModelRefusedError: if the parser refuses the model, naming the node and its module.
        ProfileMissingError: if inputs of the model have no fixed shape, or hold shapes.
        CannotRunThereError: if a GPU that it is built for cannot run it.
        AgentError: if the engine cannot be built for another reason, with that.
    """
    trt = import_tensorrt(request["product"])
    model_files(request["model"])
    outline = read_outline(request["model"])
    log = make_log(trt)
    start = time.perf_counter()
    typing = "strong" if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") else "weak"
    fallback = ""
    try:
        plan, on_gpu = _build(trt, log, request, outline, typing)
    except ProfileMissingError:
        raise
    except AgentError as error:
        if typing == "weak" or not _knows_weak_typing(trt, request["product"]):
            raise
        typing, fallback = "weak", str(error)
        plan, on_gpu = _build(trt, log, request, outline, typing)
    with open(request["engine"], "wb") as stream:
        stream.write(plan)
    return {
        "typing": typing,
        "fallback": fallback,
        "build_s": time.perf_counter() - start,
        "engine_bytes": len(plan),
        "engine_sha256": hashlib.sha256(plan).hexdigest(),
        "layers_on_gpu": on_gpu,
        "messages": log.messages,
    }


def _knows_weak_typing(trt: Any, product: str) -> bool:
    """Return whether to try weak typing where strong typing fails; TensorRT for RTX has none of it."""
    is_old = version_of(trt) < STRONG_TYPING_COMPLETE
    return product == "tensorrt" and is_old and hasattr(trt.BuilderFlag, "FP16")


def version_of(trt: Any) -> Tuple[int, ...]:
    """Return the version of a TensorRT module as numbers."""
    return tuple(int(part) for part in str(trt.__version__).split(".") if part.isdecimal())


def _build(
    trt: Any, log: Any, request: Mapping[str, Any], outline: OnnxOutline, typing: str
) -> Tuple[bytes, Any]:
    builder: tensorrt.Builder = trt.Builder(log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) if typing == "strong" else 0
    network: tensorrt.INetworkDefinition = builder.create_network(flags)
    parse_model(trt, log, network, request["model"], outline)
    refuse_open_inputs(trt, network)
    config: tensorrt.IBuilderConfig = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = int(request["optimization_level"])
    if request["workspace_mb"]:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(request["workspace_mb"]) << 20)
    if not request["tf32"]:
        config.clear_flag(trt.BuilderFlag.TF32)
    if typing == "weak":
        _allow_types_of_file(trt, config, outline)
    set_compatibility(trt, config, request)
    _set_compute_capabilities(trt, config, request["compute_capabilities"])
    on_gpu = _use_dla(trt, builder, config, network, int(request["dla_core"]))
    _load_timing_cache(config, request["timing_cache"])
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise build_error(trt, log, outline)
    _save_timing_cache(config, request["timing_cache"])
    return bytes(memoryview(plan)), on_gpu


def _allow_types_of_file(trt: Any, config: tensorrt.IBuilderConfig, outline: OnnxOutline) -> None:
    """Let a weakly typed network use the types that its file states; older versions know no other way."""
    wished = {
        "FP16": "float16" in outline.weight_dtypes,
        "BF16": "bfloat16" in outline.weight_dtypes,
        "INT8": "QuantizeLinear" in outline.operators or "DequantizeLinear" in outline.operators,
    }
    for name in (name for name, is_wished in wished.items() if is_wished):
        if not hasattr(trt.BuilderFlag, name):
            raise AgentError(
                f"TensorRT {trt.__version__} offers neither strong typing nor the flag {name} that this file "
                "needs. Export the model in float32, or update TensorRT."
            )
        config.set_flag(getattr(trt.BuilderFlag, name))


def _set_compute_capabilities(trt: Any, config: Any, names: Sequence[str]) -> None:
    if not names:
        return
    if not hasattr(config, "set_compute_capability"):
        raise AgentError(
            f"TensorRT {trt.__version__} builds for the GPU it runs on only, but {list(names)} were asked "
            "for. Use tensorrt-rtx for that, or build on the board."
        )
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        if name not in known:
            raise CannotRunThereError(
                f"{trt.__name__} {trt.__version__} builds for {known}, but not for {name!r}."
            )
        config.set_compute_capability(getattr(trt.ComputeCapability, name), index)


def _use_dla(
    trt: Any,
    builder: tensorrt.Builder,
    config: tensorrt.IBuilderConfig,
    network: tensorrt.INetworkDefinition,
    core: int,
) -> Any:
    """Put the network on a DLA core and return the names of the layers that the GPU must run instead."""
    if core < 0:
        return None
    if builder.num_DLA_cores <= core:
        raise AgentError(
            f"DLA core {core} was asked for, but TensorRT {trt.__version__} finds {builder.num_DLA_cores} "
            "here. Leave 'dla_core' out: Orin has a DLA up to TensorRT 10.7 and from 11.4.1, Thor has none."
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return [layer.name for layer in layers if not config.can_run_on_DLA(layer)]


def _load_timing_cache(config: tensorrt.IBuilderConfig, path: str) -> None:
    """Start from the kernel timings of earlier builds, so that layers seen before are not timed again."""
    if not path:
        return
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        content = b""
    # One of another device or version is not taken over; TensorRT checks that itself.
    cache = config.create_timing_cache(content) or config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=False)


def _save_timing_cache(config: tensorrt.IBuilderConfig, path: str) -> None:
    from hwnas.files import write_bytes_atomically

    cache = config.get_timing_cache() if path else None
    if cache is not None:
        write_bytes_atomically(path, bytes(memoryview(cache.serialize())))
