"""What an engine of TensorRT says of itself: who wrote it, on any machine; its layers, where it loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, ExportError
from hwnas.files import sha256_of_file
from hwnas.json_values import JsonObject
from hwnas.latency.backends.cuda_driver import CudaDriver
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.plan_file import is_plan, read_plan_header
from hwnas.latency.backends.tensorrt_build import import_tensorrt, make_log
from hwnas.onnx_graphs.inspection import GraphReport, inspect_onnx
from hwnas.text import counted, one_line


@dataclass(frozen=True)
class EngineReport:
    """What is known of an engine.

    Attributes:
        product: `tensorrt` or `tensorrt-rtx`.
        version: that wrote it.
        size_bytes: of the file.
        sha256: of the file.
        layers: what TensorRT tells of each, in order; None where it was not loaded.
        why_no_layers: why it was not; empty if it was.
    """

    product: str
    version: str
    size_bytes: int
    sha256: str
    layers: tuple[JsonObject, ...] | None
    why_no_layers: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": "engine", **asdict(self)}

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            f"{self.product} {self.version}",
            f"{self.size_bytes / 2**20:.1f} MiB",
            counted(len(self.layers), "layer") if self.layers is not None else "",
        )


def is_engine(path: Path) -> bool:
    """Return whether a file begins as engines do; False for one that cannot be read."""
    return is_plan(str(path))


def inspect_engine(path: Path, *, with_layers: bool) -> EngineReport:
    """Read the header of an engine and, where wanted, load it for its layers.

    Args:
        path: of the engine.
        with_layers: load it. That runs native code of the file: do it only with engines that you trust.

    Raises:
        ExportError: if it is no whole engine.
    """
    try:
        header = read_plan_header(str(path))
        digest, size = sha256_of_file(path), path.stat().st_size
    except (AgentError, OSError) as error:
        raise ExportError(f"{str(path)!r} cannot be inspected: {error}") from error
    layers, reason = None, "`load_engine=True` loads the engine for them, which runs native code of it"
    if with_layers:
        try:
            layers, reason = _layers(path, header.product), ""
        except AgentError as error:
            reason = str(error)
    return EngineReport(header.product, header.version, size, digest, layers, reason)


def inspect_model(
    path: str | Path, inputs: Sequence[str] = (), *, load_engine: bool = False
) -> GraphReport | EngineReport:
    """Return what is in a model file: layers, operators, work, parameters, precision; or who wrote an engine.

    Args:
        path: an ONNX file, or an engine of TensorRT.
        inputs: shapes or values of inputs whose axes are not fixed, such as `image=1x5x64x512`, `sr=16000` or
            `image=scan.npy`.
        load_engine: load an engine for its layers, which needs a GPU. That runs native code of the file: do
            it only with engines that you trust.

    Raises:
        ConfigError: if `inputs` does not fit.
        ExportError: if the file is neither, or damaged.
    """
    path = Path(path)
    if not is_engine(path):
        return inspect_onnx(path, inputs)
    if inputs:
        raise ConfigError("An engine has fixed inputs; shapes and values are for ONNX files.")
    return inspect_engine(path, with_layers=load_engine)


def _layers(path: Path, product: str) -> tuple[Mapping[str, Any], ...]:
    """Load the engine and ask TensorRT's inspector.

    Raises:
        AgentError: if the module or a GPU is missing, or the engine is not for them.
    """
    trt = import_tensorrt(product)
    driver = CudaDriver(0)
    log = make_log(trt)
    engine = trt.Runtime(log).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise AgentError(
            f"{product} {trt.__version__} cannot load it on {driver.identity()['gpu']}: "
            f"{'; '.join(log.messages[-3:]) or 'no reason given'}"
        )
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    found = json.loads(text).get("Layers", [])
    # Engines that were built without detailed verbosity have names only.
    return tuple(layer if isinstance(layer, dict) else {"Name": str(layer)} for layer in found)
