"""Work of each operator, against what its definition says, computed by hand or brute force."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from hwnas.onnx_graphs.counting.einsum import einsum_macs
from tests.onnx_graphs.made_up_graphs import INT, F, number, report_of, value, weight

MICROSOFT = "com.microsoft"


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
