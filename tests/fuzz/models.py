"""Hostile ONNX files that are well-formed protobufs, so that more than the parser of protobufs is reached."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_SIZES = (0, -1, 1, 2, 7, 2**20, 2**31, 2**62)


def _changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())


def _external_data(path: Path, rng: random.Random) -> None:
    """Let a weight lie in another file, where a pipe would stop whoever opens it."""
    places = (
        "../outside/pipe",
        "../outside/secret",
        "/etc/hostname",
        "weights.safetensors",
        "manifest.json",
        "",
    )
    location = rng.choice(places)

    def change(model: onnx.ModelProto) -> None:
        tensor = rng.choice(list(model.graph.initializer))
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        fields = {
            "location": location,
            "offset": str(rng.choice([0, 1, 2**40])),
            "length": str(rng.choice([4, 2**40])),
        }
        for key, value in fields.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    _changed(path, change)


def _shape_of_weight(path: Path, rng: random.Random) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = rng.choice(list(model.graph.initializer))
        tensor.dims[:] = [rng.choice(_SIZES) for _ in range(rng.choice([0, 1, 4, 9]))]

    _changed(path, change)


def _shape_of_interface(path: Path, rng: random.Random) -> None:
    def change(model: onnx.ModelProto) -> None:
        value = rng.choice([*model.graph.input, *model.graph.output])
        shape = value.type.tensor_type.shape
        if rng.random() < 0.3:
            value.type.tensor_type.elem_type = rng.choice([0, 2, 7, 8, 16, 99])
        elif shape.dim:
            rng.choice(list(shape.dim)).dim_value = rng.choice(_SIZES)

    _changed(path, change)


def _attribute(path: Path, rng: random.Random) -> None:
    def change(model: onnx.ModelProto) -> None:
        attributes = [
            attribute for node in model.graph.node for attribute in node.attribute if attribute.ints
        ]
        if attributes:
            attribute = rng.choice(attributes)
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice([*_SIZES, -(2**62)])

    _changed(path, change)


def _nodes(path: Path, rng: random.Random) -> None:
    def change(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        node = rng.choice(nodes)
        choice = rng.randrange(5)
        if choice == 0:
            node.op_type = rng.choice(["Loop", "If", "Scan", "Unknown", "", "Resize", "NonZero"])
        elif choice == 1:
            node.domain = "com.example"
        elif choice == 2 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(["", "gone", node.output[0]])
        elif choice == 3:
            model.graph.node.remove(node)
        else:
            model.graph.node.add().CopyFrom(node)

    _changed(path, change)


def _much_memory(path: Path, rng: random.Random) -> None:
    """Make a tensor far larger than any memory at every inference."""

    def change(model: onnx.ModelProto) -> None:
        sizes = helper.make_tensor(
            "sizes", TensorProto.INT64, [2], [2**20, rng.choice([2**13, 2**20, 2**40])]
        )
        model.graph.initializer.append(sizes)
        model.graph.node.append(helper.make_node("ConstantOfShape", ["sizes"], ["large"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0))
        output = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["before" if name == output else name for name in node.output]
        model.graph.node.append(helper.make_node("Add", ["before", "sum"], [output]))

    _changed(path, change)


def _versions(path: Path, rng: random.Random) -> None:
    def change(model: onnx.ModelProto) -> None:
        if rng.random() < 0.5:
            model.ir_version = rng.choice([0, 1, 99, 2**31])
        else:
            model.opset_import[0].version = rng.choice([0, 1, 5, 99, 2**40])

    _changed(path, change)


HOSTILE_MODELS: tuple[Callable[[Path, random.Random], None], ...] = (
    _external_data,
    _shape_of_weight,
    _shape_of_interface,
    _attribute,
    _nodes,
    _much_memory,
    _versions,
)
