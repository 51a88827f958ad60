"""INT8 for TensorRT by NVIDIA's ModelOpt, where it is installed, instead of the quantiser of onnxruntime.

ModelOpt places its pairs after heuristics of its own and takes more kinds of operators; which of both is
better for a network shows when both are judged. It needs no GPU.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from hwnas.errors import ExportError
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod
from hwnas.onnx_graphs.precision.checking import checked, silent

_METHODS = {CalibrationMethod.MIN_MAX: "max", CalibrationMethod.ENTROPY: "entropy"}


def check_modelopt(method: CalibrationMethod) -> None:
    """Refuse what cannot be had, before time is spent.

    Raises:
        ExportError: if ModelOpt is not installed, or does not know the way of calibration.
    """
    if method not in _METHODS:
        known = ", ".join(each.value for each in _METHODS)
        raise ExportError(f"ModelOpt finds ranges by {known}, but {method.value!r} was asked for.")
    _modelopt()


def quantised_by_modelopt(
    model: onnx.ModelProto,
    images: Sequence[npt.NDArray[np.float32]],
    method: CalibrationMethod,
    *,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Return `model` with INT8 pairs and float16 elsewhere; inputs and outputs stay float32.

    Args:
        model: float32, with one input of batch 1; it stays as it is.
        images: that ranges of activations are found on, each of the shape of the input.
        method: how they are found.
        keep: names of layers that are not quantised.

    Raises:
        ExportError: if ModelOpt is missing, does not know `method`, or fails.
    """
    check_modelopt(method)
    quantize = _modelopt().quantize
    with tempfile.TemporaryDirectory(prefix="hwnas-modelopt-") as scratch:
        source, result = Path(scratch) / "model.onnx", Path(scratch) / "int8.onnx"
        onnx.save(model, source)
        try:
            with silent():
                quantize(
                    str(source),
                    quantize_mode="int8",
                    calibration_data={model.graph.input[0].name: np.concatenate(list(images))},
                    calibration_method=_METHODS[method],
                    calibration_eps=["cpu"],
                    nodes_to_exclude=[f"^{re.escape(name)}$" for name in keep] or None,
                    high_precision_dtype="fp16",
                    output_path=str(result),
                    log_level="ERROR",
                )
            found = onnx.load(result)
        except (AssertionError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"ModelOpt cannot quantise the graph: {type(error).__name__}: {error}. Leave out "
                "`--quantizer modelopt` to use the quantiser of onnxruntime."
            ) from error
    return checked(found, "int8", like=model)


def _modelopt() -> Any:
    try:
        return importlib.import_module("modelopt.onnx.quantization")
    except ImportError as error:
        raise ExportError(
            f"The quantiser 'modelopt' cannot be imported ({error}). Install it with "
            "`pip install 'hwnas[modelopt]'`."
        ) from error
