"""Model repositories are read with Triton's own protobuf and served, as far as ONNX Runtime goes, as they say."""

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from hwnas.bundle.integrations.base import Deployed
from hwnas.bundle.integrations.choice import parse_integrations
from hwnas.bundle.integrations.triton import write_triton
from hwnas.bundle.manifest import read_manifest
from hwnas.errors import ConfigError, ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from tests.bundle.integrations.deployed import export_with


@pytest.fixture(scope="module")
def model_config() -> ModuleType:
    """Triton's definition alone: importing `tritonclient.grpc` would need gRPC and an older protobuf."""
    try:
        distribution = importlib.metadata.distribution("tritonclient")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs tritonclient")
    path = distribution.locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("triton_model_config_pb2", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_with(tmp_path_factory.mktemp("triton"), "triton")


def parse(module: Any, path: Path) -> Any:
    from google.protobuf import text_format

    return text_format.Parse(path.read_text(), module.ModelConfig())


def test_triton_reads_the_repository(bundle: Path, model_config: ModuleType) -> None:
    stated = read_manifest(bundle).content["integrations"]["triton"]
    (model,) = [path for path in (bundle / stated["repository"]).iterdir() if path.is_dir()]
    config = parse(model_config, model / "config.pbtxt")
    assert config.name == model.name == stated["model_name"]
    assert (config.platform, config.max_batch_size) == ("onnxruntime_onnx", 0)
    assert [path.name for path in model.iterdir() if path.is_dir()] == ["1"]
    assert list(config.version_policy.specific.versions) == [1]
    assert (model / "1" / config.default_model_filename).read_bytes() == (bundle / "model.onnx").read_bytes()


def test_tensors_are_those_of_the_model(bundle: Path, model_config: ModuleType) -> None:
    (path,) = bundle.glob("triton/*/config.pbtxt")
    config = parse(model_config, path)
    session = onnxruntime.InferenceSession(str(path.parent / "1" / config.default_model_filename))
    types = {"tensor(float)": "TYPE_FP32"}
    for stated, found in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [
            (tensor.name, list(tensor.dims), model_config.DataType.Name(tensor.data_type))
            for tensor in stated
        ] == [(tensor.name, tensor.shape, types[tensor.type]) for tensor in found]
    image = np.zeros(list(config.input[0].dims), np.float32)
    (logits,) = session.run(None, {config.input[0].name: image})
    assert list(logits.shape) == list(config.output[0].dims)


def test_an_engine_of_tensorrt_is_served_by_its_own_backend(tmp_path: Path, model_config: ModuleType) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "tensorrt-10.engine").write_bytes(b"engine")
    spec = IoSpec((TensorSpec("x", (1, 2)),), (TensorSpec("y", (1,)),))
    reported = write_triton(Deployed(tmp_path, "a" * 16, "fp16", "model.onnx", spec, "tensorrt-10.engine"))
    config = parse(model_config, next(tmp_path.glob("triton/*/config.pbtxt")))
    assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")
    assert reported["platform"] == "tensorrt_plan"
    (served,) = tmp_path.glob("triton/*/1/*")
    assert served.name == "model.plan"
    assert served.read_bytes() == b"engine"
    assert "with TensorRT, of the version" in (tmp_path / "triton" / "README.md").read_text()


def test_names_cannot_break_out_of_the_text(tmp_path: Path, model_config: ModuleType) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    name = 'a" } input { name: "ü\\\n'
    spec = IoSpec((TensorSpec(name, (1, 2)),), (TensorSpec("y", (1,), "int64"),))
    write_triton(Deployed(tmp_path, "a" * 16, "fp32", "model.onnx", spec))
    config = parse(model_config, next(tmp_path.glob("triton/*/config.pbtxt")))
    assert len(config.input) == 1
    assert config.output[0].data_type == model_config.DataType.Value("TYPE_INT64")


def test_types_that_triton_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    spec = IoSpec((TensorSpec("x", (1,), "complex64"),), ())
    with pytest.raises(ExportError, match="complex64"):
        write_triton(Deployed(tmp_path, "a" * 16, "fp32", "model.onnx", spec))


def test_wanted_integrations() -> None:
    assert parse_integrations("") == ()
    assert parse_integrations("triton") == ("triton",)
    assert parse_integrations(" isaac-ros") == ("triton", "isaac-ros")
    with pytest.raises(ConfigError, match=r"isaac_ros.*'isaac-ros'"):
        parse_integrations("triton,isaac_ros")
