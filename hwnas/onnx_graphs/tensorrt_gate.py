"""Refuses graphs that a version of TensorRT cannot take, and names the PyTorch modules to blame.

What each version takes stands in `tensorrt_operators.json`, with its sources. Passing says that the parser
knows every operator; only building an engine proves that it builds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from torch import nn

from hwnas.errors import ExportError
from hwnas.onnx_graphs.naming import ROOT, module_of
from hwnas.onnx_graphs.releases import known_releases, listed, release_of

FIRST_VERSION = (10, 3)
"""The oldest TensorRT that is known here: that of JetPack 6.1."""

_KNOWN = "tensorrt_operators.json"


@dataclass(frozen=True)
class Refusal:
    """One reason why a graph is not taken.

    Attributes:
        reason: what is wrong.
        operator: ONNX operator; empty if it is about the whole graph.
        node: name of the node, empty likewise.
        module: path of the PyTorch module that the node comes from, empty where that is unknown.
    """

    reason: str
    operator: str = ""
    node: str = ""
    module: str = ""


def refusals(model: onnx.ModelProto, version: str) -> list[Refusal]:
    """Return why TensorRT `version`, such as `10.3` or `10.13.3.9`, cannot take `model`; empty if it can.

    Raises:
        ExportError: if the version is malformed or older than 10.3.
    """
    release, known = _release(version), known_releases(_KNOWN)
    found = list(_opset_refusals(model, release, known))
    operators = {
        name for added, names in known["operators"].items() if release_of(added) <= release for name in names
    }
    later = {
        name: added
        for added, names in known["operators"].items()
        if release_of(added) > release
        for name in names
    }
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in _nodes(model.graph):
        reasons = _reasons(node, known, operators, later, constants)
        found += [Refusal(reason, node.op_type, node.name, module_of(node.name)) for reason in reasons]
    return found


def opsets_of(version: str) -> tuple[int, int]:
    """Return the oldest and the newest opset that TensorRT `version` takes.

    Raises:
        ExportError: if the version is malformed or older than 10.3.
    """
    release, known = _release(version), known_releases(_KNOWN)
    highest = max(opset for added, opset in known["max_opset"].items() if release_of(added) <= release)
    return int(known["min_opset"]), int(highest)


def check_for_tensorrt(model: onnx.ModelProto, version: str, module: nn.Module | None = None) -> None:
    """Refuse a graph that TensorRT `version` cannot take.

    Args:
        model: as `export_onnx` wrote it.
        version: such as `10.3`.
        module: that was exported; lets the error name classes beside paths.

    Raises:
        ExportError: naming every operator with the modules it comes from.
    """
    found = refusals(model, version)
    if not found:
        return
    lines = []
    for reason in dict.fromkeys(refusal.reason for refusal in found):
        places = list(
            dict.fromkeys(
                _described(refusal, module) for refusal in found if refusal.reason == reason and refusal.node
            )
        )
        lines.append(reason + (": " + listed(places) if places else ""))
    raise ExportError(
        f"TensorRT {version} cannot take this network:\n  "
        + "\n  ".join(lines)
        + "\nReplace these modules, or name a newer TensorRT if the target has one."
    )


def tensorrt_version(fingerprint: Mapping[str, Any]) -> str | None:
    """Return the version of TensorRT that a target's fingerprint tells, None if it has another backend.

    TensorRT for RTX numbers its versions otherwise and is not meant here.
    """
    versions = fingerprint.get("backend_versions", {})
    version = versions.get("tensorrt") or versions.get("trtexec")
    return str(version) if version else None


def _described(refusal: Refusal, module: nn.Module | None) -> str:
    if not refusal.module:
        return f"node {refusal.node!r}"
    path = "" if refusal.module == ROOT else refusal.module
    try:
        found = module.get_submodule(path) if module is not None else None
    except AttributeError:
        found = None
    return refusal.module + (f" ({type(found).__name__})" if found is not None else "")


def _opset_refusals(
    model: onnx.ModelProto, release: tuple[int, int], known: Mapping[str, Any]
) -> Iterator[Refusal]:
    highest = max(opset for added, opset in known["max_opset"].items() if release_of(added) <= release)
    # A set that is imported and not used binds nobody; exporters leave many behind.
    used = {"" if node.domain == "ai.onnx" else node.domain for node in _nodes(model.graph)}
    for entry in model.opset_import:
        if ("" if entry.domain == "ai.onnx" else entry.domain) not in used:
            continue
        if entry.domain not in {"", "ai.onnx"}:
            yield Refusal(f"operators of the domain {entry.domain!r} are not ONNX's own")
        elif not known["min_opset"] <= entry.version <= highest:
            yield Refusal(f"opset {entry.version} is not in {known['min_opset']} to {highest}")


def _reasons(
    node: onnx.NodeProto,
    known: Mapping[str, Any],
    operators: set[str],
    later: Mapping[str, str],
    constants: Mapping[str, onnx.TensorProto],
) -> Iterator[str]:
    if node.op_type in later:
        yield f"{node.op_type} is taken from TensorRT {later[node.op_type]} on"
    elif node.op_type not in operators or node.domain not in {"", "ai.onnx"}:
        yield f"{node.op_type} is not taken by any version known here"
    allowed = known["attributes"].get(node.op_type, {})
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute) if attribute.name in allowed else None
        value = value.decode() if isinstance(value, bytes) else value
        if value is not None and value not in allowed[attribute.name]:
            yield f"{node.op_type} is not taken with {attribute.name}={value}, only {allowed[attribute.name]}"
    if sum(1 for name in node.output if name) > known["max_outputs"].get(node.op_type, len(node.output)):
        yield f"{node.op_type} is not taken with more than its first output"
    if node.op_type in known["zero_points_must_be_0"] and len(node.input) > 2:
        zero = constants.get(node.input[2])
        if zero is not None and onnx.numpy_helper.to_array(zero).astype("float32").any():
            yield f"{node.op_type} is not taken with a zero point other than 0"
        if zero is not None and zero.data_type == onnx.TensorProto.UINT8:
            yield f"{node.op_type} is not taken with unsigned values"


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _release(version: str) -> tuple[int, int]:
    release = release_of(version)
    if release < FIRST_VERSION:
        raise ExportError(
            f"A TensorRT version is written like 10.3 or 10.13.3 and is 10.3 or later, but got {version!r}."
        )
    return release
