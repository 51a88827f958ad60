"""Shapes and contents of the outputs of one node, by the package onnx."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from hwnas.onnx_graphs.counting.values import (
    MAX_KNOWN_VALUES,
    UNKNOWN,
    Value,
    without_negative_sizes,
)

# What inference and evaluation of a node that lacks something, or contradicts itself, raise. All it means
# here is that its outputs are not known, which is said where it matters.
_INFERENCE_ERRORS = (
    onnx.shape_inference.InferenceError,
    onnx.defs.SchemaError,
    onnx.checker.ValidationError,
    RuntimeError,
    ValueError,
)
_EQUATION = re.compile(rb"[A-Za-z., ]*(->[A-Za-z. ]*)?")
_EVALUATION_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def infer_types(
    node: onnx.NodeProto, inputs: Sequence[Value | None], opsets: Mapping[str, int], ir_version: int
) -> dict[str, onnx.TypeProto]:
    """Return the types of a node's outputs by name, as far as they can be told; it has no bodies."""
    given = {
        name: value for name, value in zip(node.input, inputs, strict=True) if value is not None and name
    }
    if any(value.type is None for value in given.values()) or _is_endless(node):
        return {}
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: value.type for name, value in given.items() if value.type is not None},
            {
                name: onnx.numpy_helper.from_array(value.data, name)
                for name, value in given.items()
                if value.data is not None
            },
            opset_imports=[helper.make_opsetid(name, version) for name, version in opsets.items()],
            ir_version=ir_version,
        )
        return {name: without_negative_sizes(kind) for name, kind in found.items()}
    except _INFERENCE_ERRORS:
        return {}


def _is_endless(node: onnx.NodeProto) -> bool:
    """Return whether onnx would never come back, as from an Einsum of letters that it does not know."""
    return node.op_type == "Einsum" and any(
        attribute.name == "equation" and not _EQUATION.fullmatch(attribute.s) for attribute in node.attribute
    )


def inferred_as(operator: str, inputs: Sequence[Value | None], attributes: Mapping[str, Any]) -> Value:
    """Return the output that an operator of ONNX would have for these inputs.

    Attributes that it does not have are left out: fused operators have more.
    """
    opset = onnx.defs.onnx_opset_version()
    schema = onnx.defs.get_schema(operator, opset, "")
    kept = {name: value for name, value in attributes.items() if name in schema.attributes}
    names = [f"input{index}" if value is not None else "" for index, value in enumerate(inputs)]
    node = helper.make_node(operator, names, ["output"], **kept)
    types = infer_types(node, inputs, {"": opset}, onnx.IR_VERSION)
    return Value(types["output"]) if "output" in types else UNKNOWN


def evaluate(
    node: onnx.NodeProto, inputs: Sequence[Value | None], opsets: Mapping[str, int], ir_version: int
) -> dict[str, Any]:
    """Return the contents of a node's outputs by name, where it can be computed and is small."""
    given: dict[str, Any] = {}
    for name, value in zip(node.input, inputs, strict=True):
        if name and (value is None or value.data is None):
            return {}
        if name and value is not None:
            given[name] = value.data
    wanted = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "node",
        [helper.make_value_info(name, onnx.TypeProto()) for name in given],
        [helper.make_value_info(name, onnx.TypeProto()) for name in wanted],
    )
    imports = [helper.make_opsetid(name, version) for name, version in opsets.items()]
    try:
        with np.errstate(all="ignore"):  # of divisions by zero, which a runtime would do as well
            model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
            found = ReferenceEvaluator(model).run(None, given)
    except _EVALUATION_ERRORS:
        return {}
    return {
        name: array
        for name, array in zip(wanted, found, strict=True)
        if isinstance(array, np.ndarray) and array.size <= MAX_KNOWN_VALUES
    }
