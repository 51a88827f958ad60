"""Mistakes in data sets are found, the remedy mends them, and right data sets have none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data import sensors
from hwnas.data.dataset import find_config, open_dataset
from hwnas.data.dataset_pictures import draw_dataset
from hwnas.data.dataset_report import DatasetReport
from hwnas.data.estimates import GeometryEstimate, _place
from hwnas.data.finding import ERROR, ContentFacts
from hwnas.data.findings import _of_origin
from hwnas.data.frames import Coordinates
from hwnas.data.image_findings import image_findings
from hwnas.data.image_loss import ImageLoss
from hwnas.data.inspection import Inspection, inspect_source, scans_in_detail
from hwnas.data.reading import ScanFiles
from hwnas.data.rereading import inspect_as_stored
from hwnas.data.sensor_match import SensorMatch, match_sensors
from hwnas.data.sensors import Sensor, load_sensor
from hwnas.data.suggestion import suggested_config
from hwnas.errors import DataError
from hwnas.range_view.projection import ProjectionSpec
from tests.data.scenes import Transform, in_file, scan_of_scene, write_scenes

GEOMETRIC = {"axes", "heading", "unit", "origin", "world-frame", "merged", "sensor", "precision", "height"}
PANDASET = Path(__file__).parents[3] / "shared" / "data" / "pandaset"


def inspect(path: Path) -> Inspection:
    found = inspect_source(open_dataset(path))
    json.dumps(DatasetReport.of(open_dataset(path), found, find_config(path)[1]).to_json(), allow_nan=False)
    return found


def severe(found: Inspection) -> set[str]:
    return {finding.kind for finding in found.findings if finding.severity != "note"}


def suggest(path: Path, found: Inspection) -> str:
    return suggested_config(open_dataset(path), find_config(path)[1], found.geometry, found.findings)


def stored_as(coordinates: Coordinates) -> Transform:
    return lambda points, number: in_file(points, coordinates)


@pytest.mark.parametrize("sensor", ["hdl-64e", "vlp-16", "os1-64"])
def test_right_data_sets_have_no_findings(sensor: str, tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, sensor, steps=500))
    assert severe(found) == set()
    assert found.is_usable
    geometry = found.geometry
    assert geometry is not None
    assert geometry.origin_m is not None
    assert np.linalg.norm(geometry.origin_m) < 0.05
    assert geometry.sensor_height_m == pytest.approx(1.8, abs=0.1)
    assert (geometry.frame, geometry.unit_factor, geometry.azimuth_coverage) == ("x y z", 1.0, 1.0)
    assert abs(len(geometry.beams_deg) - {"hdl-64e": 64, "vlp-16": 16, "os1-64": 64}[sensor]) <= 2


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


def test_second_returns_are_noted(tmp_path: Path) -> None:
    def doubled(points: np.ndarray, number: int) -> np.ndarray:
        points[1::2] = points[: len(points) - len(points) % 2 : 2] * 1.1
        return points

    found = inspect(write_scenes(tmp_path, "vlp-16", transform=doubled))
    (finding,) = [finding for finding in found.findings if finding.kind == "dual-return"]
    assert finding.severity == "note"
    assert "`returns: 2`" in finding.remedy
    single = inspect(write_scenes(tmp_path / "single", "vlp-16"))
    assert "dual-return" not in {finding.kind for finding in single.findings}


@pytest.mark.parametrize("unit_m", [0.001, 0.01])
def test_amounts_are_written_out(unit_m: float, tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, "vlp-16", transform=stored_as(Coordinates(unit_m=unit_m))))
    (finding,) = [finding for finding in found.findings if finding.kind == "unit"]
    assert re.search(r"nearer than \d{1,2},\d{3}[^\d]", finding.message)
    assert "e+" not in finding.message


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


def test_two_sensors_in_one_cloud_are_found(tmp_path: Path) -> None:
    def merged(points: np.ndarray, number: int) -> np.ndarray:
        return points + np.where(np.arange(len(points)) % 2, 0.7, -0.7)[:, None] * [0, 1, 0]

    found = inspect(write_scenes(tmp_path, transform=merged, steps=700))
    (finding,) = [finding for finding in found.findings if finding.kind == "merged"]
    assert "1.4 m apart" in finding.message
    assert not found.is_usable


def test_a_wrong_sensor_name_is_found_and_mended(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-32c", config={"sensor": "hdl-64e"})
    found = inspect(path)
    assert severe(found) == {"sensor"}
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert open_dataset(path).sensor == "vlp-32c"
    assert severe(inspect(path)) == set()


def odd_sensor(root: Path, beams: int = 40) -> Sensor:
    """Return a sensor like none that comes with hwnas, whose beams thin out downwards."""
    table = yaml.safe_load((Path(sensors.__file__).parent / "vlp-16.yaml").read_text())
    near, far = np.linspace(8.0, -6.0, beams - 9), np.linspace(-7.0, -22.0, 9)
    table["elevation_deg"] = [round(float(value), 3) for value in (*near, *far)]
    table["azimuth_offset_deg"] = [0.0] * beams
    path = root / "odd.yaml"
    path.write_text(yaml.safe_dump(table))
    return load_sensor(path)


@pytest.mark.parametrize("named", ["vlp-32c", "hdl-64e", None])
def test_a_sensor_without_a_table_gets_a_draft_of_one(named: str | None, tmp_path: Path) -> None:
    sensor = odd_sensor(tmp_path)
    path = write_scenes(tmp_path / "scans", str(tmp_path / "odd.yaml"), config={"sensor": named or "hdl-64e"})
    if named is None:
        (path / "dataset.yaml").write_text("{}")
    found = inspect(path)
    (finding,) = [finding for finding in found.findings if finding.kind == "sensor"]
    assert finding.severity == ERROR
    assert ("No sensor is named; hdl-64e is assumed" in finding.message) == (named is None)
    assert "no table fits" in finding.message
    ((name, text),) = finding.files.items()
    assert finding.settings == {"sensor": name}
    assert not any(match["fits"] for match in sensor_matches(path, found))
    (path / name).write_text(text)
    (path / "dataset.yaml").write_text(suggest(path, found))
    drafted = load_sensor(path / name)
    np.testing.assert_allclose(drafted.elevation_deg, sensor.elevation_deg, atol=0.05)
    assert drafted.azimuth_steps == pytest.approx(400, rel=0.1)
    again = inspect(path)
    assert severe(again) == set()
    assert again.image is not None
    assert again.image.spec.height == 40


def test_an_unknown_sensor_is_no_finding(tmp_path: Path) -> None:
    odd_sensor(tmp_path)
    for name in (None, "unknown"):
        path = write_scenes(tmp_path / str(name), str(tmp_path / "odd.yaml"), config={"sensor": name})
        assert open_dataset(path).sensor == "unknown"
        assert severe(inspect(path)) == set()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([name for name in sensors.sensor_names() if load_sensor(name).is_rotating]), st.data())
def test_a_table_matches_both_ways_or_not_at_all(name: str, data: st.DataObject) -> None:
    beams = sorted(load_sensor(name).elevation_deg, reverse=True)

    def own(found: Sequence[float]) -> SensorMatch:
        matches = match_sensors(found, np.zeros(0, np.float32), are_given=True)
        return next(match for match in matches if match.sensor == name)

    assert own(beams).fits
    extra = data.draw(st.integers(max(2, len(beams) // 4), len(beams)))
    between = np.linspace(beams[-1], beams[0], extra + 2)[1:-1]
    more = own(sorted([*beams, *(float(value) for value in between)], reverse=True))
    assert more.is_contradicted
    assert not more.fits
    assert own(beams[: len(beams) // 4]).score < 0.75


def write_table(path: Path, sensor: str, raised_deg: float = 0.0) -> None:
    table = yaml.safe_load((Path(sensors.__file__).parent / f"{sensor}.yaml").read_text())
    table["elevation_deg"] = [round(value + raised_deg, 3) for value in load_sensor(sensor).elevation_deg]
    path.write_text(yaml.safe_dump(table))


def test_the_beams_of_a_sensor_file_are_compared(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "pandar64", sequences=1, config={"sensor": "ours.yaml"})
    write_table(path / "ours.yaml", "pandar64")
    found = inspect(path)
    assert [finding for finding in found.findings if finding.kind == "sensor"] == []
    assert yaml.safe_load(suggest(path, found))["sensor"] == "ours.yaml"
    assert found.image is not None
    assert found.image.spec.height == 64
    assert found.image.spec.fov_deg == load_sensor("pandar64").edges_deg
    assert "ours.yaml" in [match["sensor"] for match in sensor_matches(path, found)]
    write_table(path / "ours.yaml", "vlp-16", raised_deg=25.0)
    found = inspect(path)
    (finding,) = [finding for finding in found.findings if finding.kind == "sensor"]
    assert finding.severity == ERROR
    assert finding.settings == {"sensor": "pandar64"}


def sensor_matches(path: Path, found: Inspection) -> Any:
    return DatasetReport.of(open_dataset(path), found, find_config(path)[1]).to_json()["geometry"][
        "sensor_matches"
    ]


def test_a_sensor_file_that_is_wrong_is_refused(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", steps=40, config={"sensor": "ours.yaml"})
    with pytest.raises(DataError, match=r"dataset\.yaml:1: `sensor` is 'ours\.yaml': there is no such file"):
        open_dataset(path)
    (path / "ours.yaml").write_text("beams: 64\n")
    with pytest.raises(DataError, match=r"dataset\.yaml:1.*ours\.yaml:1: unknown key 'beams'"):
        open_dataset(path)
    write_table(path / "ours.yaml", "vlp-16")
    table = yaml.safe_load((path / "ours.yaml").read_text())
    for key, value, said in (
        ("height_m", "tall", "`height_m` must be a number"),
        ("returns", 7, "returns must be 1 or 2"),
    ):
        text = yaml.safe_dump({**table, key: value})
        (path / "ours.yaml").write_text(text)
        line = 1 + [line.split(":")[0] for line in text.splitlines()].index(key)
        with pytest.raises(DataError, match=rf"ours\.yaml:{line}: {said}"):
            open_dataset(path)


def test_a_flat_cloud_has_no_image_and_that_is_said(tmp_path: Path) -> None:
    path = write_scenes(
        tmp_path,
        "vlp-16",
        transform=lambda points, _: points * np.array([1.0, 1.0, 0.0]),
        config={"sensor": "flat"},
    )
    found = inspect(path)
    assert found.image is None
    assert "The field of view of the sensor 'flat' is not known" in found.image_problem
    assert draw_dataset(open_dataset(path), found).startswith(b"\x89PNG")


def test_a_part_of_a_turn_is_only_noted(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, transform=lambda points, _: np.where(points[:, :1] > 0, points, 0.0))
    found = inspect(path)
    assert severe(found) == set()
    assert [finding.kind for finding in found.findings] == ["coverage"]
    assert found.geometry is not None
    assert found.geometry.azimuth_coverage == pytest.approx(0.5, abs=0.03)


def test_a_height_that_is_not_as_stated_is_a_warning(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", config={"sensor_height_m": 2.6})
    found = inspect(path)
    assert severe(found) == {"height"}
    assert found.is_usable
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert severe(inspect(path)) == set()


@pytest.mark.parametrize(
    ("stated", "factor", "wanted"), [([0, 255], 1.0, [0.0, 1.0]), (None, 255.0, [0.0, 255.0])]
)
def test_intensities_of_another_unit_are_found_and_mended(
    stated: list[float] | None, factor: float, wanted: list[float], tmp_path: Path
) -> None:
    config: dict[str, Any] = {} if stated is None else {"intensity_range": stated}
    path = write_scenes(
        tmp_path, "vlp-16", intensity=lambda points: factor * np.linspace(0, 1, len(points)), config=config
    )
    found = inspect(path)
    (finding,) = [finding for finding in found.findings if finding.kind == "intensity-range"]
    assert (finding.severity, finding.settings) == (ERROR, {"intensity_range": wanted})
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert severe(inspect(path)) == set()


def test_constant_intensity_ignored_labels_and_copies_are_found(tmp_path: Path) -> None:
    path = write_scenes(
        tmp_path, "vlp-16", intensity=lambda points: np.full(len(points), 0.5), labels=np.zeros_like
    )
    sequence = path / "sequences" / "00" / "velodyne"
    shutil.copy(sequence / "000000.bin", path / "sequences" / "01" / "velodyne" / "000009.bin")
    shutil.copy(
        path / "sequences" / "00" / "labels" / "000000.label",
        path / "sequences" / "01" / "labels" / "000009.label",
    )
    found = inspect(path)
    assert severe(found) == {"constant-intensity", "labels", "duplicates"}
    assert found.facts.duplicates == [("01/000009", "00/000000")]
    one_class = write_scenes(tmp_path / "one", "vlp-16", labels=lambda raw: np.full_like(raw, 40))
    assert severe(inspect(one_class)) == {"labels"}


def test_what_the_image_loses_is_counted(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", steps=500)
    image = inspect(path).image
    assert image is not None
    assert image.spec.height == 16
    assert (image.num_above, image.num_below, image.scans_of_method) == (0, 0, {"ring": 4})
    assert image.kept_share is not None
    assert image.kept_share > 0.99
    assert image.oracle_miou is not None
    assert image.oracle_miou > 0.97
    wrong = write_scenes(tmp_path / "wrong", "vlp-16", steps=500, config={"sensor": "hdl-64e"})
    image = inspect(wrong).image
    assert image is not None
    assert image.outside_share is not None
    assert image.num_above > 0.2 * image.num_points
    assert image.outside_share == pytest.approx(image.num_above / image.num_points)
    narrow = inspect_source(open_dataset(path), width=256).image
    assert narrow is not None
    assert narrow.kept_share is not None
    assert narrow.kept_share < 0.6


def test_the_number_of_scans_in_detail_is_bounded() -> None:
    for count in (1, 2, 3, 9, 40_000):
        files = tuple(ScanFiles(str(number), "00", "", None) for number in range(count))
        chosen = scans_in_detail(files)
        assert 1 <= len(chosen) <= 8
        assert chosen <= set(range(count))


def test_too_few_points_tell_nothing(tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, "vlp-16", steps=40))
    assert found.geometry is None
    assert severe(found) == set()


def test_a_suggestion_keeps_what_was_stated(tmp_path: Path) -> None:
    config = {"name": "ours", "splits": {"train": ["00"], "val": ["01"]}, "label_map": "merged-8"}
    path = write_scenes(tmp_path, transform=stored_as(Coordinates(unit_m=0.001)), config=config)
    content = yaml.safe_load(suggest(path, inspect(path)))
    assert {key: content[key] for key in config} == config
    assert content["unit_m"] == 0.001


def test_real_scans_of_an_hdl_64e_have_no_findings(real_lidar: Path) -> None:
    found = inspect(real_lidar)
    assert severe(found) == set()


@pytest.mark.skipif(not PANDASET.is_dir(), reason="no PandaSet scans beside the checkout")
def test_real_scans_of_a_pandar64_are_recognised_and_mended(tmp_path: Path) -> None:
    shutil.copytree(PANDASET, tmp_path / "scans")
    description = {
        "label_map": "label_map.yaml",
        "labels": "sequences/{sequence}/labels/{scan}.label",
        "intensity_range": [0, 255],
    }
    path = tmp_path / "scans"
    (path / "dataset.yaml").write_text(yaml.safe_dump(description))
    found = inspect(path)
    # They are in the frame of the vehicle and were corrected for its motion.
    assert severe(found) == {"sensor", "beams"}
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert open_dataset(path).sensor == "pandar64"
    assert severe(inspect(path)) & GEOMETRIC == set()


def test_numbers_in_another_byte_order_are_no_intensities(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-30, 30, (5000, 3)), rng.uniform(0, 1, 5000)]
    (tmp_path / "a.bin").write_bytes(points.astype(">f4").tobytes())
    (tmp_path / "dataset.yaml").write_text("scans: '{scan}.bin'\nintensity_range: [0, 1]\n")
    _, found = inspect_as_stored(open_dataset(tmp_path), width=256)
    assert not found.num_scans
    assert all("intensity_range" not in finding.settings for finding in found.findings)


@pytest.mark.parametrize("sign", [1, -1])
def test_scans_that_are_mirrored_by_their_times_are_found(sign: int, tmp_path: Path) -> None:
    """A VLP-16 turns clockwise; each file holds its points in no order."""
    for number in range(2):
        points, _, _ = scan_of_scene(load_sensor("vlp-16"), seed=number)
        time = (np.arctan2(-points[:, 1], points[:, 0]) % (2 * np.pi)) / (20 * np.pi)
        values = np.column_stack([points * [1, sign, 1], np.full(len(points), 0.5), time]).astype("<f4")
        np.random.default_rng(number).shuffle(values)
        (tmp_path / f"{number}.bin").write_bytes(values.tobytes())
    (tmp_path / "dataset.yaml").write_text(
        "{sensor: vlp-16, scans: '{scan}.bin', format_options: {columns: [x, y, z, intensity, t]}}"
    )
    found = {finding.kind: finding for finding in inspect(tmp_path).findings}
    assert ("mirrored" in found) == (sign < 0)
    if sign < 0:
        assert "turns left (seen from above), but a vlp-16 turns clockwise" in found["mirrored"].message


def test_real_scans_of_an_hdl_32e_need_no_rings(tmp_path: Path) -> None:
    """Its rings are told as the files are read; a decimetre beside, there seem to be two more."""
    paths = sorted((PANDASET.parent / "hdl32e").glob("sequences/*/velodyne/*.bin"))[:4]
    if not paths:
        pytest.skip("no scans of an HDL-32E beside the checkout")
    for path in paths:
        values = np.fromfile(path, "<f4").reshape(-1, 5)[:, :4]
        (tmp_path / path.name).write_bytes(values.tobytes())
    (tmp_path / "dataset.yaml").write_text(
        "{sensor: hdl-32e, scans: '{scan}.bin', intensity_range: [0, 255]}"
    )
    found = inspect(tmp_path)
    assert severe(found) == set()
    assert found.geometry is not None
    assert len(found.geometry.beams_deg) == 32


@pytest.mark.parametrize(
    ("kept", "second_returns", "width", "is_found"),
    [(0.61, 0.0, 2048, True), (0.88, 0.0, 2048, False), (0.49, 0.5, 2048, False), (0.45, 0.0, 1024, False)],
)
def test_points_that_share_pixels_are_found_unless_the_image_is_narrow_or_they_are_second_returns(
    kept: float, second_returns: float, width: int, is_found: bool, tmp_path: Path
) -> None:
    """One and a half HDL-64E in one cloud keep 61 %, one keeps 91 %."""
    source = open_dataset(write_scenes(tmp_path, "hdl-64e", steps=40))
    facts = ContentFacts(second_return_share=second_returns, points_per_scan=185_000 * (1 + second_returns))
    image = ImageLoss(ProjectionSpec(64, width, "ring", 2.0, -25.0), 19)
    image.num_points, image.num_kept = 100_000, round(kept * 100_000)
    found = list(image_findings(source, facts, image))
    assert len(found) == is_found
    if found:
        assert "Only 61% of the points keep a pixel" in found[0].message
        assert "A scan has 185,000 points, but one turn of this sensor 133,312 firings" in found[0].message
    assert not list(image_findings(source, facts, None))


@pytest.mark.parametrize(("unit_m", "stated"), [(1000.0, "kilometres"), (60.0, ""), (1e-6, "")])
def test_no_unit_that_makes_distances_implausible_passes(unit_m: float, stated: str, tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", steps=500, transform=stored_as(Coordinates(unit_m=unit_m)))
    found = {finding.kind: finding for finding in inspect(path).findings}
    assert found["unit"].severity == ERROR
    assert stated in found["unit"].message


def test_a_place_that_is_hardly_known_without_the_ground_is_no_error() -> None:
    source = open_dataset_of("vlp-16")
    geometry = moving_geometry(below_deg=-12.0)
    assert [one.severity for one in _of_origin(source, geometry)] == [ERROR]
    (finding,) = _of_origin(source, moving_geometry(below_deg=-1.0))
    assert (finding.kind, finding.severity) == ("world-frame", "warning")
    assert "the ground was cropped off" in finding.message
    (finding,) = _of_origin(source, replace(moving_geometry(below_deg=-1.0), is_far=True))
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
