"""What `inspect` counts, against what the definition of each operator says, computed by hand or brute force."""

from __future__ import annotations

import itertools
import json
import math
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
from hwnas.errors import ExportError
from hwnas.onnx_graphs.counting.einsum import einsum_macs
from hwnas.onnx_graphs.counting.operators import CONTROL_FLOW, COUNTED, FREE, UNCOUNTABLE
from hwnas.onnx_graphs.inspection import inspect_onnx
from hwnas.testing.onnx_models import LAYOUTS, write_conv_model, write_external_model
from tests.onnx_graphs.made_up_graphs import INT, F, number, report_of, value, weight

MICROSOFT = "com.microsoft"


def test_every_operator_of_onnx_is_decided_on() -> None:
    domains = {"", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"}
    known = {*COUNTED, *FREE, *UNCOUNTABLE, *CONTROL_FLOW}
    defined = {
        f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        for schema in onnx.defs.get_all_schemas()
        if schema.domain in domains
    }
    assert defined <= known
    assert len(COUNTED) + len(FREE) + len(UNCOUNTABLE) + len(CONTROL_FLOW) == len(known)


X = value("x", [2, 4, 8, 10])
A, B = value("a", [2, 3, 4, 5]), value("b", [3, 5, 6])
SINGLE = [
    # operator, inputs, weights, attributes, MACs, parameters
    (
        "Conv",
        [X],
        [weight("w", 6, 2, 3, 3), weight("b", 6)],
        {"group": 2, "pads": [1] * 4},
        2 * 80 * 6 * 18,
        114,
    ),
    ("ConvTranspose", [X], [weight("w", 4, 6, 2, 2)], {"strides": [2, 2]}, 2 * 80 * 4 * 24, 96),
    ("Gemm", [value("a", [5, 3])], [weight("w", 5, 7)], {"transA": 1}, 3 * 5 * 7, 35),
    ("Gemm", [value("a", [3, 5])], [weight("w", 7, 5), weight("c", 7)], {"transB": 1}, 3 * 5 * 7, 42),
    ("MatMul", [A, B], [], {}, 2 * 3 * 4 * 5 * 6, 0),
    ("MatMul", [value("a", [5]), value("b", [5])], [], {}, 5, 0),
    ("MatMul", [value("a", [2, 4, 5])], [weight("w", 5)], {}, 2 * 4 * 5, 5),
    (
        "LSTM",
        [value("a", [7, 2, 3])],
        [weight("w", 1, 20, 3), weight("r", 1, 20, 5)],
        {"hidden_size": 5},
        14 * 160,
        160,
    ),
    (
        "GRU",
        [value("a", [7, 2, 3])],
        [weight("w", 2, 15, 3), weight("r", 2, 15, 5), weight("b", 2, 30)],
        {"hidden_size": 5, "direction": "bidirectional"},
        14 * 2 * 15 * 8,
        300,
    ),
    (
        "RNN",
        [value("a", [7, 2, 3])],
        [weight("w", 1, 5, 3), weight("r", 1, 5, 5)],
        {"hidden_size": 5},
        14 * 40,
        40,
    ),
    ("Einsum", [value("a", [3, 4]), value("b", [4, 5])], [], {"equation": "ij,jk->ik"}, 60, 0),
    ("Einsum", [value("a", [7, 3, 4])], [weight("w", 4, 5)], {"equation": "...j,jk"}, 7 * 60, 20),
    ("AffineGrid", [value("a", [2, 2, 3])], [number("s", 2, 3, 5, 6)], {}, 2 * 30 * 6, 0),
    (
        "Attention",
        [value("q", [2, 4, 6, 8]), value("k", [2, 2, 7, 8]), value("v", [2, 2, 7, 10])],
        [],
        {},
        2 * 4 * 6 * 7 * 18,
        0,
    ),
    (
        "Attention",
        [value("q", [2, 6, 32]), value("k", [2, 7, 16]), value("v", [2, 7, 20])],
        [],
        {"q_num_heads": 4, "kv_num_heads": 2},
        2 * 4 * 6 * 7 * 18,
        0,
    ),
    ("Relu", [X], [], {}, 0, 0),
    ("Add", [X], [weight("w", 10)], {}, 0, 10),
    ("PRelu", [X], [weight("w", 1)], {}, 0, 1),
    ("Clip", [X], [weight("lo"), weight("hi")], {}, 0, 0),
    (
        "BatchNormalization",
        [X],
        [weight("s", 4), weight("b", 4), weight("mean", 4), weight("var", 4)],
        {},
        0,
        8,
    ),
    ("Gather", [value("a", [3], INT)], [weight("w", 100, 8)], {}, 0, 800),
]


@pytest.mark.parametrize(("operator", "inputs", "weights", "attributes", "macs", "parameters"), SINGLE)
def test_single_operators(
    tmp_path: Path,
    operator: str,
    inputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto],
    attributes: dict[str, Any],
    macs: int,
    parameters: int,
) -> None:
    names = [entry.name for entry in (*inputs, *weights)]
    if operator == "Gather":
        names.reverse()
    report = report_of(tmp_path, [helper.make_node(operator, names, ["y"], **attributes)], inputs, weights)
    assert (report.macs, report.parameters) == (macs, parameters)
    # The same weights in Constant nodes.
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in weights]
    node = helper.make_node(operator, names, ["y"], **attributes)
    again = report_of(tmp_path, [*constants, node], inputs)
    assert (again.macs, again.parameters) == (macs, parameters)


