"""Writes quantisers so that runtimes that are not TensorRT compute INT8 files of its dialect alike, too.

Two things are valid ONNX and computed wrongly by runtimes in use:

- QuantizeLinear of halves: onnxruntime before 1.30 truncates where it must round. Values are cast to float32
  and scales are float32. DequantizeLinear stays in float16, so that nothing stands between it and the
  convolution that takes its output; both scales are the same number.
- QuantizeLinear of a concatenation: OpenVINO 2026.4 moves it in front of the concatenation and loses accuracy
  on the way. Written there in the first place it means the same, bit by bit, and is computed right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ExportError

_QUANTISE = "QuantizeLinear"


def with_portable_quantisers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation with float32 scales of QuantizeLinear, and none behind a concatenation.

    Args:
        model: quantised, float16 elsewhere; it stays as it is. Types of values are to be inferred anew.

    Raises:
        ExportError: if the scale of a QuantizeLinear is no constant.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    # A concatenation may be of concatenations, such as the padding of a ring of pixels.
    while _move_one_before_concatenation(result.graph):
        pass
    _drop_unused(result.graph)
    _cast_inputs(result.graph)
    return result


def _move_one_before_concatenation(graph: onnx.GraphProto) -> bool:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for index, node in enumerate(graph.node):
        source = producers.get(node.input[0]) if node.op_type == _QUANTISE else None
        if source is None or source.op_type != "Concat" or not _is_scalar(constants.get(node.input[1])):
            continue
        _replace(graph, index, _before(source, node))
        return True
    return False


def _is_scalar(scale: onnx.TensorProto | None) -> bool:
    """Say whether one number is the scale of the whole tensor; that of an axis cannot simply be moved."""
    return scale is not None and numpy_helper.to_array(scale).size == 1


def _before(concat: onnx.NodeProto, quantise: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return quantisers of what is concatenated, each only once, and the concatenation of what they give."""
    outputs: dict[str, str] = {}
    nodes = []
    for name in concat.input:
        if name in outputs:
            continue
        outputs[name] = f"{quantise.output[0]}_{len(outputs)}"
        part = onnx.NodeProto()
        part.CopyFrom(quantise)
        part.name = f"{quantise.name}_{len(outputs) - 1}"
        part.input[0], part.output[0] = name, outputs[name]
        nodes.append(part)
    joined = onnx.NodeProto()
    joined.CopyFrom(concat)
    # The name of the concatenation may still be needed: others may read it in float16.
    joined.name, joined.output[0] = f"{quantise.name}_{concat.op_type}", quantise.output[0]
    del joined.input[:]
    joined.input.extend(outputs[name] for name in concat.input)
    return [*nodes, joined]


def _replace(graph: onnx.GraphProto, index: int, nodes: Iterable[onnx.NodeProto]) -> None:
    kept = list(graph.node)
    kept[index : index + 1] = nodes
    del graph.node[:]
    graph.node.extend(kept)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop concatenations that nobody reads any more."""
    while True:
        read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        kept = [node for node in graph.node if node.op_type != "Concat" or node.output[0] in read]
        if len(kept) == len(graph.node):
            return
        del graph.node[:]
        graph.node.extend(kept)


def _cast_inputs(graph: onnx.GraphProto) -> None:
    """Give every QuantizeLinear of halves a float32 scale and its input as float32, each cast once."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    casts: dict[str, onnx.NodeProto] = {}
    scales: dict[str, onnx.TensorProto] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == _QUANTISE:
            if node.input[1] not in constants:
                raise ExportError(
                    f"The scale of {node.name!r} is no constant; quantise with another quantiser."
                )
            if constants[node.input[1]].data_type == TensorProto.FLOAT16:
                scale, value = constants[node.input[1]], node.input[0]
                single = numpy_helper.to_array(scale).astype(np.float32)
                scales[scale.name] = numpy_helper.from_array(single, f"{scale.name}_float32")
                if value not in casts:
                    output = f"{value}_float32"
                    casts[value] = helper.make_node(
                        "Cast", [value], [output], name=f"{node.name}_Cast", to=TensorProto.FLOAT
                    )
                    nodes.append(casts[value])
                node.input[0], node.input[1] = casts[value].output[0], scales[scale.name].name
        nodes.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in _read(nodes)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *scales.values()])


def _read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}
