"""Bundles for LiDAR scans of any sensor, with networks of random weights in every precision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.data.sensors import Sensor
from hwnas.files import sha256_of_file
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.projection import INPUT_CHANNELS, Normalisation
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.bundle.made_up_bundle import CONTENT, rewrite_manifest

CLASSES = 5
_WIDTH_OF_NETWORK = 6
_MEAN, _STD = (12.0, 0.5, -0.3, -0.8, 0.4), (11.0, 13.0, 12.0, 1.9, 0.3)


def label_map() -> dict[str, Any]:
    """Raw ids with 0 among those of a class, so that no class is another one."""
    classes = [
        {"name": f"class {k}", "raw_ids": [10 * k, 10 * k + 1], "color": [k, 0, 0]} for k in range(CLASSES)
    ]
    return {"name": "made-up", "ignored_raw_ids": [99, 98], "classes": classes}


def deployment_of(spec: ProjectionSpec, **changes: Any) -> dict[str, Any]:
    """Return what a task would say of deployment."""
    return {
        "projection": spec.to_json(),
        "normalisation": Normalisation(_MEAN, _STD).to_json(),
        "knn": KnnSettings().to_json(),
        "label_map": label_map(),
        "intensity_range": [0.0, 1.0],
        "sensor": "test",
        **changes,
    }


def spec_of(sensor: Sensor, width: int = 512, *, has_beams: bool = True) -> ProjectionSpec:
    """Return the projection for a sensor with a table."""
    beams = tuple(sensor.elevation_deg) if has_beams else None
    edges = (sensor.elevation_deg[0] + 0.5, sensor.elevation_deg[-1] - 0.5)
    return ProjectionSpec(max(16, sensor.beams), width, "ring", *edges, beams)


def write_lidar_bundle(
    directory: Path,
    spec: ProjectionSpec,
    *,
    expects: Mapping[str, Any] | None = None,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a bundle with fp32, fp16 and INT8.

    Args:
        directory: that is made.
        spec: of its projection.
        expects: section of the manifest; none if it is None.
        seed: of the weights.
        changes: of the deployment.
    """
    directory.mkdir(parents=True)
    content = json.loads(json.dumps(CONTENT))
    content["processor"] = "lidar-range-view"
    content["class_names"] = [entry["name"] for entry in label_map()["classes"]]
    content["io"] = {
        "inputs": [{"name": "range_image", "shape": [1, 5, spec.height, spec.width], "dtype": "float32"}],
        "outputs": [{"name": "logits", "shape": [1, CLASSES, spec.height, spec.width], "dtype": "float32"}],
    }
    content["deployment"] = json.loads(json.dumps(deployment_of(spec, **changes)))
    if expects is not None:
        content["expects"] = json.loads(json.dumps(expects))
    content["precisions"] = {}
    for precision in ("fp32", "fp16", "int8"):
        name = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
        (directory / name).write_bytes(network(spec, precision, seed).SerializeToString(deterministic=True))
        content["precisions"][precision] = {"file": name, "precision": precision, "for": ["onnxruntime"]}
    (directory / "weights.safetensors").write_bytes(b"not read by runtimes")
    for path in sorted(directory.iterdir()):
        content["files"][path.name] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    rewrite_manifest(directory, content)
    return directory


def network(spec: ProjectionSpec, precision: str, seed: int) -> onnx.ModelProto:
    """Return two convolutions in fp32, fp16 or INT8, whose scores differ from pixel to pixel."""
    rng = np.random.default_rng(seed)
    dtype = np.float16 if precision == "fp16" else np.float32
    channels = len(INPUT_CHANNELS)
    weights = {
        "first": rng.normal(0, 0.4, (_WIDTH_OF_NETWORK, channels, 3, 3)).astype(dtype),
        "second": rng.normal(0, 0.6, (CLASSES, _WIDTH_OF_NETWORK, 1, 1)).astype(dtype),
    }
    nodes, initializers = [], []
    if precision != "int8":
        initializers += [numpy_helper.from_array(array, name) for name, array in weights.items()]
    start, end = "range_image", "logits"
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", [start], ["half"], to=TensorProto.FLOAT16))
        start, end = "half", "half_logits"
    first, hidden = (start, "first"), "hidden"
    if precision == "int8":
        initializers += [
            numpy_helper.from_array(np.float32(0.04), "scale"),
            numpy_helper.from_array(np.uint8(120), "zero"),
        ]
        for source, target in ((start, "quantised_input"), ("hidden", "quantised_hidden")):
            nodes += _rounded(source, target, "scale", "zero")
        for name, array in weights.items():
            whole = np.clip(np.rint(array / 0.015), -127, 127).astype(np.int8)
            parts = {f"{name}_whole": whole, f"{name}_scale": np.float32(0.015), f"{name}_zero": np.int8(0)}
            initializers += [numpy_helper.from_array(value, part) for part, value in parts.items()]
            nodes.append(helper.make_node("DequantizeLinear", list(parts), [f"quantised_{name}"]))
        first, hidden = ("quantised_input", "quantised_first"), "quantised_hidden"
    second = "quantised_second" if precision == "int8" else "second"
    nodes += [
        helper.make_node("Conv", list(first), ["sums"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Conv", [hidden, second], [end]),
    ]
    if precision == "fp16":
        nodes.append(helper.make_node("Cast", [end], ["logits"], to=TensorProto.FLOAT))
    shape = (1, channels, spec.height, spec.width)
    graph = helper.make_graph(
        _ordered(nodes),
        "network",
        [helper.make_tensor_value_info("range_image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, CLASSES, *shape[2:]))],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _rounded(source: str, target: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{target}_whole"]),
        helper.make_node("DequantizeLinear", [f"{target}_whole", scale, zero], [target]),
    ]


def _ordered(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return nodes so that each comes after those whose outputs it takes."""
    made = {name for node in nodes for name in node.output}
    ordered: list[onnx.NodeProto] = []
    known: set[str] = set()
    while len(ordered) < len(nodes):
        ready = [
            node
            for node in nodes
            if node not in ordered and all(name in known or name not in made for name in node.input)
        ]
        ordered += ready
        known.update(name for node in ready for name in node.output)
    return ordered
