"""Reads what goes into an ONNX file and what comes out, where neither onnx nor a runtime can be asked.

An ONNX file is one protocol-buffer message. The wire format is that of
https://protobuf.dev/programming-guides/encoding, the field numbers are those of onnx/onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Tuple, Union

from hwnas.io_spec import TensorSpec
from hwnas.latency.agent.errors import AgentError

Field = Tuple[int, Union[int, memoryview]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_NAME, _NODE_OPERATOR = 3, 4
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
    17: "float8e4m3fn",
}


@dataclass(frozen=True)
class OnnxOutline:
    """What an ONNX file says of itself.

    Attributes:
        inputs: without those that have a value in the file; -1 for an axis that is not fixed.
        outputs: likewise.
        operators: names of the operators in it, sorted, each once.
        weight_dtypes: types of its weights, sorted, each once.
        nodes: name and operator of every node, in the order of the file.
    """

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    operators: Tuple[str, ...]
    weight_dtypes: Tuple[str, ...]
    nodes: Tuple[Tuple[str, str], ...]


def read_outline(path: str) -> OnnxOutline:
    """Return what the ONNX file at `path` says of itself.

    Raises:
        AgentError: if it cannot be read or is no ONNX file.
    """
    try:
        with open(path, "rb") as stream:
            content = memoryview(stream.read())
    except OSError as error:
        raise AgentError(f"The model {path!r} cannot be read: {error.strerror}.") from error
    try:
        return _outline(_only_graph(content))
    except (ValueError, IndexError) as error:
        raise AgentError(
            f"{path!r} is refused: it is no whole ONNX file ({error}). Export it again."
        ) from error


def _only_graph(model: memoryview) -> memoryview:
    graphs = [_message(value) for number, value in fields(model) if number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs instead of one")
    return graphs[0]


def _outline(graph: memoryview) -> OnnxOutline:
    inputs: List[TensorSpec] = []
    outputs: List[TensorSpec] = []
    nodes: List[Tuple[str, str]] = []
    weights = {}
    for number, value in fields(graph):
        if number == _GRAPH_NODE:
            node = _message(value)
            nodes.append((_text(node, _NODE_NAME), _text(node, _NODE_OPERATOR)))
        elif number == _GRAPH_INITIALIZER:
            tensor = _message(value)
            dtype = [found for field, found in fields(tensor) if field == _TENSOR_TYPE]
            weights[_text(tensor, _TENSOR_NAME)] = _dtype(dtype[0]) if dtype else "unknown"
        elif number == _GRAPH_INPUT:
            inputs.append(_value_info(_message(value)))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_value_info(_message(value)))
    return OnnxOutline(
        tuple(spec for spec in inputs if spec.name not in weights),
        tuple(outputs),
        tuple(sorted({operator for _, operator in nodes})),
        tuple(sorted(set(weights.values()))),
        tuple(nodes),
    )


def _value_info(message: memoryview) -> TensorSpec:
    name = _text(message, _VALUE_NAME)
    tensor_type = _child(_child(message, _VALUE_TYPE), 1)
    dtype = [value for number, value in fields(tensor_type) if number == 1]
    shape = []
    for number, dimension in fields(_child(tensor_type, 2)):
        if number == 1:
            sizes = [size for field, size in fields(_message(dimension)) if field == 1]
            shape.append(int(sizes[0]) if sizes and isinstance(sizes[0], int) else -1)
    return TensorSpec(name, tuple(shape), _dtype(dtype[0]) if dtype else "unknown")


def _dtype(code: Union[int, memoryview]) -> str:
    return _DTYPES.get(code, f"onnx type {code}") if isinstance(code, int) else "unknown"


def _child(message: memoryview, wished: int) -> memoryview:
    found = [_message(value) for number, value in fields(message) if number == wished]
    return found[-1] if found else memoryview(b"")


def _text(message: memoryview, wished: int) -> str:
    return bytes(_child(message, wished)).decode("utf-8")


def _message(value: Union[int, memoryview]) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message must be")  # noqa: TRY004 - a defect of the file
    return value


def fields(data: memoryview) -> Iterator[Field]:
    """Yield numbered fields: a number for integers, the content for everything of stated length."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown kind of field {kind}")
        if position + size > len(data):
            raise ValueError("it ends in the middle of a field")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than ten bytes")
