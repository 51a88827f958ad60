"""INT8 by ModelOpt, which is an extra."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hwnas.errors import ExportError
from hwnas.models.decoders import DECODERS
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod, calibrate
from hwnas.onnx_graphs.precision.int8 import layers_of, quantised
from hwnas.onnx_graphs.precision.kinds import Dialect
from hwnas.onnx_graphs.precision.modelopt_int8 import check_modelopt, quantised_by_modelopt
from tests.onnx_graphs.covering_networks import SPEC, network

torch.set_num_threads(1)
needs_modelopt = pytest.mark.skipif(
    importlib.util.find_spec("modelopt") is None, reason="the extra `modelopt` is not installed"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("modelopt") / "model.onnx"
    export_onnx(network(next(iter(DECODERS))), SPEC, path, metadata={"architecture_id": "abc"})
    return onnx.load(path)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SPEC.inputs[0].shape).astype(np.float32) for _ in range(3)]


def named(images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    return [{"range_image": image} for image in images]


@needs_modelopt
def test_its_graph_computes_nearly_the_same(
    model: onnx.ModelProto, images: list[np.ndarray], tmp_path: Path
) -> None:
    before = model.SerializeToString(deterministic=True)
    found = quantised_by_modelopt(model, named(images), CalibrationMethod.MIN_MAX)
    assert model.SerializeToString(deterministic=True) == before
    operators = [node.op_type for node in found.graph.node]
    assert operators.count("QuantizeLinear") > 3
    assert {entry.key for entry in found.metadata_props} == {"architecture_id"}
    path = tmp_path / "int8.onnx"
    onnx.save(found, path)
    logits = []
    for graph in (before, path.read_bytes()):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        logits.append(session.run(None, {session.get_inputs()[0].name: images[0]})[0])
    assert logits[1].dtype == np.float32
    assert np.corrcoef(logits[0].ravel(), logits[1].ravel())[0, 1] > 0.97


@needs_modelopt
def test_layers_can_be_kept(model: onnx.ModelProto, images: list[np.ndarray]) -> None:
    layers = layers_of(model)
    found = quantised_by_modelopt(model, named(images), CalibrationMethod.MIN_MAX, keep=layers)
    weights = {tensor.name for tensor in found.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    quantised = [node for node in found.graph.node if node.op_type == "Conv" and node.name in layers]
    assert quantised, "none of the layers that were to be kept has its name any more"
    producers = {name: node for node in found.graph.node for name in node.output}
    for node in quantised:
        source = producers.get(node.input[1])
        assert source is None or source.op_type != "DequantizeLinear"
        assert node.input[1] not in weights


def test_ways_of_calibration_that_it_lacks_are_refused() -> None:
    with pytest.raises(ExportError, match="percentile"):
        check_modelopt(CalibrationMethod.PERCENTILE)


def test_its_absence_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"hwnas\[modelopt\]"):
        check_modelopt(CalibrationMethod.MIN_MAX)


@needs_modelopt
def test_a_failure_is_told_and_onnxruntime_is_left_as_it_is(
    model: onnx.ModelProto, images: list[np.ndarray]
) -> None:
    wrong = [image[:, :2] for image in images]
    with pytest.raises(ExportError, match="ModelOpt cannot quantise the graph"):
        quantised_by_modelopt(model, named(wrong), CalibrationMethod.MIN_MAX)
    ranges = calibrate(model, named(images), CalibrationMethod.MIN_MAX, symmetric=True)
    found = quantised(model, ranges, Dialect.TENSORRT)
    assert "QuantizeLinear" in {node.op_type for node in found.graph.node}
    assert not [name for name in sys.modules if name.startswith("modelopt")]
