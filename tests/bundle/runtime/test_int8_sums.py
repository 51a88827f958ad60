"""INT8 is summed without overflow, on every processor: 8-bit kernels of x86 without VNNI overflow unless told not to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.latency.backends.onnxruntime import OnnxRuntimeCpu
from tests.bundle.runtime.other_runtimes import NEWEST, NODE, OLDEST, logits_of, why_missing

CHANNELS, SIZE = 16, 8
STEP = 1 / 255


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution whose weights are all 127, between quantisers for unsigned activations."""
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    shape = [1, CHANNELS, SIZE, SIZE]
    values = {
        "step": np.float32(STEP),
        "zero": np.uint8(0),
        "weights": np.full((CHANNELS, CHANNELS, 1, 1), 127, np.int8),
        "weight_step": np.float32(1 / 127 / CHANNELS),
        "weight_zero": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["image_q"]),
        helper.make_node("DequantizeLinear", ["image_q", "step", "zero"], ["image_dq"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_step", "weight_zero"], ["weights_dq"]),
        helper.make_node("Conv", ["image_dq", "weights_dq"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "step", "zero"], ["sums_q"]),
        helper.make_node("DequantizeLinear", ["sums_q", "step", "zero"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    return path


def image() -> np.ndarray:
    """The weights are 1 / CHANNELS each, so that equal inputs give themselves: the largest give the largest sum."""
    levels = np.linspace(0.0, 1.0, SIZE * SIZE, dtype=np.float32).reshape(1, 1, SIZE, SIZE)
    return np.repeat(levels, CHANNELS, axis=1)


def in_the_runner(model: Path) -> np.ndarray:
    return OnnxPredictor(model)({"image": image()})["logits"]


def in_the_clock(model: Path) -> np.ndarray:
    backend = OnnxRuntimeCpu(1)
    backend.load(str(model))
    backend.bind({"image": image()})
    backend.run()
    return backend.outputs()["logits"]


def elsewhere(runtime: str) -> Callable[[Path], np.ndarray]:
    return lambda model: logits_of(runtime, model, image(), CHANNELS).values


@pytest.mark.parametrize(
    "compute",
    [
        in_the_runner,
        in_the_clock,
        *(
            pytest.param(
                elsewhere(name),
                id=name,
                marks=pytest.mark.skipif(bool(why_missing(name)), reason=why_missing(name)),
            )
            for name in (OLDEST, NEWEST, NODE)
        ),
    ],
)
def test_the_largest_sums_are_right(compute: Callable[[Path], np.ndarray], model: Path) -> None:
    found = compute(model)
    np.testing.assert_allclose(found, image(), atol=1.01 * STEP)
