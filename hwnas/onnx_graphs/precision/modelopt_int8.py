"""INT8 for TensorRT by NVIDIA's ModelOpt, where it is installed, instead of the quantiser of onnxruntime.

ModelOpt places its pairs after heuristics of its own and takes more kinds of operators; which of both is
better for a network shows when both are evaluated. It needs no GPU.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from hwnas.errors import ExportError
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod
from hwnas.onnx_graphs.precision.checking import checked
from hwnas.onnx_graphs.precision.portable_int8 import with_portable_quantisers
from hwnas.processes import module_command, run
from hwnas.scratch import ScratchDirectory

_METHODS = {CalibrationMethod.MIN_MAX: "max", CalibrationMethod.ENTROPY: "entropy"}
_CHILD = "hwnas.onnx_graphs.precision.modelopt_child"
_MOST_S = 3600.0


def check_modelopt(method: CalibrationMethod) -> None:
    """Refuse what cannot be had, before time is spent.

    Raises:
        ExportError: if ModelOpt is not installed, or does not know the way of calibration.
    """
    if method not in _METHODS:
        known = ", ".join(each.value for each in _METHODS)
        raise ExportError(f"ModelOpt finds ranges by {known}, but {method.value!r} was asked for.")
    # Looked for, not imported: see `modelopt_child`.
    if importlib.util.find_spec("modelopt") is None:
        raise ExportError(
            "The quantiser 'modelopt' is not installed. Install it with `pip install 'hwnas[modelopt]'`."
        )


def quantised_by_modelopt(
    model: onnx.ModelProto,
    inputs: Sequence[Mapping[str, npt.NDArray[np.float32]]],
    method: CalibrationMethod,
    *,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Return `model` with INT8 pairs and float16 elsewhere; inputs and outputs stay float32.

    Args:
        model: float32, with one input of batch 1; it stays as it is.
        inputs: by name, that ranges of activations are found on.
        method: how they are found.
        keep: names of layers that are not quantised.

    Raises:
        ExportError: if ModelOpt is missing, does not know `method`, or fails, or the model has several
            inputs.
    """
    check_modelopt(method)
    name = model.graph.input[0].name
    if len(model.graph.input) > 1:
        raise ExportError(
            f"ModelOpt is used on networks with one input, but this one has {len(model.graph.input)}. Leave "
            "out `quantizer=modelopt`."
        )
    with ScratchDirectory("modelopt") as scratch:
        directory = Path(scratch)
        request = {
            "model": str(directory / "model.onnx"),
            "images": str(directory / "images.npy"),
            "result": str(directory / "int8.onnx"),
            "input": name,
            "method": _METHODS[method],
            "exclude": [f"^{re.escape(name)}$" for name in keep],
        }
        onnx.save(model, request["model"])
        np.save(request["images"], np.concatenate([arrays[name] for arrays in inputs]))
        (directory / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run(directory / "request.json")
        found = onnx.load(request["result"])
    return checked(with_portable_quantisers(checked(found, "int8", like=model)), "int8", like=model)


def _run(request: Path) -> None:
    try:
        done = run(module_command(_CHILD, str(request)), timeout_s=_MOST_S)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"ModelOpt did not finish within {_MOST_S:.0f} s; give fewer inputs.") from error
    if done.returncode != 0:
        reason = "\n".join(done.stderr.decode(errors="replace").splitlines()[-5:])
        raise ExportError(
            f"ModelOpt cannot quantise the graph: {reason}\nLeave out `quantizer=modelopt` to use the "
            "quantiser of onnxruntime."
        )
