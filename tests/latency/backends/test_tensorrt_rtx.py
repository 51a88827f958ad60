"""Real builds with TensorRT for RTX, which needs no GPU for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.files import sha256_of_file
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.plan_file import read_plan_header
from hwnas.latency.backends.tensorrt_build import import_tensorrt
from hwnas.latency.backends.tensorrt_refusals import ProfileMissingError
from hwnas.latency.backends.tensorrt_rtx import TensorRtRtx, compile_for, supported_capabilities
from hwnas.latency.measure.reference import write_reference
from hwnas.onnx_graphs.tensorrt_gate import refusals
from hwnas.testing.backend_suite import BackendSuite
from hwnas.testing.onnx_models import write_conv_relu, write_unknown_operator
from tests.latency.backends.rtx import needs_rtx


@pytest.mark.gpu
@needs_rtx
class TestTensorRtRtx(BackendSuite):
    tolerance = 5e-3  # TF32

    @pytest.fixture
    def backend_class(self) -> type:
        if "SM90" not in supported_capabilities() and _compute_capability() == "9.0":
            pytest.skip("TensorRT for RTX does not support Hopper")
        return TensorRtRtx


def _compute_capability() -> str:
    from hwnas.latency.backends.cuda_driver import CudaDriver

    return CudaDriver(0).identity()["compute_capability"]


@needs_rtx
def test_engine_compiles_for_named_capabilities(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    engine = tmp_path / "model.engine"
    record = compile_for(str(tmp_path / "model.onnx"), ["SM86", "SM89"], str(engine))
    assert record["typing"] == "strong"
    assert record["engine_bytes"] == engine.stat().st_size > 1000
    assert record["engine_sha256"] == sha256_of_file(engine)
    header = read_plan_header(str(engine))
    assert header.product == "tensorrt-rtx"
    assert header.version.startswith(import_tensorrt("tensorrt-rtx").__version__.split(".")[0] + ".")


@needs_rtx
def test_reference_network_compiles_for_every_capability(tmp_path: Path) -> None:
    write_reference(tmp_path / "reference.onnx")
    capabilities = supported_capabilities()
    assert {"SM75", "SM86", "SM89"} <= set(capabilities)
    for capability in capabilities:
        record = compile_for(str(tmp_path / "reference.onnx"), [capability], str(tmp_path / "engine"))
        assert record["engine_bytes"] > 10_000


@needs_rtx
def test_builds_are_repeatable(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    made = [
        compile_for(str(tmp_path / "model.onnx"), ["SM86"], str(tmp_path / name))["engine_sha256"]
        for name in "ab"
    ]
    assert made[0] == made[1]


@needs_rtx
def test_unknown_operator_is_named(tmp_path: Path) -> None:
    write_unknown_operator(tmp_path / "m.onnx")
    with pytest.raises(AgentError, match=r"refuses the model: node 0 .*Levitate"):
        compile_for(str(tmp_path / "m.onnx"), ["SM86"], str(tmp_path / "e"))
    assert not (tmp_path / "e").exists()


@needs_rtx
def test_unknown_capability_is_refused(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "m.onnx")
    with pytest.raises(AgentError, match=r"SM120.* but not for 'SM87'"):
        compile_for(str(tmp_path / "m.onnx"), ["SM87"], str(tmp_path / "e"))


@needs_rtx
def test_type_that_a_gpu_lacks_is_refused(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w32")
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["w32"], ["w"], to=TensorProto.BFLOAT16),
        helper.make_node("Conv", ["x", "w"], ["v"], pads=[1] * 4),
        helper.make_node("Cast", ["v"], ["score"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 16])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 4, 8, 16])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    opset = helper.make_opsetid("", 22)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "m.onnx")
    assert compile_for(str(tmp_path / "m.onnx"), ["SM86"], str(tmp_path / "e"))["engine_bytes"] > 0
    with pytest.raises(AgentError, match="b16"):
        compile_for(str(tmp_path / "m.onnx"), ["SM75"], str(tmp_path / "e"))


def one_node(
    path: Path,
    operator: str,
    opset: int,
    shape: list[object],
    weights: dict[str, list[int]],
    **attributes: object,
) -> None:
    names = ["x", *weights]
    tensors = [numpy_helper.from_array(np.ones(size, np.float32), name) for name, size in weights.items()]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("nowhere", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=4).SerializeToString())


@needs_rtx
@pytest.mark.parametrize("opset", [7, 8])
@pytest.mark.parametrize(
    ("operator", "weights", "attributes"),
    [
        ("Conv", {"w": [4, 3, 3, 3]}, {"pads": [1] * 4}),
        ("BatchNormalization", {"s": [3], "b": [3], "m": [3], "v": [3]}, {}),
        ("Upsample", {}, {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}),
        ("MaxPool", {}, {"kernel_shape": [2, 2]}),
        ("Clip", {}, {"min": 0.0, "max": 6.0}),
        ("Pad", {}, {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "mode": "constant"}),
    ],
)
def test_what_the_gate_takes_of_opsets_7_and_8_builds(
    tmp_path: Path, opset: int, operator: str, weights: dict[str, list[int]], attributes: dict[str, object]
) -> None:
    one_node(tmp_path / "m.onnx", operator, opset, [1, 3, 8, 8], weights, **attributes)
    assert refusals(onnx.load(tmp_path / "m.onnx"), "10.3") == []
    assert compile_for(str(tmp_path / "m.onnx"), ["SM86"], str(tmp_path / "e"))["engine_bytes"] > 0


@needs_rtx
@pytest.mark.parametrize("size", ["n", -1])
def test_a_missing_profile_is_said_and_no_operator_blamed(tmp_path: Path, size: object) -> None:
    one_node(tmp_path / "m.onnx", "Conv", 20, [size, 3, 8, 8], {"w": [4, 3, 3, 3]})
    with pytest.raises(
        ProfileMissingError, match=r"optimisation profile .* 'x' \?x3x8x8.*fixed shapes"
    ) as caught:
        compile_for(str(tmp_path / "m.onnx"), ["SM86"], str(tmp_path / "e"))
    assert "operator or type it names" not in str(caught.value)


@needs_rtx
def test_an_input_that_holds_a_shape_needs_a_profile_too(tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4]),
        helper.make_tensor_value_info("s", TensorProto.INT64, [2]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])]
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "s"], ["y"])], "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ProfileMissingError, match="'s', whose values are shapes"):
        compile_for(str(tmp_path / "m.onnx"), ["SM86"], str(tmp_path / "e"))
