"""Goes through a graph as a runtime does, with what is known of its values in place of the values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from hwnas.errors import ModelFileError
from hwnas.onnx_graphs.counting import bodies, contrib
from hwnas.onnx_graphs.counting.inference import evaluate, infer_types
from hwnas.onnx_graphs.counting.operators import (
    COUNTED,
    FREE,
    SETTING_INPUTS,
    WEIGHT_INPUTS,
)
from hwnas.onnx_graphs.counting.values import (
    MAX_KNOWN_VALUES,
    UNKNOWN,
    Call,
    ContradictionError,
    UnknownShapeError,
    Value,
    attributes_of,
    element_name,
    tensor_type,
    value_of_array,
    value_of_tensor,
)
from hwnas.onnx_graphs.counting.work import NodeWork, WorkLog

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_BOUNDED = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""Operators whose outputs are of a size that is not known before, and no larger than the inputs."""
_FLOATS = frozenset({1, 10, 11, 16, 17, 18, 19, 20, 23})
_INT8 = frozenset({2, 3})
_QUANTISED = ("QLinear", "QGemm", "QAttention", "MatMulInteger", "ConvInteger", "DynamicQuantize")
_KEEPS = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice"})
_NOT_LAYERS = frozenset({"QuantizeLinear", "DequantizeLinear", "Constant"})
MAX_VISITS = 500_000
"""Nodes that are gone through, those of bodies once for each run that is not known to equal another."""


@dataclass(frozen=True)
class Weight:
    """A constant tensor of the file.

    Attributes:
        count: its values.
        element: their type.
    """

    count: int
    element: int


