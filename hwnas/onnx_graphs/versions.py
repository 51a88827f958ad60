"""The oldest opset and IR version that a graph needs, so that old runtimes take what they can compute.

Exporters stamp files with the opset they were asked for and the newest IR version they know, whether the
graph needs them or not. Which changes of an operator mean nothing to a node that does not use them stands in
`opset_changes.json`; types and attributes are compared with ONNX's own schemas.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

from hwnas.errors import ExportError
from hwnas.onnx_graphs.naming import module_of
from hwnas.text import excerpt

OLDEST_OPSET = 13
"""No file is written older: quantisation per channel and most of today's operators begin here."""
NEWEST_OPSET = int(defs.onnx_opset_version())
"""The newest that the installed onnx knows."""
_NAMED_NODES = 8
AXES_AS_INPUT = 18
"""Since this opset the axes of most reductions are an input. Constant ones were an attribute before."""
REDUCTIONS = {
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
}
"""All reductions but `ReduceSum`, whose axes were an input before."""


def check_opset(opset: int) -> None:
    """Raise an ExportError for an opset that no file is written in."""
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(f"An opset is {OLDEST_OPSET} to {NEWEST_OPSET}, but {opset} was asked for.")


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a file states; 0 if it states none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)


def needed_opsets(model: onnx.ModelProto) -> list[int]:
    """Return the oldest opset in which each node of the graph means what it means now, in graph order.

    A node needs what the nodes of the graphs inside it need, too. Functions of the file state opsets of their
    own, so where there are any, every node counts as new as the file.

    Args:
        model: with inferred types of all values; a node whose types are not known counts as new as its
            operator in the file's opset.

    Raises:
        ExportError: if a node is of no operator of the file's opset.
    """
    stated = opset_of(model)
    if model.functions:
        return [stated] * len(model.graph.node)
    return _needed_in(model.graph, stated, {})


def _needed_in(graph: onnx.GraphProto, opset: int, outer_types: Mapping[str, str]) -> list[int]:
    types = {**outer_types, **_types(graph)}
    return [
        max(
            [
                _needed(node, opset, types),
                *(max(_needed_in(inner, opset, types), default=0) for inner in inside),
            ]
        )
        for node, inside in ((node, _graphs_of(node)) for node in graph.node)
    ]


def _graphs_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node, such as the branches of an `If`."""
    kinds = onnx.AttributeProto
    found = [attribute.g for attribute in node.attribute if attribute.type == kinds.GRAPH]
    return found + [graph for attribute in node.attribute for graph in attribute.graphs]


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of all graphs inside them."""
    for node in graph.node:
        yield node
        for inner in _graphs_of(node):
            yield from _all_nodes(inner)


def with_oldest_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation, stamped with the oldest opset and IR version that it needs.

    Args:
        model: with inferred types of all values; it stays as it is.

    Raises:
        ExportError: if the result is not valid.
    """
    needed = max([OLDEST_OPSET, *needed_opsets(with_axes_as_attributes(model))])
    return at_opset(model, min(needed, opset_of(model)))


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the same computation, stamped with `opset` and the oldest IR version that has it.

    Args:
        model: with inferred types of all values; it stays as it is.
        opset: `OLDEST_OPSET` to `NEWEST_OPSET`.

    Raises:
        ExportError: if it is none of these, or a node would mean something else there, naming all of them
            with their modules; or if the result is not valid.
    """
    check_opset(opset)
    stated = opset_of(model)
    if opset < AXES_AS_INPUT <= stated:
        model = with_axes_as_attributes(model)
    elif stated < AXES_AS_INPUT <= opset:
        model = _with_axes_as_inputs(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    wrong = described_later(model, opset) if opset < stated else _changed_until(model, opset)
    if wrong:
        more = f" and {len(wrong) - _NAMED_NODES} more" if len(wrong) > _NAMED_NODES else ""
        raise ExportError(
            f"The network cannot be written in opset {opset}: {', '.join(wrong[:_NAMED_NODES])}{more}. "
            "Ask for a later opset, or replace these modules."
        )
    for node in _all_nodes(result.graph):
        _drop_unknown_attributes(node, stated, opset)
    foreign = [entry for entry in result.opset_import if entry.domain not in {"", "ai.onnx"}]
    del result.opset_import[:]
    result.opset_import.extend([helper.make_opsetid("", opset), *foreign])
    # A domain that ONNX does not know, such as that of a runtime, asks for nothing.
    result.ir_version = helper.find_min_ir_version_for(list(result.opset_import), ignore_unknown=True)
    _check(result, opset)
    return result


def with_axes_as_attributes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation, with constant axes of reductions as opsets before 18 state them.

    Until it is stamped with such an opset it is not valid. The mean over pixels, which squeeze-and-excitation
    takes, so needs no opset 18.

    Args:
        model: stays as it is.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    for node in result.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    replaced = set()
    for node in _all_nodes(result.graph):
        if not _is_reduction(node) or len(node.input) < 2:
            continue
        axes = constants.get(node.input[1])
        if axes is None or any(one.name == "noop_with_empty_axes" and one.i for one in node.attribute):
            continue
        replaced.add(node.input.pop())
        numbers = [int(axis) for axis in numpy_helper.to_array(axes).reshape(-1)]
        _set_axes(node, numbers or None)
    _drop_unused(result.graph, replaced)
    return result


def _with_axes_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation, with axes of reductions as opsets since 18 take them."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    taken = {tensor.name for tensor in result.graph.initializer}
    for node in _all_nodes(result.graph):
        if not _states_axes(node):
            continue
        axes = next(list(one.ints) for one in node.attribute if one.name == "axes")
        name = f"{node.output[0]}_axes"
        while name in taken:
            name += "_"
        taken.add(name)
        result.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), name))
        node.input.append(name)
        _set_axes(node, None)
    return result


