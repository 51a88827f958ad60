"""ONNX Runtime, loaded by the C++ runtime, tells nobody about it."""

from __future__ import annotations

from pathlib import Path

from hwnas.data.sensors import load_sensor
from hwnas.onnxruntime_loading import VARIABLE
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle
from tests.cpp_runtime.test_programs import write_scan
from tests.tracing import Traced


def traced(built: Built, directory: Path, **variables: str) -> Traced:
    spec = spec_of(load_sensor("vlp-16"), 256)
    bundle = write_lidar_bundle(
        directory / "bundle", spec, expects=expected("vlp-16").to_json(), intensity_range=[0.0, 255.0]
    )
    scan, labels = write_scan(directory / "scan.bin"), directory / "scan.label"
    command = [built.infer, bundle, scan, "-o", labels, "--library", built.onnxruntime]
    found = Traced(command, directory, **variables)
    assert found.done.returncode == 0, found.done.stderr
    assert labels.stat().st_size == 4 * len(cloud_of("vlp-16", 3).points)
    return found


def test_nothing_is_asked_and_nothing_is_written_elsewhere(built: Built, tmp_path: Path) -> None:
    found = traced(built, tmp_path)
    assert found.network() == []
    assert found.written_elsewhere() == []
    assert list(found.home.iterdir()) == []


def test_a_decision_of_the_user_stays(built: Built, tmp_path: Path) -> None:
    version = built.onnxruntime.name.partition(".so.")[2].split(".")
    has_telemetry = (int(version[0]), int(version[1])) >= (1, 29)
    found = traced(built, tmp_path, **{VARIABLE: "0"})
    assert bool(list(found.home.iterdir())) is has_telemetry
