"""Mistakes in data sets are found, the remedy mends them, and right data sets have none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.reading import ScanFiles
from hwnas.data.inspection.dataset_pictures import draw_dataset
from hwnas.data.inspection.findings.finding import ERROR, ContentFacts
from hwnas.data.inspection.findings.image import image_findings
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.data.inspection.inspection import inspect_source, scans_in_detail
from hwnas.data.inspection.rereading import inspect_as_stored
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.sensors import load_sensor
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.findings.inspected import inspect, severe, stored_as, suggest
from tests.data.scenes import scan_of_scene, write_scenes

GEOMETRIC = {"axes", "heading", "unit", "origin", "world-frame", "merged", "sensor", "precision", "height"}
PANDASET = Path(__file__).parents[4] / "shared" / "data" / "pandaset"


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
    assert "coverage" in {finding.kind for finding in found.findings}
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


def test_classes_that_a_split_does_not_show_are_named(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16")
    (path / "map.yaml").write_text(
        "name: own\nclasses:\n  - {name: ground, raw_ids: [40]}\n  - {name: post, raw_ids: [80]}\n"
        "  - {name: kerb, raw_ids: [48]}\n  - {name: tram, raw_ids: [16]}\nignored_raw_ids: [0]\n"
    )
    config = yaml.safe_load((path / "dataset.yaml").read_text())
    (path / "dataset.yaml").write_text(yaml.safe_dump({**config, "label_map": "map.yaml"}))
    of_sequence = {"00": [40, 48], "01": [40, 80]}
    for sequence, ids in of_sequence.items():
        for labels in (path / "sequences" / sequence / "labels").iterdir():
            count = len(np.fromfile(labels, np.uint32))
            np.resize(np.asarray(ids, np.uint32), count).tofile(labels)
    splits = open_dataset(path).sequences_of
    assert (splits["train"], splits["val"]) == (("00",), ("01",))
    found = {finding.kind: finding for finding in inspect(path).findings}
    untrained, unvalidated = found["classes-without-training"], found["classes-without-validation"]
    assert untrained.severity == "note"
    assert "no point of post, tram: no network learns" in untrained.message
    assert "those in the validation split lower the mIoU" in untrained.message
    assert unvalidated.severity == "note"
    assert "no point of kerb, tram: the mIoU is the mean over the other classes" in unvalidated.message


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


@pytest.mark.parametrize("sensor", ["hdl-64e", "hdl-32e", "pandar64"])
@pytest.mark.parametrize("frame", ["x y z", "x -y z", "-x -y z"])
def test_scans_that_are_mirrored_by_the_order_of_their_points_are_found(
    sensor: str, frame: str, tmp_path: Path
) -> None:
    """Files that are read in other axes than they are in: a mirror image, or one turned around."""
    path = write_scenes(tmp_path, sensor, config={"frame": frame})
    found = {finding.kind: finding for finding in inspect(path).findings}
    assert ("mirrored" in found) == (frame == "x -y z")
    if "mirrored" in found:
        assert "By the order of its points" in found["mirrored"].message
        assert "or if its points were sorted" in found["mirrored"].remedy


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