def _is_reduction(node: onnx.NodeProto) -> bool:
    return node.op_type in REDUCTIONS and node.domain in {"", "ai.onnx"}


def _is_as_before(node: onnx.NodeProto, types: Mapping[str, str]) -> bool:
    """Return whether a reduction is one of opsets before 18, see `with_axes_as_attributes`."""
    if (
        not _is_reduction(node)
        or len(node.input) > 1
        or any(one.name == "noop_with_empty_axes" and one.i for one in node.attribute)
    ):
        return False
    return _have_types(node.input, _schema(node, AXES_AS_INPUT - 1).inputs, types)


def _states_axes(node: onnx.NodeProto) -> bool:
    return _is_reduction(node) and any(attribute.name == "axes" for attribute in node.attribute)


def _set_axes(node: onnx.NodeProto, axes: list[int] | None) -> None:
    """State axes as an attribute, or no longer."""
    kept = [one for one in node.attribute if one.name not in {"axes", "noop_with_empty_axes"}]
    del node.attribute[:]
    node.attribute.extend([*kept, *([] if axes is None else [helper.make_attribute("axes", axes)])])


def _drop_unused(graph: onnx.GraphProto, names: set[str]) -> None:
    """Drop constants of these names that nothing uses any more."""
    used = {name for node in _all_nodes(graph) for name in node.input} | {
        value.name for value in graph.output
    }
    unused = names - used
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unused]:
        graph.initializer.remove(tensor)
    for node in [node for node in graph.node if node.op_type == "Constant" and node.output[0] in unused]:
        graph.node.remove(node)
    for value in [value for value in graph.value_info if value.name in unused]:
        graph.value_info.remove(value)


def _check(model: onnx.ModelProto, opset: int) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = excerpt(str(error), 500)
        raise ExportError(
            f"The network is not valid in opset {opset}: {reason}. Ask for another opset."
        ) from error


def described(node: onnx.NodeProto, opset: int) -> str:
    """Return a node as an error names it: operator, module and the opset it needs."""
    return f"{_placed(node)} needs opset {opset}"


def _placed(node: onnx.NodeProto) -> str:
    return f"{node.op_type} of {module_of(node.name) or repr(node.name)}"


def described_later(model: onnx.ModelProto, opset: int) -> list[str]:
    """Return the nodes that need a later opset than `opset`, as `described`."""
    needed = needed_opsets(model)
    return [
        described(node, since) for node, since in zip(model.graph.node, needed, strict=True) if since > opset
    ]


