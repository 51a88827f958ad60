"""Times of single kernels inside a network, as ONNX Runtime's own profiler sees them.

ONNX Runtime fuses operators and lays tensors out anew, so that its kernels are not the nodes of the file. It
can write the graph that it made of the file, and the time of every node of that graph in every run.
"""

from __future__ import annotations

import json
import mmap
from statistics import median
from typing import Any, Dict, List, Mapping, Tuple, Union

from hwnas.latency.backends.errors import AgentError
from hwnas.model_files.protobuf_wire import fields

_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_INPUT, _NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TEXT, _ATTRIBUTE_INTS = 1, 3, 4, 8
_WANTED = ("activation", "axis", "dilations", "group", "kernel_shape", "strides", "channels")

Value = Union[int, memoryview]


def read_kernels(trace: str, graph: str, skipped_runs: int) -> List[Dict[str, Any]]:
    """Return the kernels of one inference with their times.

    Args:
        trace: file that the profiler wrote.
        graph: ONNX file of the optimised graph.
        skipped_runs: first runs of every kernel that do not count.

    Returns:
        One entry for every node of the optimised graph that ran: `operator`, `attributes`, `num_inputs`
        (where it has a name), `input_shapes`, `output_shapes`, median `ms` over the runs that count.

    Raises:
        AgentError: if the files do not belong together.
    """
    with open(trace, encoding="utf-8") as stream:
        events = json.load(stream)
    times: Dict[str, List[float]] = {}
    shapes: Dict[str, Tuple[Any, Any]] = {}
    operators: Dict[str, str] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        node = str(event["args"].get("node_index", "")) + "/" + name[: -len("_kernel_time")]
        times.setdefault(node, []).append(float(event["dur"]) / 1000)
        arguments = event["args"]
        shapes[node] = _shapes(arguments, "input_type_shape"), _shapes(arguments, "output_type_shape")
        operators[node] = str(arguments.get("op_name", ""))
    nodes = _nodes(graph)
    kernels = []
    for node, durations in times.items():
        name, operator = node.partition("/")[2], operators[node]
        # A node that ONNX Runtime added without a name is called Operator_index; none of them has attributes.
        is_unnamed = name.startswith(operator + "_") and name not in nodes
        described = {"operator": operator, "attributes": {}} if is_unnamed else nodes.get(name)
        if described is None or len(durations) <= skipped_runs:
            raise AgentError(f"The profile of ONNX Runtime has a kernel {name!r} that its graph lacks.")
        inputs, outputs = shapes[node]
        ms = median(durations[skipped_runs:])
        kernels.append({**described, "input_shapes": inputs, "output_shapes": outputs, "ms": ms})
    return kernels


def _shapes(arguments: Mapping[str, Any], key: str) -> List[List[int]]:
    return [[int(size) for size in shape] for typed in arguments.get(key, []) for shape in typed.values()]


def _nodes(path: str) -> Dict[str, Dict[str, Any]]:
    """Return operator, attributes and number of inputs of every node by its name."""
    nodes: Dict[str, Dict[str, Any]] = {}
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The weights lie in the same file: a copy of the view would keep the map from closing.
        for graph in [
            bytes(_data(value)) for number, value in fields(memoryview(content)) if number == _MODEL_GRAPH
        ]:
            for number, value in fields(memoryview(graph)):
                if number == _GRAPH_NODE:
                    name, node = _node(_data(value))
                    nodes[name] = node
    return nodes


def _node(message: memoryview) -> Tuple[str, Dict[str, Any]]:
    name = operator = ""
    num_inputs = 0
    attributes: Dict[str, Any] = {}
    for number, value in fields(message):
        if number == _NODE_NAME:
            name = _text(value)
        elif number == _NODE_OPERATOR:
            operator = _text(value)
        elif number == _NODE_INPUT:
            num_inputs += bool(len(_data(value)))
        elif number == _NODE_ATTRIBUTE:
            key, found = _attribute(_data(value))
            if key in _WANTED:
                attributes[key] = found
    return name, {"operator": operator, "attributes": attributes, "num_inputs": num_inputs}


def _attribute(message: memoryview) -> Tuple[str, Any]:
    name = ""
    found: Any = None
    numbers: List[int] = []
    for number, value in fields(message):
        if number == _ATTRIBUTE_NAME:
            name = _text(value)
        elif number == _ATTRIBUTE_INT:
            found = value
        elif number == _ATTRIBUTE_TEXT:
            found = _text(value)
        elif number == _ATTRIBUTE_INTS:
            numbers += _integers(value)
    return name, numbers or found


def _integers(value: Value) -> List[int]:
    """Return repeated integers, packed or one a field."""
    if isinstance(value, int):
        return [value]
    numbers, position = [], 0
    while position < len(value):
        size = 1
        while value[position + size - 1] & 0x80:
            size += 1
        number = 0
        for index in range(size):
            number |= (value[position + index] & 0x7F) << (7 * index)
        numbers.append(number)
        position += size
    return numbers


def _data(value: Value) -> memoryview:
    if isinstance(value, int):
        raise AgentError("The optimised graph of ONNX Runtime cannot be read.")
    return value


def _text(value: Value) -> str:
    return bytes(_data(value)).decode("utf-8")
