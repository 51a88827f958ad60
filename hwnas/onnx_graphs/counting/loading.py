"""Loads an ONNX file to be inspected; large weights stay where they are."""

from __future__ import annotations

import math
import os
from pathlib import Path

import onnx
import onnx.external_data_helper

from hwnas.external_data import read_graph
from hwnas.onnx_graphs.counting.values import MAX_KNOWN_VALUES


def checked_model(path: Path) -> onnx.ModelProto:
    """Return the model of a file whose external data was checked, after checking the rest.

    Small external tensors are read, since shapes may depend on them; large ones keep to their files.

    Raises:
        DecodeError: if it is no message.
        ValidationError: if it is no valid model.
        ModelFileError: if it cannot be read.
    """
    model = onnx.load_model_from_string(read_graph(os.fspath(path)))
    for tensor in onnx.external_data_helper._get_all_tensors(model):  # noqa: SLF001 - its public users read all
        if _is_external(tensor) and math.prod(tensor.dims) <= MAX_KNOWN_VALUES:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    onnx.checker.check_model(_without_external_data(model))
    return model


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.HasField("data_location") and tensor.data_location == onnx.TensorProto.EXTERNAL


def _without_external_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which inputs take the place of external weights.

    The checker would look for their files in the working directory, and refuses links.
    """
    if not any(_is_external(tensor) for tensor in model.graph.initializer):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    outside = [tensor for tensor in graph.initializer if _is_external(tensor)]
    kept = [tensor for tensor in graph.initializer if not _is_external(tensor)]
    known = {info.name for info in graph.input}
    graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in outside
        if tensor.name not in known
    )
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return changed
