"""The fixed network that every measurement is compared with.

It is of the kind that is searched: convolutions over a 64x512 range image, a smaller resolution inside, a
skip connection. Its bytes are the same everywhere and for ever, so that ratios to it compare across runs;
what it computes means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.files import write_bytes_atomically
from hwnas.io_spec import IoSpec, TensorSpec

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

REFERENCE = "reference"
"""Its name beside the models that it is clocked with, here and in jobs."""

REFERENCE_IO = IoSpec(
    (TensorSpec("image", (1, 5, 64, 512)),),
    (TensorSpec("logits", (1, 8, 64, 512)),),
)
REFERENCE_SHA256 = "45b29ffd216a22c0dd21d19042b1222c1a9dc1f82e9e8dd85cc3de48f0b0f382"
_OPSET = 17  # old enough for every backend that hwnas measures


def write_reference(path: Path) -> None:
    """Write the reference network as an ONNX file, atomically."""
    from onnx import helper

    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(_graph(), opset_imports=opsets, ir_version=8, producer_name="hwnas-reference")
    write_bytes_atomically(path, model.SerializeToString(deterministic=True))


def _graph() -> GraphProto:
    from onnx import TensorProto, helper

    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []

    def convolved(source: str, name: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
        weights.append(_weight(f"{name}.weight", (channels[1], channels[0], kernel, kernel)))
        settings: dict[str, Any] = {"strides": [stride, stride], "pads": [kernel // 2] * 4}
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight"], [f"{name}.sum"], name, **settings))
        nodes.append(helper.make_node("Relu", [f"{name}.sum"], [name], f"{name}.relu"))
        return name

    fine = convolved("image", "stem", (5, 16), 3)
    coarse = convolved(fine, "down", (16, 24), 3, stride=2)
    coarse = convolved(coarse, "middle", (24, 24), 3)
    weights.append(helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0]))
    settings: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    nodes.append(helper.make_node("Resize", [coarse, "", "scales"], ["wide"], "up", **settings))
    nodes.append(helper.make_node("Concat", ["wide", fine], ["both"], "skip", axis=1))
    weights.append(_weight("head.weight", (8, 40, 1, 1)))
    nodes.append(helper.make_node("Conv", ["both", "head.weight"], ["logits"], "head"))
    (image,), (logits,) = REFERENCE_IO.inputs, REFERENCE_IO.outputs
    inputs = [helper.make_tensor_value_info(image.name, TensorProto.FLOAT, list(image.shape))]
    outputs = [helper.make_tensor_value_info(logits.name, TensorProto.FLOAT, list(logits.shape))]
    return helper.make_graph(nodes, REFERENCE, inputs, outputs, weights)


def _weight(name: str, shape: tuple[int, ...]) -> TensorProto:
    """Return numbers of the usual size from whole-number arithmetic, which no library changes."""
    from onnx import TensorProto, helper

    count = int(np.prod(shape))
    # Knuth's multiplicative hash (The Art of Computer Programming 3, section 6.4), scaled to -1..1.
    hashed = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    fan_in = int(np.prod(shape[1:]))
    values = (hashed.astype(np.float64) / 2**31 - 1.0) * np.sqrt(3.0 / fan_in)
    return helper.make_tensor(name, TensorProto.FLOAT, shape, values.astype("<f4").tobytes(), raw=True)
