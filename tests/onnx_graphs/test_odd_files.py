"""Files that are valid and odd: what no figure can be told of is said, and nothing runs without end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.errors import ConfigError, ExportError, ModelFileError
from hwnas.onnx_graphs.counting import interpreter
from hwnas.onnx_graphs.counting.functions import refuse_expansion
from hwnas.onnx_graphs.inspection import inspect_onnx

F, INT = TensorProto.FLOAT, TensorProto.INT64


def tensor(name: str, shape: list[Any] | None = None, dtype: int = F) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto] = [],  # noqa: B006
    opset: int = 17,
    **others: Any,
) -> Path:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, **others)
    path.write_bytes(model.SerializeToString())
    return path


def printed(path: Path, *options: str) -> str:
    result = CliRunner().invoke(make_app(), ["inspect", str(path), *options])
    assert result.exit_code == 0, result.exception
    return result.output


def product(path: Path, shape: list[Any] | None, name: str = "x", opset: int = 17) -> Path:
    node = helper.make_node("MatMul", [name, "w"], ["y"])
    weight = numpy_helper.from_array(np.ones((5, 7), np.float32), "w")
    return write(path, [node], [tensor(name, shape)], [tensor("y")], [weight], opset)


def function(name: str, calls: list[str], *, in_a_branch: bool = False) -> onnx.FunctionProto:
    values = [f"v{index}" for index in range(len(calls) + 1)]
    nodes = [
        helper.make_node(call, [values[index]], [values[index + 1]], domain="" if call == "Relu" else "own")
        for index, call in enumerate(calls)
    ]
    if in_a_branch:
        branch = helper.make_graph(nodes, "b", [], [tensor(values[-1])])
        condition = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
        choice = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
        nodes, values = [condition, choice], [values[0], "z"]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, [values[0]], [values[-1]], nodes, opsets)


def write_calls(path: Path, functions: list[onnx.FunctionProto]) -> Path:
    node = helper.make_node(functions[0].name, ["x"], ["y"], domain="own")
    return write(path, [node], [tensor("x", [4])], [tensor("y", [4])], functions=functions)


@pytest.mark.parametrize("in_a_branch", [False, True])
def test_functions_that_expand_without_end_are_refused_at_once(tmp_path: Path, in_a_branch: bool) -> None:
    chain = [function(f"f{i}", [f"f{i + 1}"] * 2, in_a_branch=in_a_branch) for i in range(200)]
    path = write_calls(tmp_path / "m.onnx", [*chain, function("f200", ["Relu"])])
    start = time.monotonic()
    with pytest.raises(ExportError, match=r"m\.onnx.* call each other so often .* at most 100,000 nodes"):
        inspect_onnx(path)
    assert time.monotonic() - start < 30


def test_functions_that_hold_much_are_refused_before_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.onnx_graphs.counting.functions.MAX_BYTES", 100_000)
    big = function("f1", ["Relu"])
    big.doc_string = "x" * 20_000
    model = onnx.ModelProto(functions=[function("f0", ["f1"] * 10), big])
    model.graph.node.append(helper.make_node("f0", ["x"], ["y"], domain="own"))
    with pytest.raises(ModelFileError, match="bytes can be inspected"):
        refuse_expansion(model)


def test_functions_that_call_themselves_are_refused(tmp_path: Path) -> None:
    functions = [function("f0", ["f1"]), function("f1", ["f0"])]
    with pytest.raises(ExportError, match="recursive"):
        inspect_onnx(write_calls(tmp_path / "m.onnx", functions))
    with pytest.raises(ModelFileError, match="call themselves"):
        refuse_expansion(onnx.load(tmp_path / "m.onnx"))


@given(data=st.data())
def test_nodes_are_counted_as_the_inliner_makes_them(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    names = [f"f{index}" for index in range(count)]
    functions = [
        function(
            name, data.draw(st.lists(st.sampled_from(["Relu", *names[i + 1 :]]), min_size=1, max_size=3))
        )
        for i, name in enumerate(names)
    ]
    node = helper.make_node("f0", ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "g", [tensor("x", [4])], [tensor("y", [4])])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)
    made = len(onnx.inliner.inline_local_functions(model).graph.node)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.onnx_graphs.counting.functions.MAX_NODES", made)
        refuse_expansion(model)
        patch.setattr("hwnas.onnx_graphs.counting.functions.MAX_NODES", made - 1)
        with pytest.raises(ModelFileError, match=f" {made} nodes"):
            refuse_expansion(model)


def test_loops_in_loops_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MAX_VISITS", 2_000)
    grow = [helper.make_node("Concat", ["h3", "h3"], ["out3"], axis=0)]
    for depth in (3, 2, 1, 0):  # shapes change from run to run, so each run is gone through
        inputs = [
            tensor(f"i{depth}", [], INT),
            tensor(f"c{depth}", [], TensorProto.BOOL),
            tensor(f"h{depth}"),
        ]
        keep = helper.make_node("Identity", [f"c{depth}"], [f"k{depth}"])
        outputs = [tensor(f"k{depth}", [], TensorProto.BOOL), tensor(f"out{depth}")]
        body = helper.make_graph([*grow, keep], f"b{depth}", inputs, outputs)
        source, result = (f"h{depth - 1}", f"out{depth - 1}") if depth else ("x", "y")
        grow = [helper.make_node("Loop", ["n", "", source], [result], body=body)]
    times = numpy_helper.from_array(np.array(20, np.int64), "n")
    path = write(tmp_path / "m.onnx", grow, [tensor("x", [1])], [tensor("y")], [times])
    with pytest.raises(ExportError, match="nested loops run so often that more than 2,000 nodes"):
        inspect_onnx(path)


def test_shapes_that_are_not_stated_are_inferred_or_unknown(tmp_path: Path) -> None:
    path = product(tmp_path / "m.onnx", [1, 3, 5])
    assert "output  y  float32 [1, 3, 7]" in printed(path)
    node = helper.make_node("Relu", ["x"], ["y"])
    unknown = write(tmp_path / "u.onnx", [node], [tensor("x")], [tensor("y")])
    assert "input   x  float32 shape unknown\noutput  y  float32 shape unknown\n" in printed(unknown)
    report = json.loads(printed(unknown, "--json"))
    assert (report["inputs"][0]["shape"], report["outputs"][0]["shape"]) == (None, None)
    assert "input   x  float32 [2, 3]\noutput  y  float32 [2, 3]\n" in printed(unknown, "--input", "x=2x3")
    scalar = write(tmp_path / "s.onnx", [node], [tensor("x", [])], [tensor("y", [])])
    assert "input   x  float32 []\noutput  y  float32 []\n" in printed(scalar)


def test_axes_are_shown_as_they_are_stated(tmp_path: Path) -> None:
    assert "float32 [batch, ?, 5]" in printed(product(tmp_path / "m.onnx", ["batch", None, 5]))
    minus = printed(product(tmp_path / "m.onnx", [-1, 3, 5]))
    assert "the first axis of x is open and taken as 1" in minus
    assert "float32 [1, 3, 5]" in minus
    empty = product(tmp_path / "m.onnx", [0, 3, 5])
    assert "float32 [0, 3, 5]" in printed(empty)
    report = inspect_onnx(empty)
    assert (report.macs, report.notes) == (
        0,
        ("an axis of x has the size 0: there is nothing to compute with it",),
    )


@pytest.mark.parametrize(
    "shape", [[1, 1 << 40, 5], [1 << 31, 3, 5], [(1 << 63) - 1, 5], [1 << 30, 1 << 30, 5, 5]]
)
def test_sizes_that_overflow_are_shown_and_not_counted(tmp_path: Path, shape: list[int]) -> None:
    path = product(tmp_path / "m.onnx", shape)
    assert f"float32 {shape}" in printed(path)
    report = inspect_onnx(path)
    assert (report.macs, report.unknown) == (None, {"MatMul": 1})
    assert report.notes == ("x has more values than any memory: too large to count",)


def test_names_of_a_file_break_no_lines(tmp_path: Path) -> None:
    path = product(tmp_path / "m.onnx", ["a\nb", "c\rd", 5], name="x\nnote    all is well\x1b[2J")
    text = printed(path, "--layers")
    assert "input   x\\x0anote    all is well\\x1b[2J  float32 [a\\x0ab, c\\x0dd, 5]\n" in text
    assert not [line for line in text.splitlines() if line.startswith("note    all is well")]
    with pytest.raises(ExportError) as caught:
        inspect_onnx(write(tmp_path / "e.onnx", [helper.make_node("Re\nlu", ["x"], ["y"])], [], []))
    assert "\n" not in str(caught.value)


def test_types_that_are_no_tensors_are_named(tmp_path: Path) -> None:
    inner = helper.make_tensor_type_proto(F, [2, 2])
    sequence = helper.make_value_info("s", helper.make_sequence_type_proto(inner))
    optional = helper.make_value_info("o", helper.make_optional_type_proto(inner))
    path = tmp_path / "m.onnx"
    join = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    assert "input   s  sequence(float32 [2, 2])\n" in printed(write(path, [join], [sequence], [tensor("y")]))
    assert json.loads(printed(path, "--json"))["inputs"][0]["shape"] is None
    with pytest.raises(ConfigError, match="cannot be given"):
        inspect_onnx(path, ["s=[1, 2]"])
    make = helper.make_node("SequenceConstruct", ["x", "x"], ["s"])
    assert "output  s  sequence(float32 [2, 2])\n" in printed(
        write(path, [make], [tensor("x", [2, 2])], [sequence])
    )
    get = helper.make_node("OptionalGetElement", ["o"], ["y"])
    text = printed(write(path, [get], [optional], [tensor("y")], opset=18))
    assert "input   o  optional(float32 [2, 2])\noutput  y  float32 [2, 2]\n" in text
    table = helper.make_value_info("t", helper.make_map_type_proto(INT, inner))
    keep = helper.make_node("Identity", ["x"], ["y"])
    text = printed(write(path, [keep], [tensor("x", [1]), table], [tensor("y")]))
    assert "input   t  map(int64, float32 [2, 2])\n" in text
    with pytest.raises(ConfigError, match="cannot be given"):
        inspect_onnx(path, ["t=[1, 2]"])


def test_an_opset_of_the_future_is_said_to_be_unknown(tmp_path: Path) -> None:
    known = onnx.defs.onnx_opset_version()
    assert inspect_onnx(product(tmp_path / "m.onnx", [3, 5], opset=known)).notes == ()
    (note,) = inspect_onnx(product(tmp_path / "m.onnx", [3, 5], opset=known + 1)).notes
    assert note.startswith(f"opset {known + 1} of ai.onnx is unknown here; figures assume")


def test_a_graph_without_outputs_and_an_empty_file_are_named_so(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [tensor("x", [4])], [])
    assert "note    the graph has no outputs" in printed(path)
    path.write_bytes(b"")
    with pytest.raises(ExportError, match=r"m\.onnx' is empty: the file has 0 bytes"):
        inspect_onnx(path)


def test_inputs_without_a_rank_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "u.onnx", [helper.make_node("Relu", ["x"], ["y"])], [tensor("x")], [tensor("y")])
    assert inspect_onnx(path).notes == (
        "shapes of inputs are open: x unknown; give them with `inputs=['NAME=SHAPE']`",
    )
    assert "x unknown; give them with `--input NAME=SHAPE`" in printed(path)
    assert inspect_onnx(path, ["x=2x3"]).notes == ()
    both = [tensor("x"), tensor("z", ["n", "m"])]
    path = write(tmp_path / "b.onnx", [helper.make_node("Add", ["x", "z"], ["y"])], both, [tensor("y")])
    assert inspect_onnx(path, ["x=2x3"]).notes == (
        "shapes of inputs are open: z nxm; give them with `inputs=['NAME=SHAPE']`",
    )