class Interpreter:
    """Counts one model, whose local functions were inlined."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.opsets = {
            "" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import
        }
        self.ir_version = model.ir_version
        self.weights: dict[str, Weight] = {}
        self._visits = 0

    def run(
        self,
        graph: onnx.GraphProto,
        outer: Mapping[str, Value],
        inputs: Sequence[Value],
        log: WorkLog,
        place: tuple[int, ...] = (),
        prefix: str = "",
    ) -> list[Value]:
        """Go through a graph and return its outputs.

        Args:
            graph: the main graph, or a body.
            outer: values that the graph may use beside its own.
            inputs: of the graph, in its order, without those that have a value in it.
            log: takes what is counted.
            place: of the node whose body it is.
            prefix: of the names of its nodes.

        Raises:
            ModelFileError: if bodies in bodies run so often that nobody would wait for the end, or a tensor
                does not hold the values of its shape.
        """
        self._visits += len(graph.node) + 1
        if self._visits > MAX_VISITS:
            raise ModelFileError(
                f"Its nested loops run so often that more than {MAX_VISITS:,} nodes would have to be gone "
                "through one by one. Save the model with fewer nested loops."
            )
        values = dict(outer)
        given = _inputs_of(graph)
        for info, value in zip(given, inputs, strict=False):
            values[info.name] = value if value.type is not None else replace(value, type=_declared(info))
        for tensor in graph.initializer:
            values[tensor.name] = self._constant(tensor, f"{place}{tensor.name}")
        for sparse in graph.sparse_initializer:
            values[sparse.values.name] = self._sparse(sparse, f"{place}{sparse.values.name}")
        declared = {info.name: info.type for info in graph.value_info}
        used = _used_nodes(graph)
        for index, node in enumerate(graph.node):
            if index in used:
                self._node(node, values, declared, log, (*place, index), prefix)
        return [values.get(info.name, UNKNOWN) for info in graph.output]

    def _node(
        self,
        node: onnx.NodeProto,
        values: dict[str, Value],
        declared: Mapping[str, onnx.TypeProto],
        log: WorkLog,
        place: tuple[int, ...],
        prefix: str,
    ) -> None:
        inputs = [values.get(name, UNKNOWN) if name else None for name in node.input]
        body = bodies.BODIES.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        if body is not None:
            name = f"{prefix}{node.name or node.op_type}"
            outputs = body(self, node, inputs, bodies.Surroundings(values, log, place, f"{name}/"))
            log.add(place, NodeWork(name, node.op_type, "", (), 0, frozenset()))
        elif node.op_type == "Constant":
            outputs = [self._constant_node(node, f"{place}{node.output[0]}")]
        else:
            outputs = self._plain(node, inputs, log, place, prefix)
        for index, name in enumerate(node.output):
            if name:
                found = outputs[index] if index < len(outputs) else UNKNOWN
                if (found.type is None or found.shape is None) and name in declared:
                    found = replace(found, type=declared[name])
                values[name] = found

    def _plain(
        self,
        node: onnx.NodeProto,
        inputs: list[Value | None],
        log: WorkLog,
        place: tuple[int, ...],
        prefix: str,
    ) -> list[Value]:
        """Go through a node without bodies."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        rule = contrib.rule_of(node.op_type) if domain == contrib.DOMAIN else None
        key = f"{domain}.{node.op_type}" if domain else node.op_type
        call = Call(
            node.op_type,
            tuple(inputs),
            tuple(UNKNOWN if name else None for name in node.output),
            attributes_of(node),
        )
        settings = rule.settings if rule else SETTING_INPUTS.get(key, ())
        is_folded = node.op_type not in _RANDOM and all(
            value is None or value.is_constant for value in inputs
        )
        outputs = self._outputs(node, call, rule)
        call = replace(call, outputs=tuple(outputs))
        sources = frozenset[str]().union(
            *(value.weights for index, value in enumerate(inputs) if value and index not in settings)
        )
        if is_folded:
            outputs = [
                None if value is None else replace(value, is_constant=True, weights=sources)
                for value in outputs
            ]
        name = f"{prefix}{node.name}"
        macs = 0 if is_folded else self._macs(key, rule, call, name or node.output[0], log)
        if node.op_type not in _NOT_LAYERS:
            shape = outputs[0].shape if outputs and outputs[0] is not None else None
            work = NodeWork(
                name,
                key,
                _precision(node, inputs, outputs),
                tuple(size or 0 for size in shape) if shape and None not in shape else (),
                macs,
                frozenset() if is_folded else self._used(key, rule, call, settings),
            )
            log.add(place, work)
        return [value or UNKNOWN for value in outputs]

    def _outputs(self, node: onnx.NodeProto, call: Call, rule: contrib.Rule | None) -> list[Value | None]:
        """Return what is known of a node's outputs; nothing of it is constant yet."""
        if rule is not None:
            found = contrib.outputs_of(rule, call)
        elif node.op_type == "Shape" and node.domain in {"", "ai.onnx"}:
            found = [replace(_shape(call), is_constant=False)]
        else:
            types = infer_types(node, call.inputs, self.opsets, self.ir_version)
            found = [Value(types.get(name)) if name else None for name in node.output]
        found = _marked(node, call, found)
        is_known = all(value is None or value.data is not None for value in call.inputs)
        if not is_known or node.op_type in _RANDOM | {"Shape"} or rule is not None:
            return found
        if node.op_type not in _BOUNDED and _is_large(found):
            return found
        contents = evaluate(node, call.inputs, self.opsets, self.ir_version)
        return [
            value if value is None or name not in contents else _with_data(value, contents[name])
            for name, value in zip(node.output, found, strict=True)
        ]

    def _macs(self, key: str, rule: contrib.Rule | None, call: Call, name: str, log: WorkLog) -> int | None:
        """Return the work of a call, None if it is not known; one that no runtime takes is noted."""
        counter = rule.count if rule is not None else COUNTED.get(key)
        if counter is None:
            return 0 if rule is not None or key in FREE else None
        try:
            macs = counter(call)
        except ContradictionError as error:
            log.note(f"{name} ({key}) cannot run: {error}")
            return None
        except (UnknownShapeError, IndexError, KeyError, ValueError, ZeroDivisionError):
            return None  # sizes that are not known, or not those that the operator takes
        return None if macs < 0 else macs  # of attributes that no runtime takes, such as -2 heads

    def _used(
        self, key: str, rule: contrib.Rule | None, call: Call, settings: Sequence[int]
    ) -> frozenset[str]:
        """Return the constants that a call uses as weights."""
        always = rule.weights if rule is not None else WEIGHT_INPUTS.get(key, ())
        found: set[str] = set()
        for index, value in enumerate(call.inputs):
            if value is None or index in settings or not value.is_constant:
                continue
            if index in always:
                found |= value.weights
            elif value.element in _FLOATS and not _is_single(value):
                found |= {name for name in value.weights if self.weights[name].element in _FLOATS | _INT8}
        if key == f"{contrib.DOMAIN}.MatMulNBits":
            packed = call.given(1)
            for name in packed.weights if packed is not None else ():
                count = contrib.parameters_of_few_bits(call)
                self.weights[name] = replace(self.weights[name], count=count)
                found.add(name)
        return frozenset(found)

    def _constant(self, tensor: onnx.TensorProto, name: str) -> Value:
        self.weights.setdefault(name, Weight(math.prod(tensor.dims), tensor.data_type))
        return value_of_tensor(tensor, name)

    def _sparse(self, tensor: onnx.SparseTensorProto, name: str) -> Value:
        self.weights.setdefault(name, Weight(math.prod(tensor.values.dims), tensor.values.data_type))
        kind = tensor_type(tensor.values.data_type, tensor.dims)
        return Value(kind, is_constant=True, weights=frozenset({name}))

    def _constant_node(self, node: onnx.NodeProto, name: str) -> Value:
        attribute = node.attribute[0] if node.attribute else onnx.AttributeProto()
        if attribute.name == "value":
            return self._constant(attribute.t, name)
        if attribute.name == "sparse_value":
            return self._sparse(attribute.sparse_tensor, name)
        contents = evaluate(node, [], self.opsets, self.ir_version)
        found = contents.get(node.output[0])
        if found is None:
            types = infer_types(node, [], self.opsets, self.ir_version)
            return Value(types.get(node.output[0]), is_constant=True)
        value = value_of_array(found, weights=frozenset({name}))
        self.weights.setdefault(name, Weight(found.size, value.element))
        return value


