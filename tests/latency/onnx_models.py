"""Small ONNX files made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.io_spec import IoSpec, TensorSpec


def write_conv_model(path: Path, *, channels: int = 8, layers: int = 2) -> IoSpec:
    """Write a stack of 3x3 convolutions on a [1, 5, 16, 64] image and return its inputs and outputs."""
    generator = np.random.default_rng(0)
    nodes, weights, value, fan_in = [], [], "image", 5
    for layer in range(layers):
        kernel = generator.standard_normal((channels, fan_in, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"weight{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"weight{layer}"], [f"value{layer}"], pads=[1] * 4))
        value, fan_in = f"value{layer}", channels
    io_spec = IoSpec((TensorSpec("image", (1, 5, 16, 64)),), (TensorSpec(value, (1, channels, 16, 64)),))
    _save(path, nodes, io_spec, weights)
    return io_spec


def write_unknown_operator(path: Path) -> IoSpec:
    """Write a model with an operator that no runtime has."""
    io_spec = IoSpec((TensorSpec("x", (1, 4)),), (TensorSpec("y", (1, 4)),))
    _save(path, [helper.make_node("Levitate", ["x"], ["y"], domain="nowhere")], io_spec, [])
    return io_spec


def _save(path: Path, nodes: list[onnx.NodeProto], io_spec: IoSpec, weights: list[onnx.TensorProto]) -> None:
    def values(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, list(s.shape)) for s in specs]

    graph = helper.make_graph(nodes, "graph", values(io_spec.inputs), values(io_spec.outputs), weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
