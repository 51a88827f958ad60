"""A bundle means the same under other versions of onnxruntime, in OpenVINO and in Node: labels as `infer`."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.bundle.export import export_bundle
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.trained_member import TrainedMember
from hwnas.latency.engines.rtx import write_precisions
from hwnas.onnx_graphs.export import export_onnx
from hwnas.range_view.pipeline import RangeView
from tests.bundle import small_lidar
from tests.bundle.precision.test_conversion import LENIENT, Meter
from tests.bundle.runtime.other_runtimes import (
    NEWEST,
    NODE,
    OLDEST,
    OPENVINO,
    RUNTIMES,
    labels_in,
    logits_of,
    why_missing,
)
from tests.bundle.small_lidar import KNN, NORMALISATION, SPEC, SmallSpace, SmallTask, write_run
from tests.onnx_graphs import covering_networks

torch.set_num_threads(1)

PRECISIONS = ("fp32", "fp16", "int8", "int8.tensorrt")
LEAST = {"fp32": 1.0, "fp16": 1.0, "int8": 0.97, "int8.tensorrt": 0.97}
"""Share of labels as `infer` with the same file: integer kernels round sums in other orders, and weights are
random, so that pixels with two classes almost alike are many."""


def overflows(runtime: str, precision: str) -> bool:
    """Whether a runtime computes INT8 wrongly on this processor: OpenVINO does on x86 without VNNI, as the docs say."""
    cpu = Path("/proc/cpuinfo")
    has_vnni = platform.machine() != "x86_64" or not cpu.is_file() or "vnni" in cpu.read_text()
    return runtime == OPENVINO and not has_vnni and precision in {"int8", "int8.tensorrt", "mixed"}


def installed(runtime: str) -> Any:
    reason = why_missing(runtime)
    return pytest.param(runtime, marks=pytest.mark.skipif(bool(reason), reason=reason))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle with every precision, INT8 in both dialects."""
    with pytest.MonkeyPatch.context() as patch:
        small_lidar.register(patch)
        run = write_run(tmp_path_factory.mktemp("runtimes") / "run", widths=(8,))
        member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
        task = SmallTask({})
        space = SmallSpace(task.contract, {})
        settings = PrecisionSettings(("fp32", "fp16", "int8"), **LENIENT)
        yield export_bundle(
            task,
            space,
            member,
            run / "bundle",
            meter=Meter(),
            options=ExportOptions(
                precision=settings, dialect="tensorrt,onnxruntime", onnxruntime="1.22", tensorrt="10.3"
            ),
        )


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    found, intensity, _ = small_lidar.make_scan(7)
    return np.column_stack([found, intensity]).astype(np.float32)


@pytest.mark.parametrize("runtime", [installed(OLDEST), installed(NEWEST)])
def test_runner_labels_alike_under_the_oldest_and_the_newest_onnxruntime(
    runtime: str, bundle: Path, points: np.ndarray
) -> None:
    for precision in PRECISIONS:
        with Runner(bundle, precision=precision) as runner:
            expected = runner(points).labels
        found, version = labels_in(runtime, bundle, points, precision)
        assert (found == expected).mean() >= LEAST[precision], (version, precision)


@pytest.mark.parametrize("runtime", [installed(NODE), installed(OPENVINO)])
def test_labels_of_points_are_those_of_infer(runtime: str, bundle: Path, points: np.ndarray) -> None:
    """What surrounds the network is ours; the network is computed elsewhere."""
    view = RangeView(SPEC, NORMALISATION, KNN, len(small_lidar.CLASSES))
    scan = view.project(points[:, :3], points[:, 3] / 255)
    for precision in PRECISIONS:
        if overflows(runtime, precision):
            continue
        with Runner(bundle, precision=precision) as runner:
            expected = runner(points).labels
            model = runner.manifest.model_path_of(precision)
        found = logits_of(runtime, model, view.network_input(scan), len(small_lidar.CLASSES))
        labels = view.labels(view.label_image(found.values, scan), scan)
        assert (labels == expected).mean() >= LEAST[precision], (runtime, found.version, precision)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network with everything that made a runtime err: halves, and concatenations before a convolution."""
    path = tmp_path_factory.mktemp("covering") / "model.onnx"
    export_onnx(covering_networks.network("concatenation"), covering_networks.SPEC, path, metadata={})
    return write_precisions(path, [{"range_image": image[None]} for image in images()])


def logits_here(model: Path, image: np.ndarray) -> np.ndarray:
    return OnnxPredictor(model)({"range_image": image[None]})["logits"][0]


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(1.0, 3.0, (3, 5, 16, 64)).astype(np.float32)


@pytest.mark.parametrize("runtime", [installed(runtime) for runtime in RUNTIMES])
def test_int8_for_tensorrt_loses_no_more_elsewhere_than_here(runtime: str, files: dict[str, Path]) -> None:
    """Against fp32, which all compute alike. Written as quantisers leave it, the same file has 0.96 of the labels
    of fp32 in onnxruntime 1.32, but 0.92 in 1.22 and 0.85 in OpenVINO 2026.4."""
    if overflows(runtime, "int8"):
        pytest.skip("OpenVINO's 8-bit kernels overflow on x86 without VNNI")
    exact = np.stack([logits_here(files["fp32"], image) for image in images()])
    for precision in ("int8", "mixed"):
        here = np.stack([logits_here(files[precision], image) for image in images()])
        there = logits_of(runtime, files[precision], images(), 3).values
        error_here, error_there = (float(np.linalg.norm(found - exact)) for found in (here, there))
        assert error_there <= 1.1 * error_here, (runtime, precision)
        same_here, same_there = (
            float((found.argmax(axis=1) == exact.argmax(axis=1)).mean()) for found in (here, there)
        )
        assert same_there >= same_here - 0.005, (runtime, precision)
