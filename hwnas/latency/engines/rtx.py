"""Whether networks compile for NVIDIA GPUs, in every precision, on a machine that has none.

TensorRT for RTX builds engines for named compute capabilities on a processor. An engine that was built says
that the network compiles for such a GPU; it says nothing about speed, and nothing about Jetsons, whose
compute capabilities TensorRT for RTX does not have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from hwnas.files import write_bytes_atomically
from hwnas.latency.backends.cuda_driver import open_driver_if_any
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt_refusals import CannotRunThereError, ModelRefusedError
from hwnas.latency.backends.tensorrt_rtx import compile_for
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod, calibrate
from hwnas.onnx_graphs.precision.half import half_precision
from hwnas.onnx_graphs.precision.int8 import layers_of, quantised
from hwnas.onnx_graphs.precision.kinds import FP16, FP32, INT8, MIXED, Dialect
from hwnas.scratch import ScratchDirectory

BUILT, CANNOT_RUN_THERE, REFUSED, FAILED = "built", "cannot run there", "refused", "failed"

CAPABILITIES = ("SM86", "SM89", "SM120")
"""GeForce RTX 30, 40 and 50, and the professional cards of these generations."""
_EVERY_KEPT = 3


@dataclass(frozen=True)
class Build:
    """What came of one build.

    Attributes:
        network: its name.
        precision: `fp32`, `fp16`, `int8` or `mixed`.
        capability: compute capability that the engine is for, such as SM86.
        state: `built`; `cannot run there` where such GPUs lack what the network needs; `refused` where the
            parser does not know a node; `failed` for anything else.
        detail: what was said, naming nodes and modules; empty if it was built.
        engine_bytes: size of the engine, None without one.
        build_s: seconds that the build took.
    """

    network: str
    precision: str
    capability: str
    state: str
    detail: str
    engine_bytes: int | None
    build_s: float


def write_precisions(model: Path, inputs: Sequence[Mapping[str, npt.NDArray[np.float32]]]) -> dict[str, Path]:
    """Write every precision of the float32 file `model` beside it, in the dialect of TensorRT.

    `mixed` keeps every third layer out of INT8: what is to be shown is that such graphs build, not which
    layers an export would choose.

    Args:
        model: as `export_onnx` wrote it.
        inputs: of the network by name, for the ranges of its activations.

    Returns:
        the file of each precision; `model` itself for `fp32`.

    Raises:
        ExportError: if onnxruntime is missing, or a precision cannot be made.
    """
    graph = onnx.load(model)
    ranges = calibrate(graph, inputs, CalibrationMethod.MIN_MAX, symmetric=True)
    kept = layers_of(graph)[::_EVERY_KEPT]
    graphs = {
        FP16: half_precision(graph),
        INT8: quantised(graph, ranges, Dialect.TENSORRT),
        MIXED: quantised(graph, ranges, Dialect.TENSORRT, keep=kept),
    }
    written = {FP32: model}
    for precision, made in graphs.items():
        written[precision] = model.with_suffix(f".{precision}.onnx")
        write_bytes_atomically(written[precision], made.SerializeToString(deterministic=True))
    return written


def build_all(
    network: str, files: Mapping[str, Path], capabilities: Sequence[str] = CAPABILITIES
) -> Iterator[Build]:
    """Build an engine of every file for every compute capability, each on its own.

    Args:
        network: name for the record.
        files: ONNX file of each precision.
        capabilities: such as SM86.

    Raises:
        AgentError: if TensorRT for RTX is not installed.
    """
    with ScratchDirectory("rtx") as scratch:
        for precision, path in files.items():
            for capability in capabilities:
                yield _build(network, precision, path, capability, str(Path(scratch) / "engine"))


def why_not_here(capability: str) -> str:
    """Return why this machine cannot run an engine for a compute capability; empty if it can."""
    driver = open_driver_if_any()
    if driver is None:
        return "this machine has no NVIDIA GPU"
    identity = driver.identity()
    own = "SM" + identity["compute_capability"].replace(".", "")
    return "" if own == capability else f"the GPU of this machine, {identity['gpu']}, is {own}"


def _build(network: str, precision: str, path: Path, capability: str, engine: str) -> Build:
    start = time.perf_counter()
    state, detail, engine_bytes = BUILT, "", None
    try:
        engine_bytes = int(compile_for(str(path), [capability], engine)["engine_bytes"])
    except ModelRefusedError as error:
        state, detail = REFUSED, str(error)
    except CannotRunThereError as error:
        state, detail = CANNOT_RUN_THERE, str(error)
    except AgentError as error:
        state, detail = FAILED, str(error)
    return Build(network, precision, capability, state, detail, engine_bytes, time.perf_counter() - start)
