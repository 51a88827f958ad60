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

import onnx
from onnx import defs, helper

from hwnas.errors import ExportError
from hwnas.onnx_graphs.naming import module_of

OLDEST_OPSET = 13
"""No file is written older: quantisation per channel and most of today's operators begin here."""
NEWEST_OPSET = int(defs.onnx_opset_version())
"""The newest that the installed onnx knows."""
_NAMED_NODES = 8


def check_opset(opset: int) -> None:
    """Raise an ExportError for an opset that no file is written in."""
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(f"An opset is {OLDEST_OPSET} to {NEWEST_OPSET}, but {opset} was asked for.")


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a file states; 0 if it states none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)


def needed_opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Return the oldest opset in which each node means what it means now, by name of the node.

    Args:
        model: with inferred types of all values; nodes with graphs inside count as new as the file.
    """
    types = _types(model)
    return {node.name: _needed(node, opset_of(model), types) for node in model.graph.node}


def with_oldest_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation, stamped with the oldest opset and IR version that it needs.

    Args:
        model: with inferred types of all values; it stays as it is.
    """
    needed = max([OLDEST_OPSET, *needed_opsets(model).values()])
    return at_opset(model, min(needed, opset_of(model)))


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the same computation, stamped with `opset` and the oldest IR version that has it.

    Args:
        model: with inferred types of all values; it stays as it is.
        opset: `OLDEST_OPSET` to `NEWEST_OPSET`.

    Raises:
        ExportError: if it is none of these, or a node would mean something else there, naming all of them
            with their modules.
    """
    check_opset(opset)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    stated = opset_of(model)
    wrong = _later_than(model, opset) if opset < stated else _changed_until(model, opset)
    if wrong:
        more = f" and {len(wrong) - _NAMED_NODES} more" if len(wrong) > _NAMED_NODES else ""
        raise ExportError(
            f"The network cannot be written in opset {opset}: {', '.join(wrong[:_NAMED_NODES])}{more}. "
            "Ask for a later opset, or replace these modules."
        )
    for node in result.graph.node:
        _drop_unknown_attributes(node, stated, opset)
    foreign = [entry for entry in result.opset_import if entry.domain not in {"", "ai.onnx"}]
    del result.opset_import[:]
    result.opset_import.extend([helper.make_opsetid("", opset), *foreign])
    result.ir_version = helper.find_min_ir_version_for(list(result.opset_import))
    return result


def described(node: onnx.NodeProto, opset: int) -> str:
    """Return a node as an error names it: operator, module and the opset it needs."""
    return f"{_placed(node)} needs opset {opset}"


def _placed(node: onnx.NodeProto) -> str:
    return f"{node.op_type} of {module_of(node.name) or repr(node.name)}"


def _later_than(model: onnx.ModelProto, opset: int) -> list[str]:
    needed = needed_opsets(model)
    return [described(node, needed[node.name]) for node in model.graph.node if needed[node.name] > opset]


def _changed_until(model: onnx.ModelProto, opset: int) -> list[str]:
    """Describe the nodes that another opset, as new as the file's or newer, gives another meaning."""
    stated, wrong = opset_of(model), []
    for node in model.graph.node:
        if node.domain not in {"", "ai.onnx"} or opset == stated:
            continue
        before = defs.get_schema(node.op_type, stated, "").since_version
        after = [version for version in _versions(node.op_type) if before < version <= opset]
        if not set(after) <= set(_changes()["widened"].get(node.op_type, [])):
            wrong.append(f"{_placed(node)} changed in opset {after[0]}")
    return wrong


def _needed(node: onnx.NodeProto, opset: int, types: Mapping[str, str]) -> int:
    if node.domain not in {"", "ai.onnx"}:
        return OLDEST_OPSET
    since = int(defs.get_schema(node.op_type, opset, "").since_version)
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
    schema = defs.get_schema(node.op_type, opset, "")
    kept = [attribute for attribute in node.attribute if attribute.name in schema.attributes]
    if len(kept) < len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(kept)


def _types(model: onnx.ModelProto) -> dict[str, str]:
    graph = model.graph
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
