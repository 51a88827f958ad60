from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.latency.backends import tensorrt, tensorrt_build
from hwnas.latency.backends.cuda_driver import CudaDriver
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.plan_file import read_plan_header
from hwnas.latency.backends.tensorrt import TensorRt
from hwnas.latency.backends.tensorrt_build import import_tensorrt
from hwnas.testing.backend_suite import BackendSuite
from hwnas.testing.onnx_models import write_conv_relu
from tests.latency.backends.fake_cuda import FakeCuda
from tests.latency.backends.fake_tensorrt import make_tensorrt

try:
    import_tensorrt("tensorrt")
except AgentError as error:
    REASON = str(error)
else:
    REASON = ""


@pytest.mark.gpu
@pytest.mark.skipif(bool(REASON), reason=REASON)
class TestTensorRt(BackendSuite):
    tolerance = 5e-3  # TF32

    @pytest.fixture
    def backend_class(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
        monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))
        return TensorRt


@pytest.fixture
def imagine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that installs an imagined TensorRT and GPU and returns the module."""
    monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))

    def install(version: str, **settings: Any) -> Any:
        trt = make_tensorrt(version, **settings)
        for module in (tensorrt, tensorrt_build):
            monkeypatch.setattr(module, "import_tensorrt", lambda _product: trt)
        # In this process: a child would know nothing of what is imagined here.
        build = tensorrt_build.build_engine
        monkeypatch.setattr(tensorrt, "run_in_child", lambda _path, argument: build(argument))
        monkeypatch.setattr(tensorrt, "CudaDriver", lambda device: CudaDriver(device, FakeCuda()))
        return trt

    return install


@pytest.fixture
def model(tmp_path: Path) -> str:
    write_conv_relu(tmp_path / "model.onnx")
    return str(tmp_path / "model.onnx")


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "11.4.0.106"])
def test_one_path_for_all_versions(imagine: Callable[..., Any], model: str, version: str) -> None:
    trt = imagine(version)
    backend = TensorRt(1)
    backend.load(model)
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 16)).astype(np.float32)
    backend.bind({"image": image})
    backend.run()
    found = backend.outputs()["score"]
    assert found.shape == (1, 4, 8, 16)
    np.testing.assert_array_equal(found.ravel()[: image.size], image.ravel())
    assert backend.versions()["tensorrt"] == version
    assert backend.build_record()["typing"] == "strong"
    assert [config.network.flags for config in trt.builds] == [2], "strongly typed, and nothing else"
    assert trt.builds[0].flags == {7}, "no precision flag is set"


def test_engine_is_built_once_for_its_content(
    imagine: Callable[..., Any], model: str, tmp_path: Path
) -> None:
    trt = imagine("10.13.3.9")
    for _ in range(2):
        TensorRt(1).load(model)
    assert len(trt.builds) == 1
    TensorRt(1, tf32="off").load(model)
    assert trt.builds[1].flags == set()
    write_conv_relu(tmp_path / "other.onnx", width=32)
    TensorRt(1).load(str(tmp_path / "other.onnx"))
    assert len(trt.builds) == 3
    imagine("11.4.0").builds.append(None)
    TensorRt(1).load(model)
    assert len(tensorrt.import_tensorrt("tensorrt").builds) == 2, "another version builds its own"


def test_further_builds_start_without_known_timings(imagine: Callable[..., Any], model: str) -> None:
    trt = imagine("10.13.3.9")
    TensorRt(1).load(model)
    TensorRt(1, build="1").load(model)
    TensorRt(1, optimization_level="5").load(model)
    first, second, third = trt.builds
    assert first.timing_cache.content == b""
    assert second.timing_cache is None
    assert third.timing_cache.content == b"+", "timings of the first build serve the third"
    assert third.builder_optimization_level == 5


def test_old_versions_fall_back_to_weak_typing_and_say_so(imagine: Callable[..., Any], model: str) -> None:
    trt = imagine("10.3.0", strong_typing_works=False)
    backend = TensorRt(1)
    backend.load(model)
    assert backend.build_record()["typing"] == "weak"
    assert "cannot build an engine" in backend.build_record()["fallback"]
    assert trt.builds[1].flags == {7}, "a float32 file needs no precision flag"


def test_new_versions_do_not_fall_back(imagine: Callable[..., Any], model: str) -> None:
    imagine("10.13.3.9", strong_typing_works=False)
    with pytest.raises(AgentError, match="cannot build an engine of the model"):
        TensorRt(1).load(model)


def test_dla_is_used_and_what_it_cannot_run_is_named(imagine: Callable[..., Any], model: str) -> None:
    trt = imagine("10.3.0", dla_cores=2)
    backend = TensorRt(1, dla_core="1")
    backend.load(model)
    assert backend.build_record()["layers_on_gpu"] == ["layer1"]
    assert (trt.builds[0].DLA_core, trt.builds[0].default_device_type) == (1, 1)
    assert 3 in trt.builds[0].flags


def test_absent_dla_is_refused(imagine: Callable[..., Any], model: str) -> None:
    imagine("10.16.2.10")
    with pytest.raises(AgentError, match=r"DLA core 0 was asked for, but TensorRT 10\.16\.2\.10 finds 0"):
        TensorRt(1, dla_core="0").load(model)


def test_engine_is_loaded_without_its_model(imagine: Callable[..., Any], model: str) -> None:
    imagine("10.13.3.9")
    backend = TensorRt(1)
    backend.load(model)
    path, identity = backend.engine_file()
    assert identity["settings"] == backend.settings()
    again = TensorRt(1)
    again.load_engine(path, identity)
    assert again.inputs() == backend.inputs()
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 16)).astype(np.float32)
    for each in (backend, again):
        each.bind({"image": image})
        each.run()
    np.testing.assert_array_equal(again.outputs()["score"], backend.outputs()["score"])
    imagine("10.16.2.10")
    with pytest.raises(AgentError, match=r"built with tensorrt 10\.13\.3\.9, here is 10\.16"):
        TensorRt(1).load_engine(path, identity)


def test_compatibility_is_set_where_it_is_offered(imagine: Callable[..., Any], model: str) -> None:
    trt = imagine("11.4.0.106")
    options = {"hardware_compatibility": "same-compute-capability", "version_compatible": "on"}
    TensorRt(1, **options, build_route="-a=on").load(model)
    (config,) = trt.builds
    assert (config.hardware_compatibility_level, config.build_route) == (2, "-a=on")
    assert 13 in config.flags
    TensorRt(1).load(model)
    assert not hasattr(trt.builds[1], "hardware_compatibility_level"), "an engine of its own"
    assert 13 not in trt.builds[1].flags


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"hardware_compatibility": "same-compute-capability"}, "hardware_compatibility=same-compute"),
        ({"build_route": "-a=on"}, "build_route=-a=on"),
    ],
)
def test_what_a_version_lacks_is_not_ignored(
    imagine: Callable[..., Any], model: str, options: dict[str, str], reported: str
) -> None:
    imagine("10.3.0")
    with pytest.raises(
        AgentError, match=f"{reported}.* was asked for, but TensorRT 10.3.0 does not offer it"
    ):
        TensorRt(1, **options).load(model)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tf32": "maybe"}, "one of"),
        ({"optimization_level": "6"}, r"0\.\.5"),
        ({"device": "-1"}, "whole number"),
        ({"device": "3"}, "number 3 was asked for"),
    ],
)
def test_options_out_of_range(imagine: Callable[..., Any], options: dict[str, str], reason: str) -> None:
    imagine("11.4.0")
    with pytest.raises(AgentError, match=reason):
        TensorRt(1, **options)


def test_wrong_inputs_are_refused(imagine: Callable[..., Any], model: str) -> None:
    imagine("11.4.0")
    backend = TensorRt(1)
    backend.load(model)
    with pytest.raises(AgentError, match=r"inputs \['image'\]"):
        backend.bind({"picture": np.zeros(1, np.float32)})
    with pytest.raises(AgentError, match="in the shape"):
        backend.bind({"image": np.zeros((1, 3, 8, 17), np.float32)})


def test_no_gpu_is_said(imagine: Callable[..., Any]) -> None:
    imagine("11.4.0")
    from hwnas.latency.backends.cuda_driver import open_driver_if_any

    if open_driver_if_any() is not None:
        pytest.skip("this machine has an NVIDIA GPU")
    with pytest.raises(AgentError, match="no NVIDIA driver"):
        CudaDriver(0)


def test_missing_module_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tensorrt_build.MODULES, "tensorrt", ("tensorrt_that_nobody_has",))
    with pytest.raises(AgentError, match=r"tensorrt_that_nobody_has.*backend=trtexec"):
        import_tensorrt("tensorrt")


def test_type_stubs_are_not_taken_for_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "stubs_alone").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(tensorrt_build.MODULES, "tensorrt", ("stubs_alone",))
    with pytest.raises(AgentError, match="stubs_alone: it is not TensorRT itself"):
        import_tensorrt("tensorrt")


def test_plan_header(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(b"ftrt" + bytes(20) + bytes([10, 16, 2, 10]) + b"more")
    header = read_plan_header(str(path))
    assert (header.product, header.version) == ("tensorrt", "10.16.2.10")
    path.write_bytes(b"ELF")
    with pytest.raises(AgentError, match="no engine of TensorRT"):
        read_plan_header(str(path))
