"""A runner with an engine; TensorRT and the GPU are imagined, and its engines copy input to output."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.export import export_bundle
from hwnas.bundle.runtime import Runner
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import BundleError
from hwnas.files import sha256_of_file
from hwnas.latency.backends import tensorrt
from hwnas.latency.backends.cuda_driver import CudaDriver
from hwnas.latency.backends.engine_identity import EngineIdentity
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, make_scan, write_run
from tests.latency.backends.fake_cuda import FakeCuda
from tests.latency.backends.fake_tensorrt import make_tensorrt, plan_of

VERSION = "10.13.3.9"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("engines") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy with an engine of the imagined TensorRT for the imagined GPU."""
    import shutil

    made = shutil.copytree(exported, tmp_path / "bundle")
    engine = made / "x.engine"
    tensors = {"inputs": {"range_image": [1, 5, 16, 256]}, "outputs": {"logits": [1, 3, 16, 256]}}
    engine.write_bytes(plan_of(VERSION, tensors))
    identity = EngineIdentity(
        "tensorrt",
        VERSION,
        "Imagined GPU",
        ("8.6",),
        sha256_of_file(made / "model.onnx"),
        {},
        sha256_of_file(engine),
        engine.stat().st_size,
        "strong",
    )
    change(made, engines=[{**identity.to_json(), "file": "x.engine", "precision": "fp32"}])
    return made


def change(bundle: Path, **update: Any) -> None:
    content = manifest_of(bundle)
    content.update(update)
    path = bundle / "x.engine"
    content["files"]["x.engine"] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    rewrite_manifest(bundle, content)


@pytest.fixture
def imagine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeCuda]:
    monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "cache"))

    def install(version: str = VERSION, capability: tuple[int, int] = (8, 6)) -> FakeCuda:
        trt, cuda = make_tensorrt(version), FakeCuda(capability=capability)
        monkeypatch.setattr(tensorrt, "import_tensorrt", lambda _product: trt)
        monkeypatch.setattr(tensorrt, "CudaDriver", lambda device: CudaDriver(device, cuda))
        return cuda

    return install


def test_runner_labels_with_an_engine(bundle: Path, imagine: Callable[..., FakeCuda]) -> None:
    imagine()
    points, intensity, _ = make_scan(0)
    with Runner(bundle, backend="tensorrt") as runner:
        found = runner.segment(points, intensity)
    view = found.image
    normalised = runner.lidar.normalisation  # the imagined engine gives the first channels of its input back
    expected = (view.channels[:3] - np.float32(normalised.mean[:3])[:, None, None]) / np.float32(
        normalised.std[:3]
    )[:, None, None]
    np.testing.assert_allclose(found.logits, expected * view.valid, rtol=1e-4, atol=1e-5)
    assert (found.labels < 3).all()


def test_threads_take_turns(bundle: Path, imagine: Callable[..., FakeCuda]) -> None:
    imagine()
    runner = Runner(bundle, backend="tensorrt")
    scans = [np.column_stack(make_scan(seed)[:2]) for seed in range(4)]
    expected = [runner(scan).labels for scan in scans]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda scan: runner(scan).labels, scans * 4))
    for number, labels in enumerate(found):
        np.testing.assert_array_equal(labels, expected[number % 4])


@pytest.mark.parametrize(
    ("here", "reported"),
    [
        ({"version": "10.16.2.10"}, r"built with tensorrt 10\.13\.3\.9, here is 10\.16\.2\.10"),
        ({"capability": (8, 7)}, r"capability 8\.6\), here is Imagined GPU \(8\.7\)"),
    ],
)
def test_an_engine_for_another_machine_is_refused(
    bundle: Path, imagine: Callable[..., FakeCuda], here: dict[str, Any], reported: str
) -> None:
    imagine(**here)
    with pytest.raises(BundleError, match=reported):
        Runner(bundle, backend="tensorrt")


def test_an_engine_of_another_model_is_refused(bundle: Path, imagine: Callable[..., FakeCuda]) -> None:
    imagine()
    content = manifest_of(bundle)
    change(bundle, engines=[{**content["engines"][0], "model_sha256": "0" * 64}])
    with pytest.raises(BundleError, match=r"built from another model than model\.onnx"):
        Runner(bundle, backend="tensorrt")


def test_an_engine_with_other_inputs_is_refused(bundle: Path, imagine: Callable[..., FakeCuda]) -> None:
    imagine()
    tensors = {"inputs": {"range_image": [1, 5, 16, 512]}, "outputs": {"logits": [1, 3, 16, 512]}}
    (bundle / "x.engine").write_bytes(plan_of(VERSION, tensors))
    content = manifest_of(bundle)
    changed = {**content["engines"][0], "engine_sha256": sha256_of_file(bundle / "x.engine")}
    change(bundle, engines=[changed])
    with pytest.raises(BundleError, match=r"512.*but its manifest says"):
        Runner(bundle, backend="tensorrt")


@pytest.mark.parametrize(
    ("update", "backend", "reported"),
    [
        ({}, "tensorrt-rtx", "no engine of tensorrt-rtx in fp32, but tensorrt fp32"),
        ({"engines": []}, "tensorrt", "but none. Export it with `hwnas export --engine`"),
        ({"engines": "x"}, "tensorrt", "must be a list"),
        (
            {"engines": [{"product": "tensorrt", "precision": "fp32", "file": "y"}]},
            "tensorrt",
            "without listing",
        ),
        ({}, "torch", "must be onnxruntime or one of"),
    ],
)
def test_bundles_without_the_engine(
    bundle: Path, imagine: Callable[..., FakeCuda], update: dict[str, Any], backend: str, reported: str
) -> None:
    imagine()
    change(bundle, **update)
    with pytest.raises(BundleError, match=reported):
        Runner(bundle, backend=backend)


def test_a_machine_without_tensorrt_says_so(bundle: Path) -> None:
    from hwnas.latency.backends.errors import AgentError

    try:
        tensorrt.import_tensorrt("tensorrt")
    except AgentError:
        with pytest.raises(BundleError, match="needs its Python module"):
            Runner(bundle, backend="tensorrt")
        return
    pytest.skip("TensorRT is installed")
