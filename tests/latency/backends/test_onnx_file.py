from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import read_outline
from hwnas.testing.onnx_models import write_conv_model


def test_outline_of_a_network(tmp_path: Path) -> None:
    io_spec = write_conv_model(tmp_path / "model.onnx")
    found = read_outline(str(tmp_path / "model.onnx"))
    assert (found.inputs, found.outputs) == (io_spec.inputs, io_spec.outputs)
    assert found.operators == ("Conv",)
    assert found.weight_dtypes == ("float32",)


@pytest.mark.parametrize("dtype", ["FLOAT16", "INT64", "BOOL", "UINT8", "DOUBLE", "BFLOAT16"])
def test_types_open_axes_and_inputs_with_a_value(tmp_path: Path, dtype: str) -> None:
    kind = getattr(TensorProto, dtype)
    values = [helper.make_tensor_value_info("x", kind, ["batch", 300]) for _ in range(1)]
    values.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "g", values, [out], [weight])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = read_outline(str(tmp_path / "m.onnx"))
    numpy_name = {"DOUBLE": "float64"}.get(dtype, dtype.lower())
    assert found.inputs == (TensorSpec("x", (-1, 300), numpy_name),)
    assert found.outputs == (TensorSpec("y", (), numpy_name),)


def test_every_type_of_elements_has_its_name(tmp_path: Path) -> None:
    for name, kind in TensorProto.DataType.items():
        value = helper.make_tensor_value_info("x", kind, [4])
        node = helper.make_node("Identity", ["x"], ["y"])
        onnx.save(helper.make_model(helper.make_graph([node], "g", [value], [])), tmp_path / "m.onnx")
        expected = {"FLOAT": "float32", "DOUBLE": "float64", "UNDEFINED": "unknown"}.get(name, name.lower())
        assert read_outline(str(tmp_path / "m.onnx")).inputs[0].dtype == expected


@pytest.mark.parametrize("content", [b"", b"this is no network", b"\x3a", b"\x3a\x05\x0a", b"\xff" * 30])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(AgentError, match=r"no whole ONNX file|is empty: the file has 0 bytes"):
        read_outline(str(tmp_path / "m.onnx"))


def test_every_cut_of_a_file_is_refused_or_read(tmp_path: Path) -> None:
    write_conv_model(tmp_path / "whole.onnx", channels=1, layers=1)
    whole = (tmp_path / "whole.onnx").read_bytes()
    refused = 0
    for size in range(len(whole)):
        (tmp_path / "cut.onnx").write_bytes(whole[:size])
        try:
            read_outline(str(tmp_path / "cut.onnx"))
        except AgentError:
            refused += 1
    assert refused > len(whole) * 0.9


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be read"):
        read_outline(str(tmp_path / "none.onnx"))
