"""What an ONNX file says of the inputs and outputs of its graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from hwnas.io_spec import OPEN, TensorSpec, stated_size
from hwnas.model_files.inputs import DeclaredInput, GivenInput
from hwnas.onnx_graphs.counting.values import element_name


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph.

    Attributes:
        name: name of the tensor.
        dtype: such as `float32`, or `sequence(float32 [2, 2])` for what is no tensor.
        shape: size of every axis, or the name of one that is open; None for an open axis without a name.
            None in place of a shape that is not known, and of what is no tensor.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs without those that have a value in the file."""
    constants = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in constants]


def declared_input(info: onnx.ValueInfoProto) -> DeclaredInput:
    """Return what the file says of an input; one that is no tensor has no shape that could be open."""
    tensor = info.type.tensor_type
    symbols = {index: dim.dim_param for index, dim in enumerate(tensor.shape.dim) if dim.dim_param}
    spec = TensorSpec(info.name, tuple(map(_size, tensor.shape.dim)), type_name(info.type))
    return DeclaredInput(spec, symbols, tensor.HasField("shape") or not _is_tensor(info.type))


def described_input(info: onnx.ValueInfoProto, given: GivenInput) -> GraphTensor:
    """Return name, type and shape of an input for people; given sizes take the place of open axes."""
    described = _described(info.name, info.type)
    shape, known = described.shape, given.spec.shape
    if shape is not None:
        shape = tuple(own if size == OPEN else size for own, size in zip(shape, known, strict=True))
    elif _is_tensor(info.type) and (known or given.values is not None):
        shape = known
    return replace(described, shape=shape)


def described_output(info: onnx.ValueInfoProto, inferred: onnx.TypeProto | None) -> GraphTensor:
    """Return name, type and shape of an output as the file states them; what it leaves out is inferred."""
    described = _described(info.name, info.type)
    if described.shape is None and inferred is not None and not _is_other(info.type, inferred):
        return _described(info.name, inferred)
    return described


def is_contradiction(stated: onnx.TypeProto, found: onnx.TypeProto, first_axis: int = 0) -> bool:
    """Return whether no value can be of both types; axes before `first_axis` may have any size."""
    if type_name(stated) != type_name(found):
        return stated.WhichOneof("value") == found.WhichOneof("value") == "tensor_type" and all(
            kind.tensor_type.elem_type for kind in (stated, found)
        )
    one, other = _shape(stated), _shape(found)
    if one is None or other is None:
        return False
    pairs = list(zip(one, other, strict=False))[first_axis:]
    return len(one) != len(other) or any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs
    )


def type_name(kind: onnx.TypeProto) -> str:
    """Return the name of a type, such as `float32` or `sequence(float32 [2, 2])`."""
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        return f"sequence({whole_type(kind.sequence_type.elem_type)})"
    if which == "optional_type":
        return f"optional({whole_type(kind.optional_type.elem_type)})"
    if which == "map_type":
        key = element_name(kind.map_type.key_type)
        return f"map({key}, {whole_type(kind.map_type.value_type)})"
    if which == "sparse_tensor_type":
        return f"sparse {element_name(kind.sparse_tensor_type.elem_type)}"
    return element_name(kind.tensor_type.elem_type) if which == "tensor_type" else "type unknown"


def whole_type(kind: onnx.TypeProto) -> str:
    """Return the name of a type with its shape, if it is a tensor."""
    is_tensor = kind.WhichOneof("value") in {"tensor_type", "sparse_tensor_type"}
    return f"{type_name(kind)} {written_shape(_shape(kind))}" if is_tensor else type_name(kind)


def written_shape(shape: Sequence[int | str | None] | None) -> str:
    """Return a shape for people: `[1, rows, ?]`, or words if not even the number of axes is known."""
    if shape is None:
        return "shape unknown"
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _is_tensor(kind: onnx.TypeProto) -> bool:
    return kind.WhichOneof("value") in {None, "tensor_type"}


def _is_other(stated: onnx.TypeProto, inferred: onnx.TypeProto) -> bool:
    """Return whether the file states another type of elements, or another kind, than was inferred."""
    if inferred.WhichOneof("value") is None or stated.WhichOneof("value") is None:
        return inferred.WhichOneof("value") is None
    return type_name(stated) != type_name(inferred)


def _size(dim: onnx.TensorShapeProto.Dimension) -> int:
    return stated_size(dim.dim_value if dim.HasField("dim_value") else None)


def _described(name: str, kind: onnx.TypeProto) -> GraphTensor:
    return GraphTensor(name, type_name(kind), _shape(kind))


def _shape(kind: onnx.TypeProto) -> tuple[int | str | None, ...] | None:
    is_sparse = kind.WhichOneof("value") == "sparse_tensor_type"
    tensor = kind.sparse_tensor_type if is_sparse else kind.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(size if size != OPEN else dim.dim_param or None for dim, size in _axes(tensor.shape))


def _axes(shape: onnx.TensorShapeProto) -> list[tuple[onnx.TensorShapeProto.Dimension, int]]:
    return [(dim, _size(dim)) for dim in shape.dim]