QUANTISED = [
    (
        "QLinearConv",
        "",
        [value("x", [1, 4, 8, 8], 2)],
        ["x", "s", "z", "w", "s", "z", "s", "z", "b"],
        [weight("w", 6, 4, 3, 3, dtype=np.uint8), weight("b", 6, dtype=np.int32)],
        36 * 6 * 36,
        222,
    ),
    (
        "QLinearMatMul",
        "",
        [value("x", [3, 5], 2)],
        ["x", "s", "z", "w", "s", "z", "s", "z"],
        [weight("w", 5, 7, dtype=np.uint8)],
        105,
        35,
    ),
    (
        "MatMulInteger",
        "",
        [value("x", [3, 5], 2)],
        ["x", "w", "z"],
        [weight("w", 5, 7, dtype=np.uint8)],
        105,
        35,
    ),
    (
        "ConvInteger",
        "",
        [value("x", [1, 4, 8, 8], 2)],
        ["x", "w"],
        [weight("w", 6, 4, 3, 3, dtype=np.uint8)],
        36 * 6 * 36,
        216,
    ),
    ("FusedConv", MICROSOFT, [X], ["x", "w"], [weight("w", 6, 4, 3, 3)], 2 * 48 * 6 * 36, 216),
    ("FusedMatMul", MICROSOFT, [value("x", [2, 5, 3])], ["x", "w"], [weight("w", 5, 7)], 2 * 105, 35),
    ("FusedGemm", MICROSOFT, [value("x", [3, 5])], ["x", "w"], [weight("w", 5, 7)], 105, 35),
    (
        "QGemm",
        MICROSOFT,
        [value("x", [3, 5], 2)],
        ["x", "s", "z", "w", "s", "z", "", "s", "z"],
        [weight("w", 5, 7, dtype=np.uint8)],
        105,
        35,
    ),
    (
        "DynamicQuantizeMatMul",
        MICROSOFT,
        [value("x", [2, 3, 5])],
        ["x", "w", "s"],
        [weight("w", 5, 7, dtype=np.uint8)],
        210,
        35,
    ),
    (
        "MatMulNBits",
        MICROSOFT,
        [value("x", [2, 3, 32])],
        ["x", "w", "v"],
        [weight("w", 7, 1, 16, dtype=np.uint8), weight("v", 7)],
        6 * 32 * 7,
        224,
    ),
    (
        "Attention",
        MICROSOFT,
        [value("x", [2, 6, 8])],
        ["x", "w", "b"],
        [weight("w", 8, 24), weight("b", 24)],
        2 * 6 * 8 * 24 + 2 * 6 * 6 * 16,
        216,
    ),
    (
        "MultiHeadAttention",
        MICROSOFT,
        [value("q", [2, 6, 8]), value("k", [2, 9, 8]), value("v", [2, 9, 12])],
        ["q", "k", "v"],
        [],
        2 * 6 * 9 * 20,
        0,
    ),
    (
        "GroupQueryAttention",
        MICROSOFT,
        [value("q", [1, 6, 16]), value("k", [1, 6, 8]), value("v", [1, 6, 8])],
        ["q", "k", "v"],
        [],
        36 * 32,
        0,
    ),
]


