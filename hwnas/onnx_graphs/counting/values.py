"""What is known of a value in a graph without running it: type, perhaps content, and origin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TypeProto, helper

from hwnas.errors import ModelFileError
from hwnas.model_files.external_data import bytes_of_tensor

Shape = tuple[int | None, ...]
"""Sizes of the axes, None where one is not known."""

MAX_KNOWN_VALUES = 4096
"""Contents of larger tensors do not decide about shapes, so they are not kept."""


class UnknownShapeError(Exception):
    """The work of a node depends on a size that is not known."""


class ContradictionError(UnknownShapeError):
    """The sizes of a node do not fit each other, so no runtime runs it; the message says which."""


@dataclass(frozen=True)
class Value:
    """One value of a graph.

    Attributes:
        type: of it, None if it is not known.
        data: its content, if it is known and small.
        is_constant: whether it is the same in every inference: runtimes compute it once, when they load.
        weights: constants of the file that it was made from, by their names.
        quantised: type that it was before DequantizeLinear, such as `int8`; empty if it comes from elsewhere.
    """

    type: TypeProto | None = None
    data: NDArray[Any] | None = None
    is_constant: bool = False
    weights: frozenset[str] = frozenset()
    quantised: str = ""

    @property
    def element(self) -> int:
        """Type of its elements, see `TensorProto.DataType`; 0 if it is not known or no tensor."""
        return self.type.tensor_type.elem_type if self.type is not None else 0

    @property
    def shape(self) -> Shape | None:
        """Its shape, None if not even the number of axes is known; no size is negative."""
        if self.type is None or not self.type.HasField("tensor_type"):
            return None
        tensor = self.type.tensor_type
        if not tensor.HasField("shape"):
            return None
        sizes = (dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
        return tuple(None if size < 0 else size for size in sizes)

    def sizes(self) -> tuple[int, ...]:
        """Return its shape.

        Raises:
            UnknownShapeError: if a size is not known.
        """
        shape = self.shape
        if shape is None or any(size is None for size in shape):
            raise UnknownShapeError
        return tuple(size for size in shape if size is not None)

    def count(self) -> int:
        """Return how many values it has.

        Raises:
            UnknownShapeError: if a size is not known.
        """
        return math.prod(self.sizes())

    def without_data(self) -> Value:
        """Return what is left if the content may be another one each time."""
        return Value(self.type, weights=self.weights, quantised=self.quantised)


UNKNOWN = Value()


def tensor_type(element: int, shape: Sequence[int | None] | None) -> TypeProto:
    """Return the type of a tensor; None for what is not known of its shape."""
    return helper.make_tensor_type_proto(element, None if shape is None else list(shape))


def without_negative_sizes(kind: TypeProto) -> TypeProto:
    """Return a type whose negative sizes are not known: a runtime refuses them, and two of them multiply."""
    for dim in kind.tensor_type.shape.dim if kind.HasField("tensor_type") else ():
        if dim.dim_value < 0:
            dim.ClearField("dim_value")
    return kind


def value_of_array(array: NDArray[Any], *, weights: frozenset[str] = frozenset()) -> Value:
    """Return a constant."""
    element = helper.np_dtype_to_tensor_dtype(array.dtype)
    data = array if array.size <= MAX_KNOWN_VALUES else None
    return Value(tensor_type(element, array.shape), data, is_constant=True, weights=weights)


def value_of_tensor(tensor: onnx.TensorProto, name: str) -> Value:
    """Return a constant of the file; content that lies in another file is not read.

    Raises:
        ModelFileError: if it does not hold as many values as its shape says.
    """
    data = None
    is_inside = tensor.data_location != onnx.TensorProto.EXTERNAL
    needed = bytes_of_tensor(tensor.dims, tensor.data_type)
    is_whole = not tensor.raw_data or len(tensor.raw_data) == needed
    try:
        if is_inside and is_whole and math.prod(tensor.dims) <= MAX_KNOWN_VALUES:
            data = onnx.numpy_helper.to_array(tensor)
    except (TypeError, ValueError):
        is_whole = False
    if is_inside and not is_whole:
        raise ModelFileError(
            f"The tensor {tensor.name!r} does not hold the values of its shape {list(tensor.dims)} and type. "
            "Save the model anew."
        )
    kind = tensor_type(tensor.data_type, tensor.dims)
    return Value(kind, data, is_constant=True, weights=frozenset({name}))


def merged(first: Value, second: Value) -> Value:
    """Return what is known of a value that is one of two."""
    weights = first.weights | second.weights
    if first.type is None or second.type is None or first.element != second.element:
        return Value(weights=weights)
    if first.type == second.type:
        return Value(first.type, weights=weights)
    one, other = first.shape, second.shape
    if one is None or other is None or len(one) != len(other):
        return Value(tensor_type(first.element, None), weights=weights)
    sizes = [a if a == b else None for a, b in zip(one, other, strict=True)]
    return Value(tensor_type(first.element, sizes), weights=weights)


@dataclass(frozen=True)
class Call:
    """One node with what is known of its inputs and outputs.

    Attributes:
        operator: its name.
        inputs: None for one that is left out.
        outputs: likewise.
        attributes: texts as `str`.
    """

    operator: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def given(self, index: int) -> Value | None:
        """Return an input, None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def sizes(self, index: int) -> tuple[int, ...]:
        """Return the shape of an input.

        Raises:
            UnknownShapeError: if it is not known.
        """
        return (self.given(index) or UNKNOWN).sizes()

    def output_sizes(self) -> tuple[int, ...]:
        """Return the shape of the first output that is used.

        Raises:
            UnknownShapeError: if it is not known.
        """
        return next((value for value in self.outputs if value is not None), UNKNOWN).sizes()

    def number(self, name: str, default: int = 0) -> int:
        """Return an attribute that is a whole number."""
        return int(self.attributes.get(name, default))


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node that are neither graphs nor references."""
    found = {}
    for attribute in node.attribute:
        if attribute.type in {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}:
            continue
        value = helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def element_name(code: int) -> str:
    """Return the name of a type of elements, such as float32."""
    names = {1: "float32", 10: "float16", 11: "float64"}
    known = onnx.TensorProto.DataType.values()
    if code in names:
        return names[code]
    return onnx.TensorProto.DataType.Name(code).lower() if code in known else f"type {code}"


def as_int(value: Value | None) -> int | None:
    """Return the number that a value with one element holds, None if it is not known."""
    if value is None or value.data is None or value.data.size != 1:
        return None
    return int(np.asarray(value.data).reshape(-1)[0])
