"""Which numbers of a file are parameters, wherever they lie and whatever they pass through."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ExportError
from hwnas.onnx_graphs.inspection import inspect_onnx
from hwnas.testing.onnx_models import LAYOUTS, write_conv_model, write_external_model
from tests.onnx_graphs.made_up_graphs import INT, F, number, report_of, value, weight


def test_quantised_weights_count_once_whatever_they_pass_through(tmp_path: Path) -> None:
    w = weight("w", 5, 7, dtype=np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=1),
        helper.make_node("Transpose", ["dw"], ["wt"], perm=[1, 0]),
        helper.make_node("Transpose", ["wt"], ["w2"], perm=[1, 0]),
        helper.make_node("MatMul", ["d", "w2"], ["y"]),
        helper.make_node("MatMul", ["y", "wt"], ["y2"]),
        helper.make_node("MatMul", ["y2", "w2"], ["y3"]),
    ]
    scales = [weight("s"), weight("z", dtype=np.int8), weight("ws", 7), weight("wz", 7, dtype=np.int8)]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [w, *scales])
    assert report.parameters == 35
    assert report.macs == 3 * 105
    assert [layer.precision for layer in report.layers if layer.operator == "MatMul"] == [
        "int8",
        "float32",
        "float32",
    ]
    assert sum(layer.parameters for layer in report.layers) == 105


@pytest.mark.parametrize(
    ("operator", "settings", "shape", "attributes"),
    [
        ("Reshape", [(3, 4)], (12,), {}),
        ("Expand", [(3, 4)], (3, 4), {}),
        ("Tile", [(1, 1)], (3, 4), {}),
        ("Slice", [(0, 0), (3, 4), (0, 1), (1, 1)], (3, 4), {}),
        ("Squeeze", [(0, 1)], (1, 1, 3, 4), {}),
        ("Gather", [(0, 1, 2)], (3, 4), {}),
        ("ReduceSum", [(0, 1)], (1, 2, 3, 4), {"keepdims": 0}),
    ],
)
@pytest.mark.parametrize("are_nodes", [True, False])
def test_what_shapes_a_weight_is_no_parameter(
    tmp_path: Path,
    operator: str,
    settings: list[tuple[int, ...]],
    shape: tuple[int, ...],
    attributes: dict[str, Any],
    are_nodes: bool,
) -> None:
    names = [f"s{index}" for index in range(len(settings))]
    tensors = [number(name, *values) for name, values in zip(names, settings, strict=True)]
    nodes = [
        helper.make_node(operator, ["w", *names], ["v"], **attributes),
        helper.make_node("MatMul", ["x", "v"], ["y"]),
    ]
    if are_nodes:
        constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors]
        nodes, tensors = [*constants, *nodes], []
    report = report_of(tmp_path, nodes, [value("x", [2, 3])], [weight("w", *shape), *tensors])
    assert report.parameters == math.prod(shape)


def test_numbers_that_a_file_makes_itself_are_no_parameters(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["v"], ["sizes"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["zeros"]),
        helper.make_node("MatMul", ["x", "zeros"], ["z"]),
        helper.make_node("Range", ["start", "end", "step"], ["r"]),
        helper.make_node("Add", ["z", "r"], ["y"]),
    ]
    ends = [numpy_helper.from_array(np.float32(v), n) for n, v in (("start", 0), ("end", 4), ("step", 1))]
    report = report_of(tmp_path, nodes, [value("x", [2, 3])], [weight("v", 3, 4), *ends])
    assert (report.macs, report.parameters) == (24, 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_external_weights_count_as_others_do(tmp_path: Path, layout: str) -> None:
    write_conv_model(tmp_path / "inside.onnx")
    inside = inspect_onnx(tmp_path / "inside.onnx")
    (tmp_path / "m").mkdir()
    write_external_model(tmp_path / "m" / "m.onnx", layout)
    outside = inspect_onnx(tmp_path / "m" / "m.onnx")
    assert (outside.macs, outside.parameters) == (inside.macs, inside.parameters)
    assert outside.size_bytes == sum(
        path.stat().st_size for path in (tmp_path / "m").rglob("*") if path.is_file()
    )
    next((tmp_path / "m").rglob("*.bin")).unlink()
    with pytest.raises(ExportError, match="Copy all files of the model together"):
        inspect_onnx(tmp_path / "m" / "m.onnx")


def test_weights_of_many_gigabytes_are_counted_unread(tmp_path: Path) -> None:
    w = TensorProto(name="w", dims=[1 << 15, 1 << 16], data_type=F, data_location=TensorProto.EXTERNAL)
    shape = TensorProto(name="shape", dims=[2], data_type=INT, data_location=TensorProto.EXTERNAL)
    for tensor, offset in ((w, 16), (shape, 0)):
        tensor.external_data.add(key="location", value="w.bin")
        tensor.external_data.add(key="offset", value=str(offset))
    with (tmp_path / "w.bin").open("wb") as stream:
        stream.write(np.array([2, 1 << 15], np.int64).tobytes())
        stream.truncate(16 + (4 << 31))
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    report = report_of(tmp_path, nodes, [value("x", [1 << 16])], [w, shape])
    assert report.macs == 2 << 31
    assert report.parameters == 1 << 31
    assert report.size_bytes > 8e9


@pytest.mark.parametrize("shape", [[5, 8], [5, 6], [-5, -7], [1 << 40, 7]])
def test_tensors_that_do_not_hold_their_values_are_refused(tmp_path: Path, shape: list[int]) -> None:
    w = weight("w", 5, 7)
    del w.dims[:]
    w.dims.extend(shape)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    with pytest.raises(ExportError, match=r"'w' does not hold|not a valid ONNX file"):
        report_of(tmp_path, [node], [value("x", [3, 5])], [w])
