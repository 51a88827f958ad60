"""Labels of the C++ runtime are those of the Python runner, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.data.expectations import expectations_of
from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.range_view.compiled import compiled_kernel
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.clouds import clouds_of, huge_cloud, wild_cloud
from tests.cpp_runtime.library import assert_same, both
from tests.cpp_runtime.lidar_bundle import CLASSES, spec_of, write_lidar_bundle

ROTATING = [name for name in sensor_names() if load_sensor(name).is_rotating]
SPHERICAL = ProjectionSpec(32, 256, "spherical", 15.0, -25.0)


@pytest.mark.parametrize("name", ROTATING)
def test_scans_of_every_sensor(built: Built, tmp_path: Path, name: str) -> None:
    sensor = load_sensor(name)
    for has_beams in (True, False):
        bundle = write_lidar_bundle(tmp_path / str(has_beams), spec_of(sensor, has_beams=has_beams))
        with both(built, bundle) as runners:
            for points, intensity, ring in clouds_of(sensor):
                answer = assert_same(runners, points, intensity, ring)
                assert answer.labels is not None
                assert len(np.unique(answer.labels)) > 2


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions(built: Built, tmp_path: Path, precision: str) -> None:
    sensor = load_sensor("hdl-64e")
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 1024))
    with both(built, bundle) as full, both(built, bundle, precision=precision) as runners:
        for points, intensity, ring in clouds_of(sensor):
            answer = assert_same(runners, points, intensity, ring)
            assert answer.labels is not None
            same = np.mean(answer.labels == assert_same(full, points, intensity, ring).labels)
            assert same > 0.5
            assert precision == "fp16" or same < 1.0


@pytest.mark.parametrize("kind", ["beams", "rings", "rings without view", "spherical"])
def test_wild_points(built: Built, tmp_path: Path, kind: str) -> None:
    spec = spec_of(load_sensor("vlp-16"), 256, has_beams=kind == "beams")
    if kind == "rings without view":
        spec = replace(spec, fov_up_deg=None, fov_down_deg=None)
    bundle = write_lidar_bundle(tmp_path / "bundle", SPHERICAL if kind == "spherical" else spec)
    answers = []
    with both(built, bundle) as runners:
        for seed in range(60):
            answers.append(assert_same(runners, *wild_cloud(seed)))
        answers.append(assert_same(runners, *huge_cloud()))
    assert any(answer.labels is not None and len(answer.labels) > 8000 for answer in answers)
    assert ("rings without view" in kind) == any("State fov_up_deg" in answer.error for answer in answers)


@pytest.mark.parametrize("window", [1, 3, 7])
def test_other_settings(built: Built, tmp_path: Path, window: int) -> None:
    knn = {"k": min(3, window * window), "window": window, "sigma": 0.7 * window, "cutoff_m": 0.6}
    sensor = load_sensor("vlp-16")
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor), knn=knn, intensity_range=[-3.0, 97.0])
    with both(built, bundle) as runners:
        for points, intensity, ring in clouds_of(sensor):
            assert_same(runners, points, intensity * np.float32(100) - np.float32(3), ring)
        ids = runners[1].raw_ids(np.arange(256, dtype=np.uint8))
        np.testing.assert_array_equal(ids, runners[0].raw_ids_of(np.arange(256, dtype=np.uint8)))
        assert runners[1].class_names() == runners[0].label_map.class_names
        assert len(runners[1].class_names()) == CLASSES


def test_values_that_cannot_be_used_are_refused_with_the_same_words(built: Built, tmp_path: Path) -> None:
    sensor = load_sensor("vlp-16")
    points, intensity, _ = next(clouds_of(sensor))
    ring = np.arange(len(points), dtype=np.int32)
    with both(built, write_lidar_bundle(tmp_path / "bundle", spec_of(sensor))) as runners:
        for wrong in (intensity * 255, intensity - 2, np.where(intensity < 0.5, np.nan, intensity)):
            assert assert_same(runners, points, wrong).code == 3
        for rings in (ring % 40, ring - 5, ring * 1000):
            assert assert_same(runners, points, intensity, rings).code == 3
        assert "Also: Intensities" in assert_same(runners, points, intensity * 255, ring % 40).error


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize("has_rings", [False, True])
def test_real_scans(built: Built, tmp_path: Path, real_lidar: Path, has_rings: bool) -> None:
    files = sorted((real_lidar / "sequences").glob("*/velodyne/*.bin"))[::6]
    assert files
    values = [np.fromfile(file, "<f4").reshape(-1, 4) for file in files]
    scans = [Scan(one[:, :3], one[:, 3], None, None, "") for one in values[:3]]
    expects = expectations_of(scans, sensor="hdl-64e", frame="x-forward", intensity_range=(0.0, 1.0))
    spec = spec_of(load_sensor("hdl-64e"), 2048, has_beams=False)
    bundle = write_lidar_bundle(tmp_path / "bundle", spec, expects=expects.to_json())
    with both(built, bundle) as runners:
        for one in values:
            answer = assert_same(runners, one[:, :3], one[:, 3])
            assert answer.error == ""
            if has_rings:
                kernel = compiled_kernel()
                ring = None if kernel is None else kernel.recover_rings(np.ascontiguousarray(one[:, :3]))
                assert_same(runners, one[:, :3], one[:, 3], ring)
            else:  # the same scan from another sensor
                assert assert_same(runners, one[:, :3] * np.float32(100), one[:, 3]).code == 3
                assert_same(runners, one[::3, :3], one[::3, 3])
