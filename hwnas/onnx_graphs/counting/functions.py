"""How large a model becomes when its local functions are put in the places of their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx

from hwnas.errors import ModelFileError

MAX_NODES = 100_000
"""Nodes of a model after its functions were put in the places of their calls."""
MAX_BYTES = (1 << 31) - 1
"""Protocol buffers hold no larger message."""

_Key = tuple[str, str, str]


def refuse_expansion(model: onnx.ModelProto) -> None:
    """Refuse a model whose functions call each other so often that nobody could go through all calls.

    A few functions that call the next one twice make billions of nodes. Calls are multiplied here, and
    nothing is expanded; calls in bodies of If, Loop and Scan count alike, each body once.

    Raises:
        ModelFileError: if there are more than `MAX_NODES` nodes or `MAX_BYTES`, or a function calls itself.
    """
    if not model.functions:
        return
    functions = {(_domain(each.domain), each.name, each.overload): each for each in model.functions}
    own = {key: list(_nodes(function.node)) for key, function in functions.items()}
    calls = {key: _calls(nodes, functions) for key, nodes in own.items()}
    nodes, size = dict[_Key, int](), dict[_Key, int]()
    for key in _callees_first(calls):
        # A call gives way to the nodes of what it calls.
        nodes[key] = len(own[key]) + sum(times * (nodes[name] - 1) for name, times in calls[key].items())
        size[key] = functions[key].ByteSize() + sum(times * size[name] for name, times in calls[key].items())
    main = list(_nodes(model.graph.node))
    called = _calls(main, functions)
    all_nodes = len(main) + sum(times * (nodes[name] - 1) for name, times in called.items())
    all_bytes = model.graph.ByteSize() + sum(times * size[name] for name, times in called.items())
    if all_nodes > MAX_NODES or all_bytes > MAX_BYTES:
        raise ModelFileError(
            f"Its functions call each other so often that all calls together make {_number(all_nodes)} nodes "
            f"of {_number(all_bytes)} bytes, but at most {MAX_NODES:,} nodes and {MAX_BYTES:,} bytes can be "
            "inspected. Save the model without functions that are nested as deeply."
        )


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes and those of the bodies in them."""
    left = list(nodes)
    while left:
        node = left.pop()
        yield node
        for attribute in node.attribute:
            for body in (*attribute.graphs, attribute.g):
                left.extend(body.node)


def _calls(nodes: Iterable[onnx.NodeProto], functions: dict[_Key, onnx.FunctionProto]) -> Counter[_Key]:
    """Return how often each function is called by some nodes."""
    keys = ((_domain(node.domain), node.op_type, node.overload) for node in nodes)
    return Counter(key for key in keys if key in functions)


def _callees_first(calls: dict[_Key, Counter[_Key]]) -> list[_Key]:
    """Return the functions so that each stands behind all that it calls.

    Raises:
        ModelFileError: if there is no such order.
    """
    callers: dict[_Key, list[_Key]] = {key: [] for key in calls}
    missing = {key: len(called) for key, called in calls.items()}
    for key, called in calls.items():
        for name in called:
            callers[name].append(key)
    ready = [key for key, count in missing.items() if not count]
    for key in ready:
        for caller in callers[key]:
            missing[caller] -= 1
            if not missing[caller]:
                ready.append(caller)
    if len(ready) < len(calls):
        raise ModelFileError("Functions of it call themselves, which ONNX forbids. Export the model again.")
    return ready


def _number(value: int) -> str:
    """Return a number for people; one of hundreds of digits would fill the screen."""
    return f"{value:,}" if value < 10**15 else f"more than 10^{len(hex(value)[3:]) * 4 * 3 // 10}"
