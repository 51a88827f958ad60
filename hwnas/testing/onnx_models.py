"""Small ONNX files made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.io_spec import IoSpec, TensorSpec


def write_conv_model(path: Path, *, channels: int = 8, layers: int = 2, width: int = 64) -> IoSpec:
    """Write a stack of 3x3 convolutions on a [1, 5, 16, width] image and return its inputs and outputs."""
    generator = np.random.default_rng(0)
    nodes, weights, value, fan_in = [], [], "image", 5
    for layer in range(layers):
        kernel = generator.standard_normal((channels, fan_in, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"weight{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"weight{layer}"], [f"value{layer}"], pads=[1] * 4))
        value, fan_in = f"value{layer}", channels
    io_spec = IoSpec(
        (TensorSpec("image", (1, 5, 16, width)),), (TensorSpec(value, (1, channels, 16, width)),)
    )
    _save(path, nodes, io_spec, weights)
    return io_spec


LAYOUTS = ("one file", "a file each", "below")


def write_external_model(path: Path, layout: str = "one file", *, seed: int = 0) -> IoSpec:
    """Write the model of `write_conv_model` with its weights in files beside it, which differ by `seed`."""
    io_spec = write_conv_model(path)
    model = onnx.load(path)
    names = [f"{tensor.name}.bin" for tensor in model.graph.initializer]
    if layout == "one file":
        names = ["weights.bin"] * len(names)
    elif layout == "below":
        names = [f"deep/er/{name}" for name in names]
    offsets: dict[str, int] = {}
    for tensor, name in zip(model.graph.initializer, names, strict=True):
        raw = (numpy_helper.to_array(tensor) + seed).tobytes()
        file = path.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        offset = offsets.setdefault(name, 0)
        with file.open("ab" if offset else "wb") as stream:
            stream.write(raw)
        keep_outside(tensor, name, offset=offset, length=len(raw))
        offsets[name] += len(raw)
    path.write_bytes(model.SerializeToString())
    return io_spec


def keep_outside(tensor: onnx.TensorProto, location: str, **entries: object) -> None:
    """Let a tensor keep its values in a file; `entries` are offset and length."""
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))


def _conv_relu_weights() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    return (
        generator.standard_normal((4, 3, 3, 3)).astype(np.float32),
        generator.standard_normal(4).astype(np.float32),
    )


def write_conv_relu(path: Path, *, width: int = 16) -> IoSpec:
    """Write a 3x3 convolution with bias and a ReLU on a [1, 3, 8, width] image."""
    weight, bias = _conv_relu_weights()
    weights = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    nodes = [
        helper.make_node("Conv", ["image", "weight", "bias"], ["value"], name="convolution", pads=[1] * 4),
        helper.make_node("Relu", ["value"], ["score"], name="rectifier"),
    ]
    io_spec = IoSpec((TensorSpec("image", (1, 3, 8, width)),), (TensorSpec("score", (1, 4, 8, width)),))
    _save(path, nodes, io_spec, weights)
    return io_spec


def conv_relu_reference(image: np.ndarray) -> np.ndarray:
    """Return what the network of `write_conv_relu` must give, computed in float64 by its definition."""
    weight, bias = _conv_relu_weights()
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = image.shape[2:]
    value = np.zeros((1, 4, height, width)) + bias[None, :, None, None]
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row : row + height, column : column + width]
            value += np.einsum("oc,nchw->nohw", weight[:, :, row, column], window)
    return np.asarray(np.maximum(value, 0))


def write_dynamic_model(path: Path) -> None:
    """Write a model whose input `image` is [batch, 5, rows, 64]."""
    weight = numpy_helper.from_array(np.ones((4, 5, 1, 1), np.float32), "weight")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 5, "rows", 64])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 4, "rows", 64])
    node = helper.make_node("Conv", ["image", "weight"], ["scores"])
    graph = helper.make_graph([node], "graph", [image], [scores], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def write_unknown_operator(path: Path) -> IoSpec:
    """Write a model with an operator that no backend has."""
    io_spec = IoSpec((TensorSpec("x", (1, 4)),), (TensorSpec("y", (1, 4)),))
    _save(path, [helper.make_node("Levitate", ["x"], ["y"], domain="nowhere")], io_spec, [])
    return io_spec


def _save(path: Path, nodes: list[onnx.NodeProto], io_spec: IoSpec, weights: list[onnx.TensorProto]) -> None:
    def values(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, list(s.shape)) for s in specs]

    graph = helper.make_graph(nodes, "graph", values(io_spec.inputs), values(io_spec.outputs), weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
