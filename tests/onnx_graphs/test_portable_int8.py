"""Quantisers that every runtime computes alike mean what they meant before."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hwnas.errors import ExportError
from hwnas.onnx_graphs.precision.portable_int8 import with_portable_quantisers

HALF = TensorProto.FLOAT16


def joined(axis: int, scale: float, *, constant_scale: bool = True) -> onnx.ModelProto:
    """Two halves, joined twice as the padding of a ring is, quantised, and read in float16 besides."""
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["ab"], name="m/Concat", axis=axis),
        helper.make_node("Concat", ["b", "ab", "a"], ["ring"], name="m/Concat_2", axis=axis),
        helper.make_node("QuantizeLinear", ["ring", "s", "z"], ["q"], name="ring_QuantizeLinear"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="ring_DequantizeLinear"),
        helper.make_node("Neg", ["ab"], ["negative"], name="m/Neg"),
    ]
    inputs = [helper.make_tensor_value_info(name, HALF, [1, 2, 4, 6]) for name in ("a", "b")]
    pair, ring = (
        [size * (count if number == axis else 1) for number, size in enumerate((1, 2, 4, 6))]
        for count in (2, 4)
    )
    outputs = [
        helper.make_tensor_value_info("y", HALF, ring),
        helper.make_tensor_value_info("negative", HALF, pair),
    ]
    constants = [
        numpy_helper.from_array(np.array(scale, np.float16), "s"),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
    ]
    if not constant_scale:
        inputs.append(helper.make_tensor_value_info("s", HALF, []))
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants if constant_scale else constants[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@given(seed=st.integers(0, 2**31), axis=st.integers(1, 3), scale=st.sampled_from([0.0078125, 0.1, 3.0]))
@settings(max_examples=25, deadline=None)
def test_values_are_rounded_to_the_nearest_step(seed: int, axis: int, scale: float) -> None:
    """Against numpy in float32: rounding half to even, then clipping, as ONNX has it."""
    model = with_portable_quantisers(joined(axis, scale))
    onnx.checker.check_model(model, full_check=True)
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(0.0, 20 * scale, (1, 2, 4, 6)).astype(np.float16) for _ in range(2))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found, negative = session.run(["y", "negative"], {"a": a, "b": b})
    step = np.float32(np.float16(scale))
    ring = np.concatenate([b, a, b, a], axis=axis).astype(np.float32)
    expected = (np.clip(np.rint(ring / step), -128, 127) * step).astype(np.float16)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(negative, -np.concatenate([a, b], axis=axis))


def test_scales_are_single_and_quantisers_stand_before_concatenations() -> None:
    model = with_portable_quantisers(joined(1, 0.1))
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantisers) == 4, "b, a and b, a"
    assert {types[node.input[1]] for node in quantisers} == {TensorProto.FLOAT}
    assert {producers[node.input[0]].op_type for node in quantisers} == {"Cast"}
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2, "each input is cast once"
    # What convolutions take comes straight from DequantizeLinear, in halves.
    (dequantiser,) = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    assert types[dequantiser.input[1]] == HALF
    scales = [numpy_helper.to_array(t) for t in model.graph.initializer if t.name.startswith("s")]
    assert len({float(scale) for scale in scales}) == 1, "both scales are the same number"
    # The joined halves are read by Neg, too, and stay; the ring of them is read by none any more.
    assert "ab" in producers
    assert "ring" not in producers
    assert with_portable_quantisers(model) == model


def test_a_scale_that_is_no_constant_is_refused() -> None:
    with pytest.raises(ExportError, match=r"ring_QuantizeLinear.*no constant"):
        with_portable_quantisers(joined(1, 0.1, constant_scale=False))
