"""Axes, units and origins that are not as stated are found, and the remedy mends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.coordinates import coordinate_findings
from hwnas.data.inspection.findings.finding import ERROR
from hwnas.data.inspection.sensor_places import _place
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.sensors import load_sensor
from tests.data.findings.inspected import inspect, severe, stored_as, suggest
from tests.data.scenes import scan_of_scene, write_scenes

MISTAKES: Mapping[str, tuple[Coordinates, str]] = {
    "vehicle": (Coordinates(origin_m=(1.2, 0.1, 1.7)), "origin"),
    "millimetres": (Coordinates(unit_m=0.001), "unit"),
    "centimetres": (Coordinates(unit_m=0.01), "unit"),
    "feet": (Coordinates(unit_m=0.3048), "unit"),
    "z-down": (Coordinates("x -y -z"), "axes"),
    "camera": (Coordinates("z-forward"), "axes"),
    "permuted": (Coordinates("z x y"), "axes"),
    "y-forward": (Coordinates("y-forward"), "heading"),
    "both": (Coordinates("y-forward", 0.001, (0.2, -0.9, 1.5)), "unit"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_coordinates_are_found_and_mended(name: str, tmp_path: Path) -> None:
    coordinates, kind = MISTAKES[name]
    sensor = "hdl-64e" if name in ("both", "vehicle") else "vlp-16"
    path = write_scenes(tmp_path, sensor, transform=stored_as(coordinates))
    found = inspect(path)
    assert kind in severe(found)
    assert found.is_usable == (kind == "heading")
    text = suggest(path, found)
    assert "scans" in text.splitlines()[1]
    (path / "dataset.yaml").write_text(text)
    mended = open_dataset(path).coordinates
    assert mended.unit_m == pytest.approx(coordinates.unit_m)
    assert mended.frame == coordinates.frame
    np.testing.assert_allclose(mended.origin_m, coordinates.origin_m, atol=0.12)
    assert severe(inspect(path)) == set()


def test_a_far_origin_is_found_and_mended_but_not_the_lost_digits(tmp_path: Path) -> None:
    path = write_scenes(
        tmp_path, "vlp-16", transform=stored_as(Coordinates(origin_m=(8_200.0, 15_600.0, 310.0)))
    )
    found = inspect(path)
    assert severe(found) == {"origin"}
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert severe(inspect(path)) == set()
    utm = write_scenes(
        tmp_path / "utm",
        "vlp-16",
        transform=lambda points, _: points + np.array([450_000.0, 5_400_000.0, 310.0]),
    )
    found = inspect(utm)
    assert severe(found) == {"precision"}  # nothing else can be told, and no other advice would hold
    assert "dual-return" not in {finding.kind for finding in found.findings}
    assert "NOT MENDED HERE, precision" in suggest(utm, found)


@pytest.mark.parametrize("moves", [False, True])
def test_far_coordinates_of_float64_are_mended(moves: bool, tmp_path: Path) -> None:
    place = np.array([450_000.0, 5_400_000.0, 310.0])
    path = write_scenes(tmp_path, "vlp-16", config={"scans": "sequences/{sequence}/velodyne/{scan}.npy"})
    for number, scan in enumerate(sorted(path.glob("sequences/*/velodyne/*.bin"))):
        values = np.fromfile(scan, "<f4").reshape(-1, 4).astype(np.float64)
        values[:, :3] += place + np.array([3.0 * number * moves, 0.0, 0.0])
        np.save(scan.with_suffix(".npy"), values)
    description = {
        "sensor": "vlp-16",
        "scans": "sequences/{sequence}/velodyne/{scan}.npy",
        "labels": "sequences/{sequence}/labels/{scan}.label",
    }
    (path / "dataset.yaml").write_text(yaml.safe_dump(description))
    found = inspect(path)
    assert severe(found) == ({"world-frame"} if moves else {"origin"})
    if not moves:
        (path / "dataset.yaml").write_text(suggest(path, found))
        np.testing.assert_allclose(open_dataset(path).coordinates.origin_m, place, atol=0.1)
        again = inspect(path)
        assert severe(again) == set()
        assert again.image is not None
        assert again.image.oracle_miou is not None
        assert again.image.oracle_miou > 0.9


@pytest.mark.parametrize("unit_m", [0.001, 0.01])
def test_amounts_are_written_out(unit_m: float, tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, "vlp-16", transform=stored_as(Coordinates(unit_m=unit_m))))
    (finding,) = [finding for finding in found.findings if finding.kind == "unit"]
    assert re.search(r"nearer than \d{1,2},\d{3}[^\d]", finding.message)
    assert "e+" not in finding.message


@pytest.mark.parametrize(
    ("stored_m", "stated_m", "is_found"),
    [(1.0, 1.3, True), (1.0, 0.7, True), (1.0, 1.05, False), (1.3, 1.3, False), (0.002, 0.002, False)],
)
def test_a_stated_number_that_is_no_unit_is_doubted(
    stored_m: float, stated_m: float, is_found: bool, tmp_path: Path
) -> None:
    transform = stored_as(Coordinates(unit_m=stored_m))
    path = write_scenes(tmp_path, transform=transform, config={"unit_m": stated_m})
    found = [finding for finding in inspect(path).findings if finding.kind == "unit"]
    assert [finding.severity for finding in found] == ["warning"] * is_found
    assert not found or "`unit_m: 1` if they are metres" in found[0].remedy


def test_a_place_with_few_points_around_it_hides_no_other_place() -> None:
    points, _, _ = scan_of_scene(load_sensor("vlp-16"), steps=300)
    points = points + np.float32([1.2, 0.0, 0.0])
    far = np.random.default_rng(0).uniform(-1, 1, (len(points) + 500, 3)) + np.array([300.0, 0.0, 0.0])
    with_far = np.concatenate([points, far]).astype(np.float32)  # whose middle has no point 3 to 80 m away
    for cloud, hint in ((with_far, np.zeros(3)), (points, np.array([200.0, 0.0, 0.0]))):
        place = _place(0, cloud, np.zeros(3), hint)
        assert place is not None
        np.testing.assert_allclose(place.place_m, [1.2, 0.0, 0.0], atol=0.02)


def test_a_sensor_that_moves_through_the_world_is_found(tmp_path: Path) -> None:
    path = write_scenes(
        tmp_path,
        "vlp-16",
        scans=3,
        transform=lambda points, number: points + np.array([3.0 * number, 1.0, 0.0]),
    )
    found = inspect(path)
    assert "world-frame" in severe(found)
    assert found.geometry is not None
    assert found.geometry.moves_m == pytest.approx(3.0, abs=0.3)
    assert "NOT MENDED HERE, world-frame" in suggest(path, found)


def test_a_scan_of_few_beams_moves_no_sensor(tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, sequences=1, steps=2000))
    assert found.geometry.origin_scans == 2
    for name in ("velodyne/000000.bin", "labels/000000.label"):
        path = tmp_path / "sequences" / "00" / name
        content = path.read_bytes()
        size = 16 if name.endswith(".bin") else 4
        path.write_bytes(content[: len(content) // size // 20 * size])
    found = inspect(tmp_path)
    assert found.geometry.origin_scans == 1
    assert severe(found) <= {"splits"}


def test_two_sensors_in_one_cloud_are_found(tmp_path: Path) -> None:
    def merged(points: np.ndarray, number: int) -> np.ndarray:
        return points + np.where(np.arange(len(points)) % 2, 0.7, -0.7)[:, None] * [0, 1, 0]

    found = inspect(write_scenes(tmp_path, transform=merged, steps=700))
    (finding,) = [finding for finding in found.findings if finding.kind == "merged"]
    assert "1.4 m apart" in finding.message
    assert not found.is_usable


@pytest.mark.parametrize(("unit_m", "stated"), [(1000.0, "kilometres"), (60.0, ""), (1e-6, "")])
def test_no_unit_that_makes_distances_implausible_passes(unit_m: float, stated: str, tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", steps=500, transform=stored_as(Coordinates(unit_m=unit_m)))
    found = {finding.kind: finding for finding in inspect(path).findings}
    assert found["unit"].severity == ERROR
    assert stated in found["unit"].message


def test_a_place_that_is_hardly_known_without_the_ground_is_no_error() -> None:
    source = open_dataset_of("vlp-16")
    geometry = moving_geometry(below_deg=-12.0)
    assert [one.severity for one in coordinate_findings(source, geometry)] == [ERROR]
    (finding,) = coordinate_findings(source, moving_geometry(below_deg=-1.0))
    assert (finding.kind, finding.severity) == ("world-frame", "warning")
    assert "the ground was cropped off" in finding.message
    (finding,) = coordinate_findings(source, replace(moving_geometry(below_deg=-1.0), is_far=True))
    assert finding.severity == ERROR


def open_dataset_of(sensor: str) -> Any:
    return SimpleNamespace(
        sensor_table=load_sensor(sensor), sensor=sensor, sensor_is_stated=True, coordinates=Coordinates()
    )


def moving_geometry(below_deg: float) -> GeometryEstimate:
    """What is estimated of scans half of whose points lie at an elevation, the others at the horizon."""
    return GeometryEstimate(
        num_scans=2,
        unit_factor=1.0,
        precision_m=1e-6,
        sensor_height_m=1.8,
        ground_scans=2,
        roll_deg=0.0,
        pitch_deg=0.0,
        azimuth_coverage=1.0,
        elevation_deg=(below_deg, 0.0),
        elevations_deg=np.float32([below_deg, 0.0]),
        beams_deg=(),
        beams_are_given=False,
        turns_left=(),
        range_p50_m=10.0,
        range_p99_m=60.0,
        moves_m=2.0,
    )
