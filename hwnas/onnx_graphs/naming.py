"""Names nodes after the PyTorch modules they come from, so that files, engines and errors can say so."""

from __future__ import annotations

import ast
from collections import Counter

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"
ROOT = "network"
"""What nodes of the outermost module are named after."""


def name_nodes_after_modules(model: onnx.ModelProto) -> None:
    """Rename every node of `model`, in place, to `path.of.module/Operator`, numbered where that repeats.

    Must run while the exporter's notes are still there, see `hwnas.onnx_graphs.cleaning`. A node without
    them, which a pass of the exporter or of the simplifier put there, is named after its first input's node.
    """
    seen: Counter[str] = Counter()
    module_of_value: dict[str, str] = {}
    for node in model.graph.node:
        path = _path_in_notes(node)
        if path is None:
            path = next((module_of_value[name] for name in node.input if name in module_of_value), ROOT)
        module_of_value.update(dict.fromkeys(node.output, path))
        name = f"{path}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def module_of(node_name: str) -> str:
    """Return the path that `name_nodes_after_modules` put into a node's name; empty if there is none."""
    path, separator, _ = node_name.rpartition("/")
    return path if separator else ""


def _path_in_notes(node: onnx.NodeProto) -> str | None:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    try:
        scopes = ast.literal_eval(notes.get(_SCOPES, "[]"))
    except (ValueError, SyntaxError):
        return None
    # The last one is the traced operation itself, the one before it the innermost module around it.
    if not isinstance(scopes, list) or len(scopes) < 2:
        return None
    return str(scopes[-2]) or ROOT
