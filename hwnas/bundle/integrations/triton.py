"""A Triton model repository: `triton/MODEL/config.pbtxt` and `triton/MODEL/1/model.onnx`, or `model.plan`.

An engine of TensorRT in the bundle is served by Triton's TensorRT backend, which loads no engines of TensorRT
for RTX; without one, the ONNX file is served by ONNX Runtime.

Fields as in Triton's `model_config.proto`. The format is that of protobuf texts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

from hwnas.bundle.integrations.base import Deployed, markdown_rows, template, write_text
from hwnas.errors import ExportError
from hwnas.io_spec import TensorSpec

REPOSITORY = "triton"
_DATA_TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "float64": "TYPE_FP64",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "bool": "TYPE_BOOL",
}


class _Served(NamedTuple):
    """What Triton calls a kind of model, what its file is named there, and who runs it."""

    platform: str
    file: str
    server: str


_ONNX = _Served("onnxruntime_onnx", "model.onnx", "ONNX Runtime")
_PLAN = _Served("tensorrt_plan", "model.plan", "TensorRT, of the version and on the GPU it is for")


def write_triton(deployed: Deployed) -> Mapping[str, Any]:
    """Write the model repository into the bundle.

    Raises:
        ExportError: if Triton has no type for a tensor.
    """
    model = deployed.bundle / REPOSITORY / deployed.name
    (model / "1").mkdir(parents=True)
    served = _ONNX if deployed.engine is None else _PLAN
    source = deployed.engine or deployed.file
    shutil.copyfile(deployed.bundle / source, model / "1" / served.file)
    values = {
        "name": deployed.name,
        "platform": served.platform,
        "server": served.server,
        "model_file": served.file,
        "source": source,
        "precision": deployed.precision,
        "tensors": "\n".join(
            [_tensor("input", tensor) for tensor in deployed.io_spec.inputs]
            + [_tensor("output", tensor) for tensor in deployed.io_spec.outputs]
        ),
        "table": markdown_rows(deployed.io_spec),
    }
    write_text(model / "config.pbtxt", template("triton/config.pbtxt").substitute(values))
    write_text(deployed.bundle / REPOSITORY / "README.md", template("triton/README.md").substitute(values))
    return {
        "repository": REPOSITORY,
        "model_name": deployed.name,
        "precision": deployed.precision,
        "platform": served.platform,
    }


def _tensor(kind: str, tensor: TensorSpec) -> str:
    if tensor.dtype not in _DATA_TYPES:
        raise ExportError(
            f"Triton has no type for {tensor.name!r} ({tensor.dtype}); leave out `integrations=triton`."
        )
    dims = ", ".join(map(str, tensor.shape))
    # JSON texts are protobuf texts as long as they are ASCII, which json.dumps sees to.
    name = json.dumps(tensor.name)
    return f"{kind} {{ name: {name} data_type: {_DATA_TYPES[tensor.dtype]} dims: [ {dims} ] }}"
