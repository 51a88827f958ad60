"""The backend for TensorRT: which engine of a bundle is meant, and an imagined TensorRT that runs it.

The imagined one in `imagined_tensorrt` declares what the session calls as the documentation has it. Where the headers
of NVIDIA are, the session is compiled against them, too. No engine has run on a GPU with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError
from hwnas.files import sha256_of_file
from tests.bundle.made_up_bundle import change
from tests.bundle.runtime.other_runtimes import DIRECTORY
from tests.cpp_runtime.building import SOURCE, Built, build, run
from tests.cpp_runtime.clouds import clouds_of
from tests.cpp_runtime.library import CppError, CppRunner
from tests.cpp_runtime.lidar_bundle import CLASSES, spec_of, write_lidar_bundle

IMAGINED = Path(__file__).parent / "imagined_tensorrt"
INPUT = "input range_image float32 1 5 16 256"
OUTPUT = f"output logits float32 1 {CLASSES} 16 256"
_OURS = DIRECTORY / "tensorrt-headers"
_HEADERS = (
    Path(os.environ.get("HWNAS_TENSORRT_INCLUDE", _OURS / "tensorrt")),
    Path(os.environ.get("HWNAS_CUDA_INCLUDE", _OURS / "cuda")),
)

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_lidar_bundle(tmp_path / "bundle", spec_of(load_sensor("vlp-16"), 256))


@pytest.fixture(scope="module")
def imagined(built: Built) -> Built:
    """The runtime, built with the imagined TensorRT."""
    places = [f"-D{name}_INCLUDE={IMAGINED}" for name in ("TENSORRT", "CUDA")]
    libraries = [f"-D{name}_LIBRARY:STRING=m" for name in ("TENSORRT", "CUDA")]
    options = ("-DHWNAS_TENSORRT=ON", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1")
    directory = build("tensorrt", *places, *libraries, *options, targets=("hwnas_runtime",))
    return Built(directory, directory / "libhwnas_runtime.so", directory / "hwnas_infer", built.onnxruntime)


def add_engine(bundle: Path, *lines: str, **changes: Any) -> Path:
    """Write an engine, and list it."""
    engine = bundle / "x.engine"
    engine.write_text("".join(f"{line}\n" for line in lines))
    entry = {
        "file": "x.engine",
        "product": "tensorrt",
        "precision": "fp32",
        "model_sha256": sha256_of_file(bundle / "model.onnx"),
        **changes,
    }
    listed = {"sha256": sha256_of_file(engine), "bytes": engine.stat().st_size}
    change(bundle, lambda m: (m["files"].update({"x.engine": listed}), m.update(engines=[entry])))
    return engine


def refusal_of_cpp(built: Built, bundle: Path, backend: str = "tensorrt", precision: str = "fp32") -> str:
    with pytest.raises(CppError) as refused:
        CppRunner(built, bundle, backend=backend, precision=precision)
    assert refused.value.code == 7
    return str(refused.value)


CHANGES: dict[str, Change] = {
    "no engine": lambda m: m.pop("engines"),
    "no list": lambda m: m.update(engines={"file": "x.engine"}),
    "text": lambda m: m.update(engines=["x.engine"]),
    "null": lambda m: m.update(engines=None),
    "other product": lambda m: m["engines"][0].update(product="tensorrt-rtx"),
    "other precision": lambda m: m["engines"][0].update(precision="int8"),
    "no product": lambda m: m["engines"][0].pop("product"),
    "no file": lambda m: m["engines"][0].pop("file"),
    "not listed": lambda m: m["files"].pop("x.engine"),
    "of another model": lambda m: m["engines"][0].update(model_sha256="0" * 64),
    "of no model": lambda m: m["engines"][0].pop("model_sha256"),
}


@pytest.mark.parametrize("kind", list(CHANGES))
def test_engines_that_a_manifest_does_not_describe_well(built: Built, bundle: Path, kind: str) -> None:
    add_engine(bundle, INPUT, OUTPUT)
    change(bundle, CHANGES[kind])
    with pytest.raises(HwnasError) as refused:
        Runner(bundle, backend="tensorrt")
    assert refusal_of_cpp(built, bundle) == str(refused.value)


@pytest.mark.parametrize(
    ("backend", "precision"), [("openvino", "fp32"), ("tensorrt", "int8"), ("tensorrt", "x")]
)
def test_engines_that_are_not_there(built: Built, bundle: Path, backend: str, precision: str) -> None:
    add_engine(bundle, INPUT, OUTPUT)
    with pytest.raises(HwnasError) as refused:
        Runner(bundle, backend=backend, precision=precision)
    assert refusal_of_cpp(built, bundle, backend, precision) == str(refused.value)


def test_a_library_without_tensorrt_says_so(built: Built, bundle: Path) -> None:
    engine = add_engine(bundle, INPUT, OUTPUT)
    assert f"Running {engine} needs a hwnas_runtime that was built with" in refusal_of_cpp(built, bundle)


def labels_of(built: Built, bundle: Path, rounds: int) -> list[np.ndarray]:
    """Return labels of scans, several times each."""
    runner = CppRunner(built, bundle, backend="tensorrt")
    found = []
    for points, intensity, ring in list(clouds_of(load_sensor("vlp-16"))) * rounds:
        labels = runner.label(points, intensity, ring).labels
        assert labels is not None
        found.append(labels)
    runner.close()
    return found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_imagined_engine_is_run_with_a_graph_and_without(
    built: Built,
    imagined: Built,
    bundle: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_engine(bundle, INPUT, OUTPUT)
    found = labels_of(imagined, bundle, 2)
    number = len(found) // 2
    assert f"{len(found) - 1} graphs launched" in capfd.readouterr().err
    assert all(np.array_equal(found[i], found[i + number]) for i in range(number))
    for fault in ("cudaStreamBeginCapture", "cudaStreamEndCapture"):
        monkeypatch.setenv("IMAGINED_FAULT", fault)
        again = labels_of(imagined, bundle, 1)
        assert f"{len(found) - 1} graphs launched" in capfd.readouterr().err
        assert all(np.array_equal(one, other) for one, other in zip(again, found, strict=False))
    points, intensity, _ = next(clouds_of(load_sensor("vlp-16")))
    scan, out = tmp_path / "scan.bin", tmp_path / "out"
    scan.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    run(built.program("fake_labels"), bundle, scan, out)
    assert out.read_bytes()[: len(points)] == found[0].tobytes()
    assert len(np.unique(found[0])) > 2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_engines_that_cannot_be_run(imagined: Built, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        ("nonsense",): "x.engine: this is no engine. An engine runs on the GPU and with the version",
        (
            INPUT.replace("float32", "float16"),
            OUTPUT,
        ): "must be float32 with fixed sizes, but is float16 (1, 5, 16, 256)",
        (INPUT.replace("256", "-1"), OUTPUT): "but is float32 (1, 5, 16, -1)",
        (INPUT.replace("256", "512"), OUTPUT): "but its file is one [('range_image', (1, 5, 16, 512))",
        (INPUT,): "but its file is one [('range_image', (1, 5, 16, 256))]",
    }
    for lines, said in cases.items():
        add_engine(bundle, *lines)
        assert said in refusal_of_cpp(imagined, bundle)
    add_engine(bundle, INPUT, OUTPUT)
    for fault, said in {
        "cudaMalloc": "CUDA cannot reserve memory on the GPU: out of memory.",
        "cudaMallocHost": "CUDA cannot reserve memory that the GPU reaches.",
        "createExecutionContext": "TensorRT cannot run",
    }.items():
        monkeypatch.setenv("IMAGINED_FAULT", fault)
        assert said in refusal_of_cpp(imagined, bundle)
    monkeypatch.setenv("IMAGINED_FAULT", "enqueueV3")
    with pytest.raises(CppError, match=r"TensorRT cannot run .*: an imagined fault"):
        labels_of(imagined, bundle, 1)
    monkeypatch.setenv("IMAGINED_FAULT", "cudaGraphLaunch")
    with pytest.raises(CppError, match="CUDA cannot launch a graph: out of memory"):
        labels_of(imagined, bundle, 1)


def test_the_session_compiles_with_the_headers_of_nvidia() -> None:
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler: see scripts/prepare_cpp_runtime")
    for directory, header in zip(_HEADERS, ("NvInfer.h", "cuda_runtime_api.h"), strict=True):
        if not (directory / header).is_file():
            pytest.skip(
                f"no {header} in {directory}: see scripts/prepare_tensorrt_headers, or name the directories in "
                "HWNAS_TENSORRT_INCLUDE and HWNAS_CUDA_INCLUDE"
            )
    places = [word for directory in _HEADERS for word in ("-isystem", directory)]
    flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
    run("c++", *flags, f"-I{SOURCE / 'include'}", *places, SOURCE / "src" / "tensorrt_session.cpp")
