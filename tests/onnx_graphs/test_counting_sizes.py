"""Sizes that a graph leaves open, computes, or cannot have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from hwnas.errors import ConfigError
from tests.onnx_graphs.made_up_graphs import number, report_of, value, weight


@pytest.mark.parametrize(
    ("operator", "inputs", "sizes"),
    [
        ("Pad", ["x", "n"], (-20, 0, 0, 0)),
        ("Expand", ["x", "n"], (-20, 4)),
        ("Tile", ["x", "n"], (-20, 1)),
        ("Reshape", ["x", "n"], (-20, 4)),
    ],
)
def test_sizes_below_zero_make_no_work_below_zero(
    tmp_path: Path, operator: str, inputs: list[str], sizes: tuple[int, ...]
) -> None:
    nodes = [helper.make_node(operator, inputs, ["z"]), helper.make_node("MatMul", ["z", "w"], ["y"])]
    report = report_of(tmp_path, nodes, [value("x", [1, 4])], [number("n", *sizes), weight("w", 4, 4)])
    assert report.macs is None
    assert all(min(layer.output_shape, default=0) >= 0 for layer in report.layers)


def test_two_negative_sizes_are_no_positive_number_of_values(tmp_path: Path) -> None:
    inputs, w = [value("x", [1, 4, 2, 2])], weight("w", 4, 4, 7, 7)
    assert report_of(tmp_path, [helper.make_node("Conv", ["x", "w"], ["y"])], inputs, [w]).macs is None
    nodes = [
        helper.make_node("MaxPool", ["x"], ["z"], kernel_shape=[7, 7]),
        helper.make_node("Conv", ["z", "v"], ["y"]),
    ]
    assert report_of(tmp_path, nodes, inputs, [weight("v", 4, 4, 1, 1)]).macs is None
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["z"]),
        helper.make_node("MatMul", ["row", "z"], ["y"]),
    ]
    assert report_of(tmp_path, nodes, [value("row", [1, 4])], [number("n", 4, -3)]).macs is None


def test_a_range_to_below_its_start_is_empty(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Range", ["three", "end", "one"], ["r"]),
        helper.make_node("Shape", ["r"], ["n"]),
        helper.make_node("Concat", ["n", "four"], ["sizes"], axis=0),
        helper.make_node("Expand", ["x", "sizes"], ["z"]),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]
    numbers = [number("three", 3), number("end", -7), number("one", 1)]
    four = numpy_helper.from_array(np.array([4], np.int64), "four")
    report = report_of(tmp_path, nodes, [value("x", [1, 4])], [*numbers, four, weight("w", 4, 4)])
    assert report.macs == 0


@pytest.mark.parametrize(("channels", "group", "is_known"), [(4, 2, True), (5, 1, False), (4, 0, False)])
def test_convolutions_of_other_channels_than_their_weights_are_unknown(
    tmp_path: Path, channels: int, group: int, *, is_known: bool
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=group)
    found = report_of(tmp_path, [node], [value("x", [1, channels, 8, 8])], [weight("w", 6, 2, 3, 3)])
    assert (found.macs, len(found.unknown)) == ((6 * 2 * 9 * 36, 0) if is_known else (None, 1))


def test_an_open_first_axis_is_one_item_and_others_are_unknown(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    report = report_of(tmp_path, [node], [value("x", ["batch", 3, 5])], [weight("w", 5, 7)])
    assert report.macs == 105
    assert report.notes[0].startswith("the first axis of x is open and taken as 1")
    many = report_of(tmp_path, [node], [value("x", ["batch", 3, 5])], [weight("w", 5, 7)], given=["x=8x3x5"])
    assert (many.macs, many.notes) == (840, ())
    open_rows = report_of(tmp_path, [node], [value("x", ["batch", "rows", 5])], [weight("w", 5, 7)])
    assert (open_rows.macs, open_rows.unknown, open_rows.parameters) == (None, {"MatMul": 1}, 35)
    assert open_rows.notes == (
        "shapes of inputs are open: x batchxrowsx5; give them with `inputs=['NAME=SHAPE']`",
    )
    unranked = report_of(tmp_path, [node], [value("x", None)], [weight("w", 5, 7)])
    assert unranked.macs is None
    assert report_of(tmp_path, [node], [value("x", None)], [weight("w", 5, 7)], given=["x=3x5"]).macs == 105


@pytest.mark.parametrize("size", [-1, -(1 << 63)])
def test_sizes_that_no_tensor_has_are_open(tmp_path: Path, size: int) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    report = report_of(tmp_path, [node], [value("x", [size, 3, 5])], [weight("w", 5, 7)])
    assert report.macs == 105
    assert report.notes


def test_axes_that_share_a_name_are_given_once(tmp_path: Path) -> None:
    inputs = [value("a", ["n", "k"]), value("b", ["k", "m"])]
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    assert report_of(tmp_path, [node], inputs, given=["a=2x3"]).macs is None
    assert report_of(tmp_path, [node], inputs, given=["a=2x3", "b=3x4"]).macs == 24
    with pytest.raises(ConfigError, match=r"axis 'k' .* 'a' gives 3 and 'b' gives 5"):
        report_of(tmp_path, [node], inputs, given=["a=2x3", "b=5x4"])


def test_shapes_that_the_graph_computes_are_followed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "zero"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    weights = [
        number("first", 0),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
        numpy_helper.from_array(np.array([-1], np.int64), "rest"),
        weight("w", 15, 7),
    ]
    assert report_of(tmp_path, nodes, [value("x", ["n", 3, 5])], weights, given=["x=4x3x5"]).macs == 4 * 105


def test_given_values_decide_but_do_not_make_work_vanish(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 5), np.float32))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inputs = [value("x", ["n", "k"])]
    assert (
        report_of(tmp_path, [node], inputs, [weight("w", 5, 7)], given=[f"x={tmp_path / 'x.npy'}"]).macs
        == 105
    )
