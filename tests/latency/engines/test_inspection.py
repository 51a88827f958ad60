from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.errors import ExportError
from hwnas.files import sha256_of_file
from hwnas.latency.backends.cuda_driver import CudaDriver
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt_build import import_tensorrt
from hwnas.latency.backends.tensorrt_rtx import compile_for
from hwnas.latency.engines import inspection
from hwnas.latency.engines.inspection import inspect_engine
from hwnas.testing.onnx_models import write_conv_relu
from tests.latency.backends.fake_cuda import FakeCuda
from tests.latency.backends.fake_tensorrt import make_tensorrt, plan_of


def test_kind_and_version_are_told_without_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(plan_of("10.16.2.10", {"inputs": {}}))
    done = CliRunner().invoke(make_app(), ["inspect", str(path), "--json"])
    document = json.loads(done.stdout)
    assert (document["kind"], document["product"], document["version"]) == (
        "engine",
        "tensorrt",
        "10.16.2.10",
    )
    assert document["sha256"] == sha256_of_file(path)
    assert document["layers"] is None
    lines = CliRunner().invoke(make_app(), ["inspect", str(path)]).stdout
    assert "tensorrt 10.16.2.10" in lines
    assert "--layers" in lines


def test_a_real_engine_is_known(tmp_path: Path) -> None:
    try:
        version = import_tensorrt("tensorrt-rtx").__version__
    except AgentError as error:
        pytest.skip(str(error))
    write_conv_relu(tmp_path / "model.onnx")
    compile_for(str(tmp_path / "model.onnx"), ["SM89"], str(tmp_path / "e"))
    report = inspect_engine(tmp_path / "e", with_layers=False)
    assert (report.product, report.version) == ("tensorrt-rtx", version)


def test_layers_are_told_where_the_engine_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(plan_of("10.16.2.10", {"inputs": {"a": [1]}, "outputs": {"b": [1]}}))
    trt = make_tensorrt("10.16.2.10")
    answer = {"Layers": [{"Name": "stem.conv/Conv", "LayerType": "CaskConvolution"}, "head/Conv"]}
    loaded: list[bytes] = []

    class Runtime:
        def __init__(self, log: Any) -> None:
            pass

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            loaded.append(plan)
            inspector = SimpleNamespace(get_engine_information=lambda kind: json.dumps(answer))
            return SimpleNamespace(create_engine_inspector=lambda: inspector)

    trt.Runtime, trt.LayerInformationFormat = Runtime, SimpleNamespace(JSON=1)
    monkeypatch.setattr(inspection, "import_tensorrt", lambda _product: trt)
    monkeypatch.setattr(inspection, "CudaDriver", lambda device: CudaDriver(device, FakeCuda()))
    assert inspect_engine(path, with_layers=False).layers is None
    assert not loaded, "loading runs native code, so nobody gets it unasked"
    report = inspect_engine(path, with_layers=True)
    assert [layer["Name"] for layer in report.layers or ()] == ["stem.conv/Conv", "head/Conv"]
    assert "CaskConvolution" in CliRunner().invoke(make_app(), ["inspect", str(path), "--layers"]).stdout


def test_why_there_are_no_layers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(product: str) -> Any:
        raise AgentError(f"{product} is not installed")

    monkeypatch.setattr(inspection, "import_tensorrt", missing)
    path = tmp_path / "e.engine"
    path.write_bytes(plan_of("1.7.1.116", {}, b"vtrt"))
    report = inspect_engine(path, with_layers=True)
    assert (report.layers, report.why_no_layers) == (None, "tensorrt-rtx is not installed")


@pytest.mark.parametrize("content", [b"ftrt", b"ftrt" + bytes(23), b"vtrt\n"])
def test_cut_engines_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "e.engine"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="no engine of TensorRT"):
        inspect_engine(path, with_layers=True)
