"""A Triton model repository: `triton/MODEL/config.pbtxt` and `triton/MODEL/1/model.onnx`.

Fields as in Triton's `model_config.proto`. The format is that of protobuf texts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from hwnas.errors import ExportError
from hwnas.export.integrations.base import Deployed, markdown_rows, template, write_text
from hwnas.io_spec import TensorSpec

REPOSITORY = "triton"
MODEL_FILE = "model.onnx"
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


def write_triton(deployed: Deployed) -> Mapping[str, Any]:
    """Write the model repository into the bundle.

    Raises:
        ExportError: if Triton has no type for a tensor.
    """
    model = deployed.bundle / REPOSITORY / deployed.name
    (model / "1").mkdir(parents=True)
    shutil.copyfile(deployed.bundle / deployed.file, model / "1" / MODEL_FILE)
    values = {
        "name": deployed.name,
        "model_file": MODEL_FILE,
        "source": deployed.file,
        "precision": deployed.precision,
        "tensors": "\n".join(
            [_tensor("input", tensor) for tensor in deployed.io_spec.inputs]
            + [_tensor("output", tensor) for tensor in deployed.io_spec.outputs]
        ),
        "table": markdown_rows(deployed.io_spec),
    }
    write_text(model / "config.pbtxt", template("triton/config.pbtxt").substitute(values))
    write_text(deployed.bundle / REPOSITORY / "README.md", template("triton/README.md").substitute(values))
    return {"repository": REPOSITORY, "model_name": deployed.name, "precision": deployed.precision}


def _tensor(kind: str, tensor: TensorSpec) -> str:
    if tensor.dtype not in _DATA_TYPES:
        raise ExportError(
            f"Triton has no type for {tensor.name!r} ({tensor.dtype}); leave out `--for triton`."
        )
    dims = ", ".join(map(str, tensor.shape))
    # JSON texts are protobuf texts as long as they are ASCII, which json.dumps sees to.
    name = json.dumps(tensor.name)
    return f"{kind} {{ name: {name} data_type: {_DATA_TYPES[tensor.dtype]} dims: [ {dims} ] }}"
