"""Loads an ONNX file to be inspected; large weights stay where they are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import onnx

from hwnas.errors import ModelFileError
from hwnas.model_files.external_data import bytes_of_tensor, read_graph
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
    for tensor in _tensors(model.graph):
        if _is_external(tensor) and not any(entry.key == "location" for entry in tensor.external_data):
            raise ModelFileError(
                f"The tensor {tensor.name!r} of {path} must say which file holds its values, since they are "
                "external data, but names none. Save the model anew."
            )
        if _is_external(tensor) and math.prod(tensor.dims) <= MAX_KNOWN_VALUES:
            _read(tensor, path.parent)
    onnx.checker.check_model(_for_checker(model))
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a graph and of the bodies in it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*attribute.tensors, attribute.t)
            for body in (*attribute.graphs, attribute.g):
                yield from _tensors(body)


def _read(tensor: onnx.TensorProto, directory: Path) -> None:
    """Put the values of a tensor, which were found to be there, into it."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    size = bytes_of_tensor(tensor.dims, tensor.data_type)
    try:
        with (directory / entries["location"]).open("rb") as stream:
            stream.seek(int(entries.get("offset", 0)))
            content = stream.read(size)
    except OSError as error:
        raise ModelFileError(f"{error.filename} cannot be read: {error.strerror}.") from error
    tensor.raw_data = content
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.HasField("data_location") and tensor.data_location == onnx.TensorProto.EXTERNAL


def _for_checker(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that the checker does not refuse for what runtimes take.

    Inputs take the place of external weights, whose files it would look for in the working directory; inputs
    and outputs get a shape where the file states none.
    """
    has_external = any(_is_external(tensor) for tensor in model.graph.initializer)
    if not has_external and not any(map(_lacks_shape, (*model.graph.input, *model.graph.output))):
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
    for info in filter(_lacks_shape, (*graph.input, *graph.output)):
        info.type.tensor_type.shape.SetInParent()
    return changed


def _lacks_shape(info: onnx.ValueInfoProto) -> bool:
    return info.type.HasField("tensor_type") and not info.type.tensor_type.HasField("shape")
