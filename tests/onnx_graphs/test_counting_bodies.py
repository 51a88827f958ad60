"""Branches, loops, scans and functions are followed, as often as they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_graphs.made_up_graphs import INT, number, report_of, value, weight


def branch(name: str, columns: int) -> onnx.GraphProto:
    node = helper.make_node("MatMul", ["x", f"w{name}"], [f"y{name}"])
    return helper.make_graph(
        [node], name, [], [value(f"y{name}", [3, columns])], [weight(f"w{name}", 5, columns)]
    )


def test_both_branches_are_looked_into(tmp_path: Path) -> None:
    node = helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=branch("a", 7), else_branch=branch("b", 9)
    )
    inputs = [value("x", [3, 5]), value("c", [], TensorProto.BOOL)]
    report = report_of(tmp_path, [node], inputs)
    assert report.macs == 3 * 5 * 9
    assert report.parameters == 5 * 16
    assert report.notes == (
        "choice (If): the branch with more work is counted; then: 105 MACs, else: 135 MACs",
    )
    taken = report_of(tmp_path, [node], inputs, given=["c=true"])
    assert (taken.macs, taken.notes) == (105, ())


def loop(
    step: list[onnx.NodeProto], weights: list[onnx.TensorProto], condition: str = "going"
) -> onnx.GraphProto:
    body_inputs = [value("i", [], INT), value("going", [], TensorProto.BOOL), value("h", [3, 5])]
    keep = helper.make_node("Identity", [condition], ["goes_on"])
    outputs = [value("goes_on", [], TensorProto.BOOL), value("h2", [3, 5]), value("s", [3, 5])]
    last = helper.make_node("Identity", ["h2"], ["s"])
    return helper.make_graph([*step, keep, last], "body", body_inputs, outputs, weights)


def test_loops_count_their_runs_where_they_can(tmp_path: Path) -> None:
    step = [helper.make_node("MatMul", ["h", "w"], ["h2"], name="step")]
    node = helper.make_node(
        "Loop", ["n", "", "x"], ["last", "all"], name="l", body=loop(step, [weight("w", 5, 5)])
    )
    use = helper.make_node("MatMul", ["all", "v"], ["y"])
    inputs, v = [value("x", [3, 5])], weight("v", 5, 2)
    report = report_of(tmp_path, [node, use], inputs, [number("n", 6), v])
    assert report.macs == 6 * 75 + 6 * 30
    assert report.parameters == 35
    assert {layer.name: layer.macs for layer in report.layers}["l/step"] == 450
    million = report_of(tmp_path, [node, use], inputs, [number("n", 1_000_000), v])
    assert million.macs == 105 * 1_000_000
    for runs in (0, -1, -3, -(2**63)):
        none = report_of(tmp_path, [node, use], inputs, [number("n", runs), v])
        assert none.macs == 0
        assert all(layer.macs == 0 for layer in none.layers)
    unknown = report_of(tmp_path, [node, use], [*inputs, value("n", [], INT)], [v])
    assert (unknown.macs, unknown.unknown) == (None, {"MatMul": 2})
    assert "l (Loop): how often it runs is not known" in unknown.notes
    assert report_of(tmp_path, [node, use], [*inputs, value("n", [], INT)], [v], given=["n=4"]).macs == 420


def test_a_loop_that_ends_itself_is_followed(tmp_path: Path) -> None:
    step = [
        helper.make_node("MatMul", ["h", "w"], ["h2"]),
        helper.make_node("Less", ["i", "four"], ["more"]),
    ]
    body = loop(step, [weight("w", 5, 5), number("four", 4)], condition="more")
    node = helper.make_node("Loop", ["", "", "x"], ["y", "all"], body=body)
    assert report_of(tmp_path, [node], [value("x", [3, 5])]).macs == 5 * 75
    for_ever = helper.make_node("Loop", ["", "", "x"], ["y", "all"], body=loop(step[:1], [weight("w", 5, 5)]))
    assert report_of(tmp_path, [for_ever], [value("x", [3, 5])]).macs is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"scan_input_axes": [7]},
        {"scan_input_axes": [-3]},
        {"scan_input_axes": [0, 1]},
        {"scan_output_axes": [0, 0, 0]},
    ],
)
def test_scans_over_axes_that_are_not_there_are_unknown(tmp_path: Path, attributes: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("MatMul", ["h", "w"], ["h2"]),
        helper.make_node("Add", ["h2", "slice"], ["out"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [value("h", [3, 5]), value("slice", [5])],
        [value("h2", [3, 5]), value("out", [3, 5])],
        [weight("w", 5, 5)],
    )
    node = helper.make_node("Scan", ["h0", "x"], ["last", "all"], num_scan_inputs=1, body=body, **attributes)
    use = helper.make_node("Identity", ["all"], ["y"])
    inputs = [value("h0", [3, 5]), value("x", [8, 5])]
    assert report_of(tmp_path, [node, use], inputs).macs is None


def test_loops_whose_shapes_grow_are_followed(tmp_path: Path) -> None:
    step = [
        helper.make_node("Concat", ["h", "row"], ["h2"], axis=0),
        helper.make_node("MatMul", ["h2", "w"], ["m"]),
        helper.make_node("Identity", ["going"], ["goes_on"]),
    ]
    body = helper.make_graph(
        step,
        "body",
        [value("i", [], INT), value("going", [], TensorProto.BOOL), value("h", None)],
        [value("goes_on", [], TensorProto.BOOL), value("h2", None), value("m", None)],
        [weight("row", 1, 5), weight("w", 5, 5)],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y", "all"], body=body)
    report = report_of(tmp_path, [node], [value("x", [3, 5])], [number("n", 3)])
    # Only outputs that are used are computed; both are here, since a runtime runs the whole body.
    assert report.macs == (4 + 5 + 6) * 25


def test_scans_count_their_slices(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["h", "slice"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["h2"]),
        helper.make_node("Identity", ["h2"], ["out"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [value("h", [3, 5]), value("slice", [3, 5])],
        [value("h2", [3, 5]), value("out", [3, 5])],
        [weight("w", 5, 5)],
    )
    node = helper.make_node(
        "Scan", ["h0", "x"], ["last", "all"], num_scan_inputs=1, scan_input_axes=[1], body=body
    )
    use = helper.make_node("MatMul", ["all", "v"], ["y"])
    inputs = [value("h0", [3, 5]), value("x", [3, 8, 5])]
    assert report_of(tmp_path, [node, use], inputs, [weight("v", 5, 2)]).macs == 8 * 75 + 8 * 30


def test_functions_of_the_file_are_counted(tmp_path: Path) -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
    function = helper.make_function("own", "Linear", ["a", "b"], ["d"], body, [helper.make_opsetid("", 23)])
    nodes = [
        helper.make_node("Linear", ["x", "w"], ["y"], domain="own"),
        helper.make_node("Linear", ["y", "w"], ["z"], domain="own"),
    ]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [weight("w", 5, 5)], functions=[function])
    assert (report.macs, report.parameters) == (150, 25)
