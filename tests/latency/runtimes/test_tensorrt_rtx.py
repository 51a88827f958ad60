"""Real builds with TensorRT for RTX, which needs no GPU for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.files import sha256_of_file
from hwnas.latency.agent.errors import AgentError
from hwnas.latency.reference import write_reference
from hwnas.latency.runtimes.plan_file import read_plan_header
from hwnas.latency.runtimes.tensorrt_build import import_tensorrt
from hwnas.latency.runtimes.tensorrt_rtx import TensorRtRtx, compile_for, supported_capabilities
from tests.conformance.runtime_suite import RuntimeSuite
from tests.latency.onnx_models import write_conv_relu, write_unknown_operator
from tests.latency.runtimes.rtx import needs_rtx


@pytest.mark.gpu
@needs_rtx
class TestTensorRtRtx(RuntimeSuite):
    tolerance = 5e-3  # TF32

    @pytest.fixture
    def runtime_class(self) -> type:
        if "SM90" not in supported_capabilities() and _compute_capability() == "9.0":
            pytest.skip("TensorRT for RTX does not support Hopper")
        return TensorRtRtx


def _compute_capability() -> str:
    from hwnas.latency.runtimes.cuda_driver import CudaDriver

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