def _shape(call: Call) -> Value:
    """Return the shape of a value, which is known before the value is, and is the same each time."""
    shape = (call.given(0) or UNKNOWN).shape
    if shape is None:
        return Value(tensor_type(onnx.TensorProto.INT64, None))
    end = call.attributes.get("end")
    part = shape[slice(call.number("start"), None if end is None else int(end))]
    if None in part:
        return Value(tensor_type(onnx.TensorProto.INT64, (len(part),)))
    return value_of_array(np.array(part, dtype=np.int64))


def _with_data(value: Value, data: NDArray[Any]) -> Value:
    """Return a value with its content, which says its shape, too; texts have no type that numpy knows."""
    kind = value.type or value_of_array(data).type
    element = kind.tensor_type.elem_type if kind is not None else 0
    return replace(value, type=tensor_type(element, data.shape), data=data)


def _marked(node: onnx.NodeProto, call: Call, found: list[Value | None]) -> list[Value | None]:
    """Let the outputs of DequantizeLinear, and what only moves them, say what they were before."""
    source = call.given(0)
    if source is None:
        return found
    quantised = source.quantised if node.op_type in _KEEPS else ""
    if node.op_type == "DequantizeLinear":
        quantised = "int8" if source.element in _INT8 else element_name(source.element)
    return [None if value is None else replace(value, quantised=quantised) for value in found]


def _precision(node: onnx.NodeProto, inputs: Sequence[Value | None], outputs: Sequence[Value | None]) -> str:
    if node.op_type.startswith(_QUANTISED):
        return "int8"
    data = [value for value in inputs if value is not None and not value.is_constant]
    kinds = {value.quantised for value in data}
    if len(kinds) == 1 and "" not in kinds:
        return kinds.pop()
    return element_name(outputs[0].element if outputs and outputs[0] is not None else 0)


def _is_large(values: Sequence[Value | None]) -> bool:
    """Return whether a content would be too large to keep, or of a size that nobody knows."""
    shapes = [value.shape for value in values if value is not None]
    return any(
        shape is None or None in shape or math.prod(size or 0 for size in shape) > MAX_KNOWN_VALUES
        for shape in shapes
    )


def _is_single(value: Value) -> bool:
    shape = value.shape
    return shape is not None and None not in shape and math.prod(size or 0 for size in shape) <= 1


def _inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in constants]


def _declared(info: onnx.ValueInfoProto) -> onnx.TypeProto | None:
    return info.type if info.HasField("type") else None


def _used_nodes(graph: onnx.GraphProto) -> set[int]:
    """Return the nodes that an output needs; a runtime runs no others."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    left = [info.name for info in graph.output]
    used: set[int] = set()
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        index = makers.get(name)
        if index is not None and index not in used:
            used.add(index)
            left.extend(_names_used(graph.node[index]))
    return used


def _names_used(node: onnx.NodeProto) -> list[str]:
    """Return what a node uses, its bodies included."""
    names = [name for name in node.input if name]
    graphs = [graph for attribute in node.attribute for graph in (*attribute.graphs, attribute.g)]
    while graphs:
        graph = graphs.pop()
        names += [info.name for info in graph.output]
        for inner in graph.node:
            names += [name for name in inner.input if name]
            graphs += [found for attribute in inner.attribute for found in (*attribute.graphs, attribute.g)]
    return names
