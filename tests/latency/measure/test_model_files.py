from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hwnas.errors import BundleError, ConfigError, MeasurementError
from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.onnx_file import read_outline
from hwnas.latency.measure.model_files import model_and_io
from hwnas.onnx_graphs.inspection import inspect_onnx
from hwnas.testing.onnx_models import write_conv_model, write_dynamic_model


def test_any_onnx_file_says_itself_what_goes_in(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path)
    assert model_and_io(path) == (path, io_spec)


def test_axes_that_are_not_fixed_must_be_given(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    write_dynamic_model(path)
    with pytest.raises(ConfigError, match=r"batchx5xrowsx64.* `inputs=\['image=1x5x1x64'\]`"):
        model_and_io(path)
    _, io_spec = model_and_io(path, ["image=2x5x16x64"])
    assert io_spec.inputs == (TensorSpec("image", (2, 5, 16, 64)),)


@pytest.mark.parametrize("shape", ["1x5x16", "1x6x16x64", "1x5x0x64"])
def test_a_shape_must_fit_the_model(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "dynamic.onnx"
    write_dynamic_model(path)
    with pytest.raises(ConfigError, match=r"has the shape batchx5xrowsx64, but `inputs=` gives"):
        model_and_io(path, [f"image={shape}"])


def test_an_unknown_input_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_conv_model(path)
    with pytest.raises(ConfigError, match=r"no input 'picture'; its inputs are \['image'\]"):
        model_and_io(path, ["picture=1x5x16x64"])


def write_inputs(path: Path, **shapes: list[object]) -> None:
    """Write a model that has these inputs, of float32, and adds nothing to the first."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("Relu", [next(iter(shapes))], ["y"])], "g", inputs, outputs)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    )


def test_all_open_shapes_are_named_at_once_and_shared_axes_once(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_inputs(path, a=["n", 3], b=["n", "n"], c=["m", 4], d=[2], e=[-1, "", None])
    with pytest.raises(ConfigError) as caught:
        model_and_io(path)
    text = str(caught.value)
    for part in (
        "'a' has the shape nx3",
        "'b' has the shape nxn",
        "'c' has the shape mx4",
        "'e' has the shape ?x?x?",
    ):
        assert part in text
    assert text.endswith("`inputs=['a=1x3', 'c=1x4', 'e=1x1x1']`")
    _, io_spec = model_and_io(path, ["a=7x3", "c=2x4", "e=1x2x3"])
    assert [spec.shape for spec in io_spec.inputs] == [(7, 3), (7, 7), (2, 4), (2,), (1, 2, 3)]


def test_stated_sizes_are_those_that_inspect_and_the_runtime_find(tmp_path: Path) -> None:
    sizes = [0, 1, -1, -5, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1]
    found = {}
    for size in sizes:
        path = tmp_path / "m.onnx"
        write_inputs(path, a=[2, size])
        (spec,) = read_outline(str(path)).inputs
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (inspected,) = inspect_onnx(path, ["a=2x1"] if size < 0 else []).inputs
        met = session.get_inputs()[0].shape[1]
        assert spec.shape[1] == (-1 if met is None else met)
        assert inspected.shape == (2, 1 if met is None else met)
        found[size] = spec.shape[1]
    assert found == {size: max(size, -1) for size in sizes}


def test_nothing_is_measured_of_empty_or_impossible_inputs(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_inputs(path, a=[2, 0])
    for inputs in ([], ["a=2x0"]):
        with pytest.raises(MeasurementError, match=r"nothing to compute with.*'a' 2x0"):
            model_and_io(path, inputs)
    write_inputs(path, a=[2, 0], b=[1, 3])
    assert [spec.shape for spec in model_and_io(path)[1].inputs] == [(2, 0), (1, 3)]
    with pytest.raises(ConfigError, match=r"has the shape 2x0, but `inputs=` gives 2x3"):
        model_and_io(path, ["a=2x3"])
    for shape in ([2, 1 << 31], [1 << 30, 1 << 30, 1 << 30]):
        write_inputs(path, a=[1, 3], b=shape)
        with pytest.raises(MeasurementError, match=r"The input 'b' .* which no memory holds"):
            model_and_io(path)


def test_an_input_without_a_rank_is_no_single_number(tmp_path: Path) -> None:
    write_inputs(tmp_path / "m.onnx", a=None)
    with pytest.raises(ConfigError, match="'a' has the shape unknown"):
        model_and_io(tmp_path / "m.onnx")
    assert model_and_io(tmp_path / "m.onnx", ["a=2x3"])[1].inputs[0].shape == (2, 3)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="readable file"):
        model_and_io(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(MeasurementError, match="no whole ONNX file"):
        model_and_io(tmp_path / "text.onnx")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        model_and_io(tmp_path)


def write_kinds(path: Path, *kinds: onnx.ValueInfoProto) -> Path:
    """Write a model with an image and further inputs, which it does not use."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [2, 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["y"])], "g", [image, *kinds], [output])
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    )
    return path


def test_inputs_that_are_no_tensors_cannot_be_measured(tmp_path: Path) -> None:
    tensor_type = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    pair = onnx.TypeProto()
    pair.map_type.key_type = TensorProto.INT64
    pair.map_type.value_type.CopyFrom(tensor_type)
    kinds = {
        "sequence": helper.make_sequence_type_proto(tensor_type),
        "optional": helper.make_optional_type_proto(tensor_type),
        "map": pair,
        "sparse tensor": helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2]),
    }
    for kind, proto in kinds.items():
        path = write_kinds(tmp_path / "m.onnx", helper.make_value_info("s", proto))
        with pytest.raises(MeasurementError, match=rf"must have tensors .* 's' \({kind}\) is none") as caught:
            model_and_io(path)
        assert "inputs=" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "shape", "hint"),
    [
        (TensorProto.INT64, [], "n=16"),
        (TensorProto.INT32, [1], "n=16"),
        (TensorProto.UINT8, [], "n=16"),
        (TensorProto.BOOL, [], "n=true"),
    ],
)
def test_single_numbers_that_may_steer_a_network_must_be_given(
    tmp_path: Path, dtype: int, shape: list[int], hint: str
) -> None:
    path = write_kinds(tmp_path / "m.onnx", helper.make_tensor_value_info("n", dtype, shape))
    with pytest.raises(ConfigError, match=r"single numbers 'n' \(\w+\).*how often a loop runs") as caught:
        model_and_io(path)
    assert str(caught.value).endswith(f"such as: `inputs=['{hint}']`")
    _, io_spec = model_and_io(path, [hint])
    assert [value.name for value in io_spec.values] == ["n"]


@pytest.mark.parametrize(("dtype", "shape"), [(TensorProto.FLOAT, []), (TensorProto.INT64, [1, 4])])
def test_other_numbers_may_be_any(tmp_path: Path, dtype: int, shape: list[int]) -> None:
    path = write_kinds(tmp_path / "m.onnx", helper.make_tensor_value_info("n", dtype, shape))
    assert model_and_io(path)[1].values == ()
