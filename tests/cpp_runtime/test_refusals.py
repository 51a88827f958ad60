"""Scans of other sensors, units, frames and mountings: the same verdict in the same words as Python's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwnas.data.expectations import expectations_of
from hwnas.data.scan_files.formats import read_bin, read_pcd
from hwnas.data.sensors import load_sensor
from hwnas.scan import Scan
from tests.bundle.runtime.test_scan_refusals import CASES, ROTATING, cloud_of, expected, timed, variations
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.library import assert_same, both
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle
from tests.cpp_runtime.test_manifests import refusals, replace_model

DATA = CASES.parents[1] / "data"


def bundle_for(directory: Path, name: str, *, has_beams: bool = True, **changes: object) -> Path:
    """Write a bundle that expects scans of a sensor; `changes` of its expectations, or of their geometry."""
    expects = expected(name).to_json()
    for key, value in changes.items():
        (expects if key in expects else expects["geometry"])[key] = value
    spec = spec_of(load_sensor(name), has_beams=has_beams)
    return write_lidar_bundle(directory, spec, expects=expects, intensity_range=[0.0, 255.0])


def compare(built: Built, bundle: Path, name: str, seeds: range) -> set[str]:
    """Compare both on right and wrong scans, and return beginnings of what was said."""
    made, said = variations(), set()
    with both(built, bundle) as runners:
        for seed in seeds:
            kinds = [*made.RIGHT.values(), *made.WRONG.values(), made.few]
            clouds = [kind(cloud_of(name, 3 + seed), np.random.default_rng(seed)) for kind in kinds]
            other = ROTATING[(ROTATING.index(name) + 1 + seed) % len(ROTATING)]
            clouds.append(made.of_another_sensor(cloud_of(other, 3), np.random.default_rng(seed)))
            for number, cloud in enumerate(clouds):
                ring = cloud.ring if (number + seed) % 2 else None
                time = timed(cloud) if (number + seed) % 3 == 0 else None
                answer = assert_same(runners, cloud.points, cloud.intensity * np.float32(255), ring, time)
                said |= {text[:30] for text in (answer.error, *answer.warnings)}
    return said


@pytest.mark.parametrize("name", ["hdl-64e", "vlp-16"])
def test_right_and_wrong_scans(built: Built, tmp_path: Path, name: str) -> None:
    said = compare(built, bundle_for(tmp_path / "bundle", name), name, range(2))
    assert len(said) > 5


@pytest.mark.parametrize(
    "changes",
    [
        {"geometry": None, "sensor_height_m": 1.73},
        {"geometry": None, "sensor_height_m": 9.0, "rings": [30, 40]},
        {"ground_height_m": None, "sensor_height_m": 4.0},
        {"ground_height_m": None, "sensor_height_m": None},
        {"beam_elevation_deg": None, "sector_spacing_deg": [0.3, 0.6], "sector_beams": 40},
        {"beam_elevation_deg": None, "sector_spacing_deg": [1.9, 2.1], "sector_beams": 5},
        {"beam_elevation_deg": None, "point_order": "any"},
        {"is_left_in_time": True, "turn": None},
        {"turn": {"is_left": False, "order": "column-by-column"}, "beam_spread_deg": 0.5},
        {"median_range_m": [4.0, 60.0], "far_range_m": [300.0, 301.0]},
    ],
)
def test_other_expectations(built: Built, tmp_path: Path, changes: dict[str, object]) -> None:
    bundle = bundle_for(tmp_path / "bundle", "vlp-16", has_beams=False, **changes)
    compare(built, bundle, "vlp-16", range(1, 2))


SCALE = {"percentiles": [[0, 20], [20, 60], [60, 120], [120, 180], [200, 230]], "least_spread": 120}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"intensities": None},
        {"intensities": SCALE},
        {"intensities": {**SCALE, "least_spread": 900}},
        {"intensities": {"percentiles": [[0, 0]] * 5, "least_spread": 0}},
        {"intensity_range": [-1000.0, 255.0]},
    ],
)
def test_intensities_on_other_scales(built: Built, tmp_path: Path, changes: dict[str, object]) -> None:
    made, said = variations(), []
    with both(built, bundle_for(tmp_path / "bundle", "vlp-16", **changes)) as runners:
        for seed, kind in enumerate([*made.SCALES.values(), *made.WEATHER.values()]):
            cloud = kind(cloud_of("vlp-16", 3), np.random.default_rng(seed))
            answer = assert_same(runners, cloud.points, cloud.intensity * np.float32(255), cloud.ring)
            said.append("another scale" in " ".join(answer.warnings))
    assert any(said) == (changes.get("intensities", True) is not None)


@pytest.mark.parametrize(
    "update",
    [
        {"percentiles": [[0, 1]] * 4},
        {"percentiles": [[0, 1]] * 4 + [[2, 1]]},
        {"percentiles": [[0, 1]] * 4 + [[1]]},
        {"percentiles": [[0, 1]] * 4 + [["0", 1]]},
        {"percentiles": 5},
        {"least_spread": "1"},
        {"least_spread": None},
    ],
)
def test_expected_intensities_that_are_none(built: Built, tmp_path: Path, update: dict[str, object]) -> None:
    bundle = bundle_for(tmp_path / "bundle", "vlp-16", intensities={**SCALE, **update})
    assert all(
        refusals(built, bundle)
    )  # what is wrong with the type of a value is said in words of their own


@pytest.mark.parametrize("count", [255, 256])
def test_the_scale_of_few_intensities(built: Built, tmp_path: Path, count: int) -> None:
    cloud = cloud_of("vlp-16", 3).take(np.arange(count) * 20)
    with both(built, bundle_for(tmp_path / "bundle", "vlp-16")) as runners:
        answer = assert_same(runners, cloud.points, np.full(count, 130, np.float32), cloud.ring)
    assert ("seem to be constant" in " ".join(answer.warnings)) == (count == 256)


@pytest.mark.parametrize("name", ["hdl-64e", "vlp-16"])
def test_rings_in_other_rows_than_in_training(built: Built, tmp_path: Path, name: str) -> None:
    said = []
    cloud = cloud_of(name, 4)
    with both(built, bundle_for(tmp_path / "bundle", name, has_beams=False)) as runners:
        for seen in (cloud.ring >= 0, cloud.ring >= 1, cloud.ring >= 3, cloud.ring < 12):
            for ring in (None, cloud.ring[seen]):
                intensity = cloud.intensity[seen] * np.float32(255)
                answer = assert_same(runners, cloud.points[seen], intensity, ring)
                said.append("of the same rows" in " ".join(answer.warnings))
    assert said[:6] == [False, False, True, True, True, True]


@pytest.mark.long
@pytest.mark.parametrize("has_beams", [False, True])
@pytest.mark.parametrize("name", ROTATING)
def test_every_sensor(built: Built, tmp_path: Path, name: str, has_beams: bool) -> None:
    compare(built, bundle_for(tmp_path / "bundle", name, has_beams=has_beams), name, range(12))


@pytest.mark.skipif(not CASES.is_dir(), reason="no scans of other sensors in ../shared/cases")
@pytest.mark.parametrize("given", [False, True])
def test_scan_files_of_other_sensors(built: Built, tmp_path: Path, given: bool) -> None:
    ouster = read_pcd(CASES / "ouster_os0_32.pcd", {})
    velodyne = read_bin(CASES / "hdl32e_5_columns.bin", {"columns": ["x", "y", "z", "intensity", "ring"]})
    with both(built, bundle_for(tmp_path / "bundle", "hdl-64e")) as runners:
        for scan in (ouster, velodyne):
            intensity = np.clip(scan.intensity, 0, 255)
            answer = assert_same(runners, scan.points, intensity, scan.ring if given else None)
            assert "expected" in answer.error


@pytest.mark.parametrize(
    ("directory", "name", "columns"), [("hdl32e", "hdl-32e", 5), ("pandaset", "pandar64", 4)]
)
def test_real_scans_of_other_sensors(
    built: Built, tmp_path: Path, directory: str, name: str, columns: int
) -> None:
    files = sorted((DATA / directory).glob("sequences/*/velodyne/*.bin"))
    if not files:
        pytest.skip(f"no real scans of {name} in ../shared/data")
    values = [np.fromfile(file, "<f4").reshape(-1, columns) for file in files[:4]]
    scans = [Scan(one[:, :3], one[:, 3] / np.float32(255), None, None, "") for one in values]
    expects = expectations_of(scans, sensor=name, frame="x-forward", intensity_range=(0.0, 255.0)).to_json()
    spec = spec_of(load_sensor(name), 1024)
    bundle = write_lidar_bundle(tmp_path / "bundle", spec, expects=expects, intensity_range=[0.0, 255.0])
    codes = []
    with both(built, bundle) as runners:
        for one in values[:2]:
            shuffled = np.random.default_rng(0).permutation(one)[:40_000]
            points = one[:, :3]
            wrong = [points * np.array(by, np.float32) for by in ([1, -1, 1], [1, -1, -1], [100, 100, 100])]
            for cloud in (points, points + np.array([0, 0, 1.7], np.float32), *wrong):
                codes.append(assert_same(runners, cloud, one[:, 3]).code)
            codes.append(assert_same(runners, shuffled[:, :3], shuffled[:, 3]).code)
            if columns == 5:
                codes.append(assert_same(runners, points, one[:, 3], one[:, 4].astype(np.int32)).code)
    assert set(codes) == {0, 3}


def test_unchecked_scans_are_labelled(built: Built, tmp_path: Path) -> None:
    cloud = cloud_of("os0-32", 3)
    bundle = bundle_for(tmp_path / "bundle", "hdl-64e")
    with both(built, bundle) as checked, both(built, bundle, check_scans=False) as unchecked:
        intensity = cloud.intensity * np.float32(255)
        assert assert_same(checked, cloud.points, intensity, cloud.ring).code == 3
        assert assert_same(unchecked, cloud.points, intensity, cloud.ring).labels is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_networks_that_overflow_have_no_labels(built: Built, tmp_path: Path, value: float) -> None:
    """NaN and infinity would be the largest of the scores of a pixel, and its label that class."""
    bundle = bundle_for(tmp_path / "bundle", "vlp-16")
    model = onnx.load(bundle / "model.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.float32([value]), "overflow"))
    # All scores of a pixel, where its first one is positive: some pixels, and not all.
    model.graph.node[-1].output[0] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    model.graph.initializer.append(numpy_helper.from_array(np.int64([0]), "first_class"))
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["before", "first_class"], ["score"], axis=1),
            helper.make_node("Greater", ["score", "nothing"], ["is_wrong"]),
            helper.make_node("Where", ["is_wrong", "overflow", "before"], ["logits"]),
        ]
    )
    replace_model(bundle, model)
    cloud = cloud_of("vlp-16", 3)
    with both(built, bundle) as runners:
        answer = assert_same(runners, cloud.points, cloud.intensity * np.float32(255), cloud.ring)
    assert answer.code == 3
    assert re.match(r"The network computes NaN or infinity for \d+ of \d+ pixels", answer.error)
