from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnxruntime import OnnxRuntimeCpu
from hwnas.latency.backends.torch_operators import OPERATORS
from hwnas.latency.backends.torch_reference import TorchReference
from hwnas.testing.backend_suite import BackendSuite


class TestTorch(BackendSuite):
    tolerance = 1e-5

    @pytest.fixture
    def backend_class(self) -> type:
        return TorchReference


@pytest.mark.gpu
class TestTorchOnGpu(BackendSuite):
    open_options: ClassVar[dict[str, str]] = {"device": "cuda"}

    @pytest.fixture
    def backend_class(self) -> type:
        return TorchReference


RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 8, 6, 10)).astype(np.float32)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


SCALES = np.array([1, 1, 2, 2], np.float32)
EMPTY = None
# (operator, further inputs, attributes)
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", [floats(1, 8, 1, 1)], {}),
    ("Sub", [floats(1, 8, 6, 10)], {}),
    ("Mul", [floats(1, 8, 6, 1)], {}),
    ("Div", [floats(1, 8, 1, 1) + 3], {}),
    ("Conv", [floats(4, 8, 3, 3), floats(4)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("Conv", [floats(8, 1, 3, 5)], {"pads": [1, 2, 0, 3], "group": 8, "dilations": [1, 2]}),
    ("ConvTranspose", [floats(8, 4, 2, 2), floats(4)], {"strides": [2, 2]}),
    (
        "ConvTranspose",
        [floats(8, 4, 3, 3)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    ("Concat", [floats(1, 2, 6, 10)], {"axis": 1}),
    ("Clip", [np.float32(-0.5), np.float32(0.5)], {}),
    ("DepthToSpace", [], {"blocksize": 2, "mode": "CRD"}),
    ("DepthToSpace", [], {"blocksize": 2}),
    ("GlobalAveragePool", [], {}),
    ("HardSigmoid", [], {"alpha": 1 / 6}),
    ("HardSigmoid", [], {}),
    ("HardSwish", [], {}),
    ("Identity", [], {}),
    ("LeakyRelu", [], {"alpha": 0.2}),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("Pad", [ints(0, 0, 1, 2, 0, 0, 0, 3)], {"mode": "wrap"}),
    ("Pad", [ints(0, 1, 0, 2, 0, 0, 1, 3), np.float32(0.7)], {}),
    ("Pad", [ints(0, 0, 0, 2, 0, 0, 0, 2)], {"mode": "reflect"}),
    ("ReduceMax", [ints(1)], {"keepdims": 0}),
    ("ReduceMean", [ints(2, 3)], {}),
    ("Relu", [], {}),
    ("Reshape", [ints(1, 8, 60)], {}),
    (
        "Resize",
        [EMPTY, SCALES],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    ("Resize", [EMPTY, SCALES], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}),
    (
        "Resize",
        [EMPTY, EMPTY, ints(1, 8, 13, 21)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    ("Resize", [EMPTY, EMPTY, ints(1, 8, 12, 20)], {"mode": "nearest"}),
    ("Sigmoid", [], {}),
    ("Softmax", [], {"axis": 1}),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}),
    ("ArgMax", [], {"axis": 1, "keepdims": 0}),
    ("Cast", [], {"to": TensorProto.INT32}),
]


def write_node(path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], out: int) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(IMAGE.shape))]
    outputs = [helper.make_tensor_value_info("y", out, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


def run_both(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = []
    for backend in (TorchReference(1), OnnxRuntimeCpu(1)):
        backend.load(str(path))
        backend.bind({"x": IMAGE})
        backend.run()
        found.append(backend.outputs()["y"])
    return found[0], found[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_operator_computes_what_onnxruntime_does(
    case: tuple[str, list[Any], dict[str, Any]], tmp_path: Path
) -> None:
    operator, further, attributes = case
    names = ["x", *("" if value is None else f"w{index}" for index, value in enumerate(further))]
    weights = [
        numpy_helper.from_array(np.asarray(value), f"w{index}")
        for index, value in enumerate(further)
        if value is not None
    ]
    out = {"ArgMax": TensorProto.INT64, "Cast": TensorProto.INT32}.get(operator, TensorProto.FLOAT)
    write_node(tmp_path / "m.onnx", [helper.make_node(operator, names, ["y"], **attributes)], weights, out)
    torch_found, expected = run_both(tmp_path / "m.onnx")
    assert torch_found.shape == expected.shape
    assert torch_found.dtype == expected.dtype
    np.testing.assert_allclose(torch_found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantization_by_channel(dtype: type, tmp_path: Path) -> None:
    weights = [
        numpy_helper.from_array(np.linspace(0.01, 0.05, 8, dtype=np.float32), "scale"),
        numpy_helper.from_array(np.arange(8).astype(dtype), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1),
    ]
    write_node(tmp_path / "m.onnx", nodes, weights, TensorProto.FLOAT)
    torch_found, expected = run_both(tmp_path / "m.onnx")
    np.testing.assert_allclose(torch_found, expected, atol=1e-6)


def test_every_operator_is_tested() -> None:
    tested = {operator for operator, _, _ in CASES} | {"QuantizeLinear", "DequantizeLinear"}
    assert tested == set(OPERATORS)


def test_constants_inside_the_graph(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(floats(1, 8, 1, 1)))
    write_node(
        tmp_path / "m.onnx", [constant, helper.make_node("Mul", ["x", "c"], ["y"])], [], TensorProto.FLOAT
    )
    torch_found, expected = run_both(tmp_path / "m.onnx")
    np.testing.assert_allclose(torch_found, expected)


def test_absent_device_is_refused() -> None:
    with pytest.raises(AgentError, match="cannot use the device 'abacus'"):
        TorchReference(1, device="abacus")
