import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hwnas.errors import ConfigError, ExportError
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod, calibrate
from hwnas.onnx_graphs.precision.half import half_precision
from hwnas.onnx_graphs.precision.int8 import layers_of, quantised
from hwnas.onnx_graphs.precision.kinds import Dialect, dialect_of, parse_precisions
from hwnas.onnx_graphs.tensorrt_gate import refusals
from tests.onnx_graphs.covering_networks import SPEC, network

torch.set_num_threads(1)

IMAGES = [
    np.random.default_rng(seed).normal(1.0, 3.0, (1, 5, 16, 64)).astype(np.float32) for seed in range(3)
]
INPUTS = [{"range_image": image} for image in IMAGES]


@pytest.fixture(scope="module", params=["bilinear-sum", "pixel-shuffle"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("precision") / "model.onnx"
    export_onnx(network(request.param), SPEC, path, metadata={"hwnas.task": "test"})
    return onnx.load(path)


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"range_image": image})[0]


def relative_error(found: onnx.ModelProto, model: onnx.ModelProto) -> float:
    expected = run(model, IMAGES[2])
    return float(np.linalg.norm(run(found, IMAGES[2]) - expected) / np.linalg.norm(expected))


def types_of(model: onnx.ModelProto) -> Counter[int]:
    return Counter(tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1)


def test_half_holds_halves_and_computes_the_same(model: onnx.ModelProto) -> None:
    found = half_precision(model)
    assert set(types_of(found)) == {onnx.TensorProto.FLOAT16}
    singles = {
        value.name
        for value in found.graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    assert singles <= {"range_image", "logits"}
    assert 0.0 < relative_error(found, model) < 0.01
    assert refusals(found, "10.3") == []
    assert {entry.key: entry.value for entry in found.metadata_props} == {"hwnas.task": "test"}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_int8_quantises_every_layer_in_the_dialect(model: onnx.ModelProto, dialect: Dialect) -> None:
    symmetric = dialect is Dialect.TENSORRT
    ranges = calibrate(model, INPUTS, CalibrationMethod.MIN_MAX, symmetric=symmetric)
    found = quantised(model, ranges, dialect)
    assert types_of(found)[onnx.TensorProto.INT8] == len(layers_of(model))
    assert [node.name for node in found.graph.node if node.op_type == "Conv"] == [
        node.name for node in model.graph.node if node.op_type == "Conv"
    ]
    assert 0.0 < relative_error(found, model) < 0.3
    reasons = refusals(found, "10.3")
    if symmetric:
        assert reasons == []
        assert not any(tensor.data_type == onnx.TensorProto.INT32 for tensor in found.graph.initializer)
        assert types_of(found)[onnx.TensorProto.FLOAT] == 0
    else:
        assert any("unsigned" in refusal.reason for refusal in reasons)
    again = quantised(model, ranges, dialect)
    digests = {
        hashlib.sha256(entry.SerializeToString(deterministic=True)).hexdigest() for entry in (found, again)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("dialect", list(Dialect))
def test_kept_layers_stay_and_lower_the_error(model: onnx.ModelProto, dialect: Dialect) -> None:
    ranges = calibrate(model, INPUTS, CalibrationMethod.MIN_MAX, symmetric=dialect is Dialect.TENSORRT)
    layers = layers_of(model)
    found = quantised(model, ranges, dialect, keep=layers[1:])
    assert types_of(found)[onnx.TensorProto.INT8] == 1
    assert relative_error(found, model) < relative_error(quantised(model, ranges, dialect), model)


def test_input_of_a_kept_first_layer_is_not_rounded(model: onnx.ModelProto) -> None:
    ranges = calibrate(model, INPUTS[:1], CalibrationMethod.MIN_MAX, symmetric=False)
    readers = {
        keep: {
            node.op_type
            for node in quantised(model, ranges, Dialect.ONNXRUNTIME_CPU, keep=keep).graph.node
            if "range_image" in node.input
        }
        for keep in ((), tuple(layers_of(model)[:1]))
    }
    assert "QuantizeLinear" in readers[()]
    assert "QuantizeLinear" not in readers[tuple(layers_of(model)[:1])]


def edges(method: CalibrationMethod, model: onnx.ModelProto) -> tuple[float, float]:
    data = calibrate(model, INPUTS, method, symmetric=False).tensors["range_image"]
    low, high = (np.asarray(value).item() for value in data.range_value)
    return low, high


def test_methods_clip_by_their_rule(tmp_path: Path) -> None:
    export_onnx(network("bilinear-sum"), SPEC, tmp_path / "model.onnx", metadata={})
    model = onnx.load(tmp_path / "model.onnx")
    values = np.stack(IMAGES)
    whole = edges(CalibrationMethod.MIN_MAX, model)
    assert whole == pytest.approx((values.min(), values.max()))
    for method in (CalibrationMethod.PERCENTILE, CalibrationMethod.ENTROPY):
        low, high = edges(method, model)
        assert whole[0] <= low < high <= whole[1] * 1.001
        assert high - low <= whole[1] - whole[0]
    with pytest.raises(ExportError, match="inputs"):
        calibrate(model, [], CalibrationMethod.MIN_MAX, symmetric=True)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: dialect_of("trtexec"), Dialect.TENSORRT),
        (lambda: dialect_of("onnxruntime-cpu"), Dialect.ONNXRUNTIME_CPU),
        (lambda: dialect_of("onnxruntime", {"provider": "TensorrtExecutionProvider"}), Dialect.TENSORRT),
        (lambda: parse_precisions("int8, fp16"), ("fp32", "fp16", "int8")),
    ],
)
def test_names(call: Callable[[], object], expected: object) -> None:
    assert call() == expected


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="fp8"):
        parse_precisions("fp32,fp8")