@pytest.mark.parametrize(
    ("operator", "domain", "inputs", "names", "weights", "macs", "parameters"), QUANTISED
)
def test_quantised_and_fused_operators(
    tmp_path: Path,
    operator: str,
    domain: str,
    inputs: list[onnx.ValueInfoProto],
    names: list[str],
    weights: list[onnx.TensorProto],
    macs: int,
    parameters: int,
) -> None:
    attributes = {
        "FusedMatMul": {"transA": 1},
        "QGemm": {"transA": 0},
        "MatMulNBits": {"K": 32, "N": 7, "bits": 4, "block_size": 32},
        "GroupQueryAttention": {"num_heads": 4, "kv_num_heads": 2},
        "MultiHeadAttention": {"num_heads": 4},
        "Attention": {"num_heads": 2},
    }.get(operator, {})
    settings = [weight("s"), weight("z", dtype=np.uint8)]
    node = helper.make_node(operator, names, ["y"], domain=domain, **attributes)
    report = report_of(tmp_path, [node], inputs, [*weights, *settings])
    assert (report.macs, report.parameters) == (macs, parameters)
    # Its output is known, too: what follows is counted.
    after = helper.make_node("Einsum", ["f"], ["s2"], equation="...i->...")
    cast = helper.make_node("Cast", ["y"], ["f"], to=F)
    square = helper.make_node("Mul", ["s2", "s2"], ["end"])
    again = report_of(tmp_path, [node, cast, after, square], inputs, [*weights, *settings])
    assert again.layers[-1].output_shape
    assert again.macs == macs


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


@given(st.data())
def test_einsum_is_what_nested_loops_multiply(data: st.DataObject) -> None:
    labels = data.draw(
        st.lists(
            st.text("abcd", min_size=1, max_size=3).map(lambda s: "".join(dict.fromkeys(s))),
            min_size=2,
            max_size=2,
        )
    )
    sizes = {label: data.draw(st.integers(1, 3)) for label in "abcd"}
    out = "".join(label for label in "abcd" if label in "".join(labels) and data.draw(st.booleans()))
    found = einsum_macs(
        f"{labels[0]},{labels[1]}->{out}", [tuple(sizes[label] for label in term) for term in labels]
    )
    shared = [label for label in "abcd" if label in labels[0] and label in labels[1]]
    kept = [label for label in "abcd" if label in out or label in shared]
    assert found == sum(1 for _ in itertools.product(*(range(sizes[label]) for label in kept)))


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


def test_what_is_computed_once_is_no_work(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [weight("a", 5, 2), weight("b", 2, 7)])
    assert (report.macs, report.parameters) == (105, 24)


def test_what_nobody_knows_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Levitate", ["a"], ["b"], domain="nowhere"),
        helper.make_node("MatMul", ["b", "b"], ["y"]),
    ]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [weight("w", 5, 7)])
    assert (report.macs, report.known_macs) == (None, 105)
    assert report.unknown == {"MatMul": 1, "nowhere.Levitate": 1}
    assert report.unknown_text == "2 layers (MatMul 1, nowhere.Levitate 1)"
    assert report.to_json()["macs"] is None
    fourier = helper.make_node("STFT", ["x", "step", "", "n"], ["y"])
    found = report_of(tmp_path, [fourier], [value("x", [1, 64, 1])], [number("step", 8), number("n", 16)])
    assert found.unknown == {"STFT": 1}


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


def test_the_command_takes_inputs_and_says_what_is_unknown(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    report_of(tmp_path, [node], [value("x", ["n", "rows", 5])], [weight("w", 5, 7)])

    def lines(*arguments: str) -> str:
        result = CliRunner().invoke(make_app(), ["inspect", str(tmp_path / "m.onnx"), *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "1 layer, MACs unknown, 35 parameters" in lines()
    assert "unknown: 1 layer (MatMul 1)" in lines()
    assert "unknown MACs" in lines("--layers")
    assert "1 layer, 210 MACs, 35 parameters" in lines("--input", "x=2x3x5")
    document = json.loads(lines("--json", "--input", "x=2x3x5"))
    assert (document["macs"], document["unknown"], document["inputs"][0]["shape"]) == (210, {}, [2, 3, 5])


def test_what_keeps_onnx_busy_for_ever_is_not_asked_of_it(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation="bij,\u0115bjk->bik")
    report = report_of(tmp_path, [node], [value("a", [5, 2, 3]), value("b", [5, 3, 4])])
    assert report.unknown == {"Einsum": 1}
    endless = helper.make_node("Range", ["zero", "end", "one"], ["y"])
    numbers = [number("zero", 0), number("end", 1 << 60), number("one", 1)]
    assert report_of(tmp_path, [endless], [], numbers).macs == 0


@pytest.mark.parametrize("shape", [[5, 8], [5, 6], [-5, -7], [1 << 40, 7]])
def test_tensors_that_do_not_hold_their_values_are_refused(tmp_path: Path, shape: list[int]) -> None:
    w = weight("w", 5, 7)
    del w.dims[:]
    w.dims.extend(shape)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    with pytest.raises(ExportError, match=r"'w' does not hold|not a valid ONNX file"):
        report_of(tmp_path, [node], [value("x", [3, 5])], [w])
