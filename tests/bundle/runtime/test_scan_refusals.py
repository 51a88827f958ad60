"""Scans of other sensors, units, frames and mountings are refused, right ones accepted, from 64 points on."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hwnas.bundle.runtime.beam_checks import is_sparse
from hwnas.bundle.runtime.scan_checks import ScanChecks, _between_beams
from hwnas.cli import infer
from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.scan_files.formats import read_bin, read_pcd
from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.errors import DataError
from hwnas.range_view.angles import has_direction
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan
from tests.bundle.runtime.test_runner_scans import bundle as bundle  # noqa: PLC0414 - a fixture
from tests.bundle.runtime.test_runner_scans import scan_of
from tests.data.test_geometry import turn_of

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases" / "scans"
ROTATING = [name for name in sensor_names() if load_sensor(name).is_rotating]
SEEDS = range(3)


@cache
def variations() -> ModuleType:
    path = ROOT / "scripts" / "benchmarks" / "scan_variations.py"
    spec = importlib.util.spec_from_file_location("scan_variations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def cloud_of(name: str, seed: int) -> Any:
    """A turn over flat ground inside a round wall, of which no ray is lost; 360 firings."""
    points, ring = turn_of(load_sensor(name), height_m=1.7 + 0.02 * seed, seed=seed)
    intensity = np.random.default_rng(seed).random(len(points), dtype=np.float32)
    return variations().Cloud(points, intensity, ring)


@cache
def expected(name: str) -> ScanExpectations:
    clouds = [cloud_of(name, seed) for seed in range(3)]
    scans = [Scan(cloud.points, cloud.intensity, None, None, "") for cloud in clouds]
    return expectations_of(scans, sensor=name, frame="x-forward", intensity_range=(0.0, 255.0))


def ask(expects: ScanExpectations, cloud: Any, *, given: bool, time: Any = None) -> tuple[str, ...]:
    """Return the warnings about a cloud; DataError if it is refused."""
    keep = has_direction(cloud.points)
    points, intensity = cloud.points[keep], cloud.intensity[keep]
    ring = cloud.ring[keep] if given else None
    beams = None if expects.geometry is None else expects.geometry.beam_elevation_deg
    height = 16 if expects.rings is None else max(16, expects.rings[1])
    spec = ProjectionSpec(height, 1024, "ring", *expects.field_of_view_deg, beams)
    image = project(points, intensity, spec, ring)
    checks = ScanChecks(expects, "ring")
    return checks.check(len(keep), points, intensity * np.float32(255), image, ring, time=time)


WRONG = {
    "centimetres": "as if in centimetres",
    "millimetres": "as if in millimetres",
    "feet": "as if in feet",
    "axes swapped": "",
    "axes swapped, mirrored": "",
    "z down": "",
    "tilted 20 to 60 degrees": "",
    "origin on the ground": "",
    "origin too high or low": "",
    "mirrored": "seems to be mirrored",
    "NaN": "points have a position",
    "intensity": "another unit, or missing",
    "cut below": "degrees of elevation only",
    "cut above": "degrees of elevation only",
}


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", ["hdl-64e", "vlp-16"])
def test_wrong_scans_are_refused(name: str, kind: str) -> None:
    for seed in SEEDS:
        cloud = variations().WRONG[kind](cloud_of(name, 3 + seed), np.random.default_rng(seed))
        with pytest.raises(DataError, match=WRONG[kind] or None):
            ask(expected(name), cloud, given=seed % 2 == 0)


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize("name", ["hdl-64e", "vlp-16"])
def test_right_scans_are_accepted(name: str) -> None:
    for kind, variation in variations().RIGHT.items():
        for seed in SEEDS:
            cloud = variation(cloud_of(name, 3 + seed), np.random.default_rng(seed))
            warnings = ask(expected(name), cloud, given=seed % 2 == 0 or "slope" in kind)
            assert warnings == () or kind in ("slope up to 5 degrees", "by column", "unordered"), kind


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize(
    "kind", ["squared", "square root", "a third", "three times", "constant", "half at 0"]
)
def test_intensities_on_another_scale_are_warned_of(kind: str) -> None:
    for seed in SEEDS:
        cloud = variations().SCALES[kind](cloud_of("vlp-16", 3 + seed), np.random.default_rng(seed))
        warnings = ask(expected("vlp-16"), cloud, given=True)
        assert any("of 100 intensities" in warning and "another scale" in warning for warning in warnings)


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
def test_intensities_in_bad_weather_are_accepted() -> None:
    for kind, variation in variations().WEATHER.items():
        for seed in SEEDS:
            cloud = variation(cloud_of("vlp-16", 3 + seed), np.random.default_rng(seed))
            assert "intensities" not in " ".join(ask(expected("vlp-16"), cloud, given=True)), kind


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize("name", ROTATING)
def test_scans_of_every_other_sensor_are_refused(name: str) -> None:
    for seed, other in enumerate(ROTATING):
        if other != name:
            cloud = variations().of_another_sensor(cloud_of(other, 3), np.random.default_rng(seed))
            with pytest.raises(DataError, match=r"expected|trained on|image has \d+ rows"):
                ask(expected(name), cloud, given=seed % 2 == 0)


def test_a_mirrored_scan_without_order_is_warned_about() -> None:
    cloud = variations().mirrored_unordered(cloud_of("vlp-16", 3), np.random.default_rng(0))
    assert "a mirrored scan would not be noticed" in " ".join(ask(expected("vlp-16"), cloud, given=True))


def timed(cloud: Any) -> Any:
    """When each point of a cloud was measured by a sensor that turns to the left, in seconds."""
    return (np.arctan2(cloud.points[:, 1], cloud.points[:, 0]) % (2 * np.pi)) * 0.1 / (2 * np.pi)


@pytest.mark.parametrize("given", [True, False])
def test_a_mirrored_scan_without_order_is_refused_where_times_show_it(given: bool) -> None:
    clouds = [cloud_of("vlp-16", seed) for seed in range(3)]
    scans = [Scan(cloud.points, cloud.intensity, None, None, "", timed(cloud)) for cloud in clouds]
    trained = expectations_of(scans, sensor="vlp-16", frame="x-forward", intensity_range=(0.0, 255.0))
    expects = ScanExpectations.from_json(json.loads(json.dumps(trained.to_json())))
    assert expects.geometry is not None
    assert expects.geometry.is_left_in_time is True
    right = variations().unordered(cloud_of("vlp-16", 3), np.random.default_rng(0))
    wrong = right.times(np.diag([1, -1, 1]))
    assert "mirrored" not in " ".join(ask(expects, right, given=given, time=timed(right)))
    assert "mirrored scan would not be noticed" in " ".join(ask(expects, right, given=given))
    with pytest.raises(DataError, match="by their times the points run round the sensor to the right"):
        ask(expects, wrong, given=given, time=timed(right))
    one_time = np.full(len(right.points), 1.7e9)
    assert "mirrored scan would not be noticed" in " ".join(ask(expects, right, given=given, time=one_time))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_columns_are_warned_of_where_the_training_came_ring_by_ring(given: bool, sign: int) -> None:
    cloud = cloud_of("vlp-16", 3)
    azimuth = np.arctan2(cloud.points[:, 1], cloud.points[:, 0])
    by_column = cloud.take(np.lexsort((cloud.ring, np.round(sign * azimuth, 3))))
    for wrong in (by_column, by_column.times(np.diag([1, -1, 1]))):
        warnings = " ".join(ask(expected("vlp-16"), wrong, given=given))
        assert "come column-by-column" in warnings
        assert "a mirrored scan would not be noticed" in warnings


@pytest.mark.parametrize("count", [1, 10, 60, 300])
def test_a_few_points_are_labelled_with_a_warning(count: int) -> None:
    cloud = variations().few(cloud_of("hdl-64e", 3), np.random.default_rng(0), count, count + 1)
    warnings = ask(expected("hdl-64e"), cloud, given=True)
    assert f"With {count} points it cannot be known for sure" in " ".join(warnings)


@pytest.mark.parametrize("has_geometry", [True, False])
def test_fewer_points_than_are_compared_are_always_a_warning(has_geometry: bool) -> None:
    expects = expected("vlp-16")
    assert expects.geometry is not None
    assert is_sparse(63, replace(expects.geometry, beam_elevation_deg=(2.0, -2.0)))
    geometry = replace(expects.geometry, beam_elevation_deg=None) if has_geometry else None
    expects = replace(expects, geometry=geometry, point_order="any")
    cloud = variations().few(cloud_of("vlp-16", 3), np.random.default_rng(0), 63, 64)
    assert "With 63 points it cannot be known for sure" in " ".join(ask(expects, cloud, given=True))


@pytest.mark.parametrize("range_m", [0.4, 10.0])
def test_only_points_that_lie_far_enough_to_show_their_beam_lie_between_beams(range_m: float) -> None:
    cloud, rng = cloud_of("vlp-16", 3), np.random.default_rng(0)
    azimuth = rng.uniform(-np.pi, np.pi, 4 * len(cloud.points) // 5)
    elevation = np.radians(rng.integers(-7, 7, len(azimuth)) * 2.0)  # halfway between two beams
    flat = np.cos(elevation)
    others = range_m * np.column_stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    points = np.concatenate([cloud.points, others.astype(np.float32)])
    geometry = expected("vlp-16").geometry
    assert geometry is not None
    assert len(_between_beams(points, geometry)) == (range_m > 1.0)


def test_no_point_is_a_warning_too() -> None:
    cloud = cloud_of("hdl-64e", 3).take(np.zeros(0, np.int64))
    assert ask(expected("hdl-64e"), cloud, given=True) == ("The scan has no points.",)


def test_the_stated_height_counts_where_training_scans_show_no_ground() -> None:
    expects = expected("vlp-16")
    assert expects.geometry is not None
    unseen = replace(expects.geometry, ground_height_m=None)
    cloud = cloud_of("vlp-16", 3)
    assert ask(replace(expects, geometry=unseen, sensor_height_m=1.8), cloud, given=True) == ()
    with pytest.raises(DataError, match=r"the ground lies 1\.7\d m below the origin, expected 4 m"):
        ask(replace(expects, geometry=unseen, sensor_height_m=4.0), cloud, given=True)


def test_bundles_that_say_little_about_geometry_still_refuse_what_they_can() -> None:
    value = expected("hdl-64e").to_json()
    del value["geometry"]
    old = ScanExpectations.from_json({**value, "sensor_height_m": 1.73})
    assert old.geometry is None
    warnings = ask(old, cloud_of("hdl-64e", 3), given=True)
    assert "Export it again" in " ".join(warnings)
    for cloud in (cloud_of("os0-32", 3), cloud_of("hdl-64e", 3).times(100 * np.eye(3))):
        with pytest.raises(DataError, match="expected"):
            ask(old, cloud, given=True)


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.skipif(not CASES.is_dir(), reason="no scans of other sensors in ../shared/cases")
@pytest.mark.parametrize("given", [False, True])
def test_scan_files_of_other_sensors_are_refused(given: bool) -> None:
    ouster = read_pcd(CASES / "ouster_os0_32.pcd", {})
    columns = ["x", "y", "z", "intensity", "ring"]
    velodyne = read_bin(CASES / "hdl32e_5_columns.bin", {"columns": columns})
    for scan, scale in ((ouster, 1.0), (velodyne, 255.0)):
        intensity = scan.intensity / np.float32(scale)
        cloud = variations().Cloud(scan.points, intensity, np.asarray(scan.ring, np.int32))
        with pytest.raises(DataError, match=r"32 beams.*expected 64 beams|degrees of elevation, expected"):
            ask(expected("hdl-64e"), cloud, given=given)


def write(path: Path, points: np.ndarray) -> Path:
    path.write_bytes(points.astype("<f4").tobytes())
    return path


def test_infer_refuses_other_scans_and_says_what_is_unusual(bundle: Path, tmp_path: Path) -> None:
    right = write(tmp_path / "right.bin", scan_of(0))
    shuffled = write(tmp_path / "shuffled.bin", np.random.default_rng(0).permutation(scan_of(1)))
    wrong = write(tmp_path / "wrong.bin", scan_of(2) * np.array([1, -1, -1, 1], np.float32))
    app = typer.Typer()
    app.callback()(lambda: None)
    infer.register(app)
    runner = CliRunner()
    found = runner.invoke(
        app, ["infer", str(bundle), str(right), str(shuffled), "--out", str(tmp_path / "a"), "--json"]
    )
    assert found.exit_code == 0, found.output
    first, second = json.loads(found.stdout)["files"]
    assert first["warnings"] == []
    assert "mirrored" in " ".join(second["warnings"])
    text = runner.invoke(app, ["infer", str(bundle), str(shuffled), "--out", str(tmp_path / "b")])
    assert text.exit_code == 0
    assert "Warning: " in text.stderr
    refused = runner.invoke(app, ["infer", str(bundle), str(wrong), "--out", str(tmp_path / "c")])
    assert refused.exit_code != 0
    assert not (tmp_path / "c" / "wrong.label").exists()