def _changed_until(model: onnx.ModelProto, opset: int) -> list[str]:
    """Describe the nodes that another opset, as new as the file's or newer, gives another meaning."""
    stated, wrong = opset_of(model), []
    if opset != stated and model.functions:
        return [f"function {model.functions[0].name!r} states opsets of its own"]
    for node in _all_nodes(model.graph):
        if node.domain not in {"", "ai.onnx"} or opset == stated:
            continue
        before = _schema(node, stated).since_version
        after = [version for version in _versions(node.op_type) if before < version <= opset]
        harmless = {
            *_changes()["widened"].get(node.op_type, []),
            *({AXES_AS_INPUT} if _is_reduction(node) else ()),
        }
        if not set(after) <= harmless:
            wrong.append(f"{_placed(node)} changed in opset {after[0]}")
    return wrong


def _schema(node: onnx.NodeProto, opset: int) -> Any:
    try:
        return defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError as error:
        raise ExportError(
            f"ONNX has no operator {node.op_type!r} in opset {opset}: {_placed(node)}."
        ) from error


def _needed(node: onnx.NodeProto, opset: int, types: Mapping[str, str]) -> int:
    if node.domain not in {"", "ai.onnx"}:
        return OLDEST_OPSET
    if opset >= AXES_AS_INPUT and _is_as_before(node, types):
        opset = AXES_AS_INPUT - 1
    since = int(_schema(node, opset).since_version)
    widened = set(_changes()["widened"].get(node.op_type, []))
    while since in widened and since > OLDEST_OPSET:
        older = [version for version in _versions(node.op_type) if version < since]
        if not older or not _fits(node, older[-1], since, types):
            break
        since = older[-1]
    return since


def _fits(node: onnx.NodeProto, older: int, newer: int, types: Mapping[str, str]) -> bool:
    """Say whether a node is one of the older schema, too, but for attributes that may be left out."""
    schema = defs.get_schema(node.op_type, older, "")
    for attribute in node.attribute:
        if attribute.name not in schema.attributes and not _is_default(node, attribute, newer):
            return False
        since = _changes()["values_since"].get(node.op_type, {}).get(attribute.name, {})
        if not since:
            continue
        value = helper.get_attribute_value(attribute)
        if since.get(value.decode() if isinstance(value, bytes) else str(value), 0) > older:
            return False
    return _have_types(node.input, schema.inputs, types) and _have_types(node.output, schema.outputs, types)


def _have_types(names: Any, parameters: Any, types: Mapping[str, str]) -> bool:
    for index, name in enumerate(names):
        is_variadic = (
            bool(parameters) and parameters[-1].option == defs.OpSchema.FormalParameterOption.Variadic
        )
        if index >= len(parameters) and not is_variadic:
            return False
        parameter = parameters[min(index, len(parameters) - 1)]
        if name and types.get(name) not in parameter.types:
            return False
    return True


def _is_default(node: onnx.NodeProto, attribute: onnx.AttributeProto, version: int) -> bool:
    known = defs.get_schema(node.op_type, version, "").attributes.get(attribute.name)
    if known is None or not known.default_value.name:
        return False
    return bool(helper.get_attribute_value(known.default_value) == helper.get_attribute_value(attribute))


def _drop_unknown_attributes(node: onnx.NodeProto, stated: int, opset: int) -> None:
    if node.domain not in {"", "ai.onnx"} or opset >= stated:
        return
    schema = _schema(node, opset)
    kept = [attribute for attribute in node.attribute if attribute.name in schema.attributes]
    if len(kept) < len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(kept)


def _types(graph: onnx.GraphProto) -> dict[str, str]:
    types = {tensor.name: _type_text(tensor.data_type) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = _type_text(value.type.tensor_type.elem_type)
    return types


def _type_text(elem_type: int) -> str:
    """Return a type as schemas write it, such as `tensor(float16)`."""
    return f"tensor({onnx.TensorProto.DataType.Name(elem_type).lower()})"


@functools.cache
def _versions(operator: str) -> tuple[int, ...]:
    return tuple(sorted(_all_versions().get(operator, ())))


@functools.cache
def _all_versions() -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for schema in _schemas():
        found.setdefault(schema.name, []).append(int(schema.since_version))
    return found


def _schemas() -> Iterator[Any]:
    return (schema for schema in defs.get_all_schemas_with_history() if schema.domain == "")


@functools.cache
def _changes() -> Mapping[str, Any]:
    text = files("hwnas.onnx_graphs").joinpath("opset_changes.json").read_text(encoding="utf-8")
    changes: Mapping[str, Any] = json.loads(text)
    return changes
