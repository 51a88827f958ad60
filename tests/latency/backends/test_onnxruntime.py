from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import read_outline
from hwnas.latency.backends.onnxruntime import OnnxRuntime, OnnxRuntimeCpu
from hwnas.testing.backend_suite import BackendSuite
from hwnas.testing.onnx_models import write_conv_relu


class TestOnnxRuntime(BackendSuite):
    tolerance = 1e-5

    @pytest.fixture
    def backend_class(self) -> type:
        return OnnxRuntime


class TestOnnxRuntimeCpu(BackendSuite):
    tolerance = 1e-5

    @pytest.fixture
    def backend_class(self) -> type:
        return OnnxRuntimeCpu


@pytest.mark.gpu
class TestOnnxRuntimeCuda(BackendSuite):
    tolerance = 5e-3  # convolutions may use TF32
    open_options: ClassVar[dict[str, str]] = {"provider": "CUDAExecutionProvider"}

    @pytest.fixture
    def backend_class(self) -> type:
        return OnnxRuntime


def test_unknown_provider_is_refused_with_those_there_are() -> None:
    with pytest.raises(AgentError, match="Did you mean 'CPUExecutionProvider'"):
        OnnxRuntime(1, provider="CPUExecutionProvidr")
    with pytest.raises(AgentError, match="Install the onnxruntime package"):
        OnnxRuntime(1, provider="AbacusExecutionProvider")


def test_device_must_be_a_number() -> None:
    with pytest.raises(AgentError, match="'device' must be a whole number"):
        OnnxRuntime(1, device="first")


def test_tf32_is_for_the_cuda_provider_alone() -> None:
    with pytest.raises(AgentError, match="setting of 'CUDAExecutionProvider'"):
        OnnxRuntime(1, tf32="off")
    with pytest.raises(AgentError, match="one of"):
        OnnxRuntime(1, tf32="maybe")


def test_cuda_provider_is_told_device_and_tf32_and_finds_packaged_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: asked.append("preloaded"), raising=False)

    def start(_model: str, **settings: Any) -> None:
        asked.append(settings["providers"])
        raise RuntimeError("this machine has no GPU")

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    backend = OnnxRuntime(1, provider="CUDAExecutionProvider", device="1", tf32="off")
    write_conv_relu(tmp_path / "model.onnx")
    with pytest.raises(AgentError, match="no GPU"):
        backend.load(str(tmp_path / "model.onnx"))
    provider = ("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})
    assert asked == ["preloaded", [provider, "CPUExecutionProvider"]]
    assert backend.settings()["tf32"] is False


def test_inputs_of_another_name_are_refused(tmp_path: Path) -> None:
    backend = OnnxRuntime(1)
    write_conv_relu(tmp_path / "model.onnx")
    backend.load(str(tmp_path / "model.onnx"))
    with pytest.raises(AgentError, match="cannot take these inputs"):
        backend.bind({"picture": np.ones((1, 3, 8, 16), np.float32)})


@pytest.mark.parametrize("name", ["STRING", "BFLOAT16", "INT16", "UINT32", "DOUBLE", "FLOAT"])
def test_types_have_the_names_of_the_outline(tmp_path: Path, name: str) -> None:
    kind = getattr(onnx.TensorProto, name)
    values = [onnx.helper.make_tensor_value_info(label, kind, [4]) for label in "xy"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:]
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path
    )
    backend = OnnxRuntimeCpu(1)
    backend.load(str(path))
    assert backend.inputs() == read_outline(str(path)).inputs
