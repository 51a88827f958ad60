"""What every change of precision ends with: types inferred anew, the checker, the notes of the original."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import onnx

from hwnas.errors import ExportError
from hwnas.onnx_graphs.cleaning import remove_traces
from hwnas.onnxruntime_loading import load_onnxruntime


def checked(model: onnx.ModelProto, what: str, *, like: onnx.ModelProto) -> onnx.ModelProto:
    """Return a valid `model` with inferred shapes, and metadata and producer of `like`.

    Args:
        model: freshly converted.
        what: was converted to, for the error.
        like: the model before.

    Raises:
        ExportError: if the result is not valid or has other inputs or outputs.
    """
    remove_traces(model)
    # Converters append the nodes they add; a valid graph lists producers first.
    sorting = onnxruntime_module("onnxruntime.transformers.onnx_model")
    sorting.OnnxModel.graph_topological_sort(model.graph, is_deterministic=True)
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        lines = "\n".join(str(error).splitlines()[:6])
        raise ExportError(f"The graph is not valid in {what}: {lines}") from error
    if _interface(inferred) != _interface(like):
        raise ExportError(f"The graph has other inputs or outputs in {what}; the converter must keep them.")
    inferred.producer_name, inferred.producer_version = like.producer_name, like.producer_version
    onnx.helper.set_model_props(inferred, {entry.key: entry.value for entry in like.metadata_props})
    # Converters leave operator sets behind that no node uses; TensorRT and our gate refuse foreign ones.
    used = {node.domain for node in inferred.graph.node}
    kept = [entry for entry in inferred.opset_import if entry.domain in used | {""}]
    del inferred.opset_import[:]
    inferred.opset_import.extend(kept)
    return inferred


def onnxruntime_module(name: str) -> Any:
    """Import a module of onnxruntime.

    Raises:
        ExportError: if onnxruntime is not installed.
    """
    try:
        return load_onnxruntime(name)
    except ImportError as error:
        raise ExportError(
            f"Other precisions than fp32 need {name}, which cannot be imported ({error}). "
            "Install it with `pip install hwnas[cpu]`."
        ) from error


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Silence what onnxruntime's quantiser logs and prints about every tensor; stdout belongs to results."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def _interface(model: onnx.ModelProto) -> list[tuple[str, int, tuple[int, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
        )
        for value in (*model.graph.input, *model.graph.output)
    ]
