"""Reads what goes into an ONNX file and what comes out, where neither onnx nor a backend can be asked.

An ONNX file is one protocol-buffer message; the field numbers are those of onnx/onnx.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Tuple, Union

from hwnas.errors import ModelFileError
from hwnas.io_spec import TensorSpec, stated_size
from hwnas.latency.backends.errors import AgentError
from hwnas.model_files.external_data import ModelFiles, read_graph, read_model_files
from hwnas.model_files.protobuf_wire import child, fields, message_of, signed, text

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_NAME, _NODE_OPERATOR = 3, 4
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_TYPE_DTYPE, _TENSOR_TYPE_SHAPE = 1, 1, 2
_TYPE_OTHERS = {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}
_SHAPE_AXIS, _AXIS_SIZE, _AXIS_SYMBOL = 1, 1, 2
_DTYPES = {
    0: "unknown",
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
    27: "float6e2m3",
    28: "float6e3m2",
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
        symbols: by input, the name of each axis that is not fixed and has one; axes that share a name have
            the same size.
        unranked: inputs that do not even state how many axes they have.
        not_tensors: what inputs are that are no tensors, such as `sequence`, by their names.
    """

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    operators: Tuple[str, ...]
    weight_dtypes: Tuple[str, ...]
    nodes: Tuple[Tuple[str, str], ...]
    symbols: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    unranked: Tuple[str, ...] = ()
    not_tensors: Mapping[str, str] = field(default_factory=dict)


def model_files(path: str) -> ModelFiles:
    """Return all files of a model, see `hwnas.model_files.external_data.read_model_files`.

    Raises:
        AgentError: if one is missing, lies outside the model's directory, or is not what the graph says.
    """
    try:
        return read_model_files(path)
    except ModelFileError as error:
        raise AgentError(str(error)) from error


def identity_of_model(path: str) -> str:
    """Return the SHA-256 that stands for all files of a model.

    Raises:
        AgentError: as `model_files`.
    """
    try:
        return model_files(path).sha256()
    except ModelFileError as error:
        raise AgentError(str(error)) from error


def read_outline(path: str) -> OnnxOutline:
    """Return what the ONNX file at `path` says of itself.

    Raises:
        AgentError: if it cannot be read or is no ONNX file.
    """
    try:
        content = memoryview(read_graph(path))
    except ModelFileError as error:
        raise AgentError(str(error)) from error
    try:
        return _outline(_only_graph(content))
    except (ValueError, IndexError) as error:
        raise AgentError(
            f"{path!r} is refused: it is no whole ONNX file ({error}). Export it again."
        ) from error


def _only_graph(model: memoryview) -> memoryview:
    graphs = [message_of(value) for number, value in fields(model) if number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs instead of one")
    return graphs[0]


def _outline(graph: memoryview) -> OnnxOutline:
    inputs: List[_Value] = []
    outputs: List[TensorSpec] = []
    nodes: List[Tuple[str, str]] = []
    weights = {}
    for number, value in fields(graph):
        if number == _GRAPH_NODE:
            node = message_of(value)
            nodes.append((text(node, _NODE_NAME), text(node, _NODE_OPERATOR)))
        elif number == _GRAPH_INITIALIZER:
            tensor = message_of(value)
            dtype = [found for field, found in fields(tensor) if field == _TENSOR_TYPE]
            weights[text(tensor, _TENSOR_NAME)] = _dtype(dtype[0]) if dtype else "unknown"
        elif number == _GRAPH_INPUT:
            inputs.append(_value_info(message_of(value)))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_value_info(message_of(value)).spec)
    given = [value for value in inputs if value.spec.name not in weights]
    return OnnxOutline(
        tuple(value.spec for value in given),
        tuple(outputs),
        tuple(sorted({operator for _, operator in nodes})),
        tuple(sorted(set(weights.values()))),
        tuple(nodes),
        {value.spec.name: value.symbols for value in given},
        tuple(value.spec.name for value in given if not value.is_ranked),
        {value.spec.name: value.other_kind for value in given if value.other_kind},
    )


@dataclass(frozen=True)
class _Value:
    """An input or output, with the names of its axes."""

    spec: TensorSpec
    symbols: Mapping[int, str]
    is_ranked: bool
    other_kind: str


def _value_info(message: memoryview) -> _Value:
    name = text(message, _VALUE_NAME)
    kind = child(message, _VALUE_TYPE)
    others = [_TYPE_OTHERS[number] for number, _ in fields(kind) if number in _TYPE_OTHERS]
    tensor_type = child(kind, _TYPE_TENSOR)
    dtype = [value for number, value in fields(tensor_type) if number == _TENSOR_TYPE_DTYPE]
    shape: List[int] = []
    symbols: Dict[int, str] = {}
    for number, dimension in fields(child(tensor_type, _TENSOR_TYPE_SHAPE)):
        if number == _SHAPE_AXIS:
            axis = message_of(dimension)
            sizes = [size for field, size in fields(axis) if field == _AXIS_SIZE and isinstance(size, int)]
            symbol = text(axis, _AXIS_SYMBOL)
            if symbol:
                symbols[len(shape)] = symbol
            shape.append(stated_size(signed(sizes[-1]) if sizes else None))
    is_ranked = any(number == _TENSOR_TYPE_SHAPE for number, _ in fields(tensor_type))
    spec = TensorSpec(name, tuple(shape), _dtype(dtype[0]) if dtype else "unknown")
    return _Value(spec, symbols, is_ranked, others[-1] if others else "")


def _dtype(code: Union[int, memoryview]) -> str:
    return _DTYPES.get(code, f"onnx type {code}") if isinstance(code, int) else "unknown"
