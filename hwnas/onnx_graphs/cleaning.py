"""Takes out of a graph what the computation does not need and no vehicle should carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx


def remove_traces(model: onnx.ModelProto) -> None:
    """Remove exporter notes from `model`, in place: stack traces, source paths, module names.

    What stays is the computation with the names of its values, the producer and the opset.
    """
    model.doc_string = ""
    del model.metadata_props[:]
    for function in model.functions:
        _clear([function, *function.node, *function.value_info])
    _clear_graph(model.graph)


def _clear_graph(graph: onnx.GraphProto) -> None:
    _clear([graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer, *graph.node])
    for node in graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _clear_graph(inner)


def _clear(messages: Iterable[Any]) -> None:
    for message in messages:
        message.doc_string = ""
        del message.metadata_props[:]
