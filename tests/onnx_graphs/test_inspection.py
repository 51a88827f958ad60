import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.errors import ExportError
from hwnas.models.cost import count_macs
from hwnas.onnx_graphs.declarations import GraphTensor
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.inspection import inspect_onnx
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod, calibrate
from hwnas.onnx_graphs.precision.half import half_precision
from hwnas.onnx_graphs.precision.int8 import layers_of, quantised
from hwnas.onnx_graphs.precision.kinds import Dialect
from tests.onnx_graphs.covering_networks import SPEC, network
from tests.onnx_graphs.made_up_graphs import INT, F, report_of, value, weight

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inspect") / "model.onnx"
    export_onnx(network("transposed-convolution"), SPEC, path, metadata={"hwnas.task": "t"})
    return path


def test_work_is_that_of_the_module(path: Path) -> None:
    report = inspect_onnx(path)
    assert report.macs == count_macs(network("transposed-convolution"), SPEC.inputs[0].shape[1:])
    assert report.macs_by_precision == {"float32": report.macs}
    assert report.inputs == (GraphTensor("range_image", "float32", (1, 5, 16, 64)),)
    assert report.opsets == {"": 14}
    assert report.size_bytes == path.stat().st_size
    head = report.layers[-1]
    assert {layer.module for layer in report.layers} >= {"head", "stem.1"}
    assert head.output_shape[1] == 3
    assert json.loads(json.dumps(report.to_json()))["metadata"] == {"hwnas.task": "t"}


def test_precision_of_each_layer_is_told(path: Path, tmp_path: Path) -> None:
    model = onnx.load(path)
    reference = inspect_onnx(path)
    onnx.save(half_precision(model), tmp_path / "half.onnx")
    half = inspect_onnx(tmp_path / "half.onnx")
    assert half.macs_by_precision == {"float16": reference.macs}
    image = np.random.default_rng(0).normal(size=(1, 5, 16, 64)).astype(np.float32)
    ranges = calibrate(model, [{model.graph.input[0].name: image}], CalibrationMethod.MIN_MAX, symmetric=True)
    kept = layers_of(model)[0]
    onnx.save(quantised(model, ranges, Dialect.TENSORRT, keep=[kept]), tmp_path / "int8.onnx")
    mixed = inspect_onnx(tmp_path / "int8.onnx")
    precision = {layer.name: layer.precision for layer in mixed.layers}
    assert precision[kept] == "float16"
    assert {precision[name] for name in layers_of(model)[1:]} == {"int8"}
    assert mixed.macs == reference.macs
    assert mixed.parameters == reference.parameters


def test_command_prints_lines_and_json(path: Path) -> None:
    lines = CliRunner().invoke(make_app(), ["inspect", str(path), "--layers"])
    assert lines.exit_code == 0
    assert "head/Conv" in lines.output
    document = CliRunner().invoke(make_app(), ["inspect", str(path), "--json"])
    assert json.loads(document.output)["kind"] == "onnx"


def convolution(path: Path, batch: int | str, channels: int, out: list[int | str], dtype: int = F) -> Path:
    """Write a convolution of three channels to eight, whose weights take `channels`."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [value("x", [batch, 3, 32, 32])],
        [value("y", out, dtype)],
        [weight("w", 8, channels, 3, 3)],
    )
    onnx.save(onnx.helper.make_model(graph), path)
    return path


@pytest.mark.parametrize(
    ("batch", "out", "dtype", "note"),
    [
        (1, [1, 8, 99, 99], F, "float32 [1, 8, 99, 99], but computed float32 [1, 8, 30, 30]"),
        (1, [1, 8, 900], F, "float32 [1, 8, 900], but computed float32 [1, 8, 30, 30]"),
        (1, [1, 8, 30, 30], INT, "int64 [1, 8, 30, 30], but computed float32 [1, 8, 30, 30]"),
        ("n", ["n", 8, 99, 30], F, "float32 [n, 8, 99, 30], but computed float32 [1, 8, 30, 30]"),
        (1, ["n", 8, "rows", 30], F, None),
        ("n", [4, 8, 30, 30], F, None),
    ],
)
def test_declared_outputs_that_contradict_the_graph_are_noted(
    tmp_path: Path, batch: int | str, out: list[int | str], dtype: int, note: str | None
) -> None:
    report = inspect_onnx(convolution(tmp_path / "m.onnx", batch, 3, out, dtype))
    found = [line for line in report.notes if "not consistent" in line]
    expected = f"the output y is declared {note}: the graph is not consistent"
    assert found == ([] if note is None else [expected])
    lines = CliRunner().invoke(make_app(), ["inspect", str(tmp_path / "m.onnx")])
    assert lines.exit_code == 0
    assert ("note    the output y is declared" in lines.output) == (note is not None)


def test_nodes_that_cannot_run_are_noted(tmp_path: Path) -> None:
    report = inspect_onnx(convolution(tmp_path / "m.onnx", 1, 5, [1, 8, 30, 30]))
    assert report.notes == ("y (Conv) cannot run: its weights take 5 channels, but its input has 3",)
    assert report.macs is None
    nodes = [onnx.helper.make_node("MatMul", ["a", "b"], ["c"], name="product")]
    report = report_of(tmp_path, nodes, [value("a", [2, 3])], [weight("b", 4, 5)])
    assert report.notes == (
        "product (MatMul) cannot run: its first matrix has 3 columns, but its second one 4 rows",
    )


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x01" * 50])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"x\.onnx"):
        inspect_onnx(tmp_path / "x.onnx")
    with pytest.raises(ExportError, match="cannot be read"):
        inspect_onnx(tmp_path / "missing.onnx")


def test_names_that_are_not_utf8_are_shown(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="first")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [result]))
    onnx.helper.set_model_props(model, {"a-key": "a-value"})
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(
        model.SerializeToString().replace(b"a-key", b"\xff-key").replace(b"a-value", b"\xff-value")
    )
    assert json.loads(json.dumps(inspect_onnx(damaged).to_json()))["metadata"] == {
        "\ufffd-key": "\ufffd-value"
    }


def test_external_data_without_a_file_is_refused(path: Path, tmp_path: Path) -> None:
    model = onnx.load(path)
    tensor = min(model.graph.initializer, key=lambda each: int(np.prod(each.dims)))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString().replace(b"location", b"lOcation"))
    with pytest.raises(ExportError, match="names none"):
        inspect_onnx(tmp_path / "m.onnx")
