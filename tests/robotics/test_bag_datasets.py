"""Bags as data sets: scans of topics, labels of segmented bags; `data info` and `infer` take them."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import hwnas
from hwnas.cli.main import make_app
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.scan_files.containers import ContainerFormat, format_of_container
from hwnas.errors import DataError
from hwnas.plugins import load_plugin
from hwnas.robotics import CloudHeader, ReplayOptions, bag_format, cloud_of_columns, replay
from hwnas.robotics.bag_format import read_rosbag
from tests.bundle.small_lidar import CLASSES, make_scan
from tests.robotics.bags import (
    START_NS,
    STEP_NS,
    TOPIC,
    TYPE_NAME,
    Item,
    cloud_bytes,
    lidar_cloud,
    lidar_items,
    text_item,
    write_bag,
)

CLASS_FILE = """
name: heights
ignored_raw_ids: [255]
classes:
  - {name: ground, raw_ids: [0]}
  - {name: low, raw_ids: [1]}
  - {name: high, raw_ids: [2]}
"""
BASE = "sensor: unknown\nintensity_range: [0, 255]\nlabel_map: classes.yaml\n"


def name_of(seed: int) -> str:
    return str(START_NS + seed * STEP_NS + 3_000_000)


def label_item(seed: int, *, delay_ns: int = 0, **columns: Any) -> Item:
    """A cloud with the labels of a scan, recorded later than it, but with its stamp."""
    points, _, labels = make_scan(seed)
    named = {"x": points[:, 0], "y": points[:, 1], "z": points[:, 2], **(columns or {"class_id": labels})}
    cloud = cloud_of_columns(named, CloudHeader(lidar_cloud(seed).stamp_ns, "top_lidar"))
    return "/labels", TYPE_NAME, START_NS + seed * STEP_NS + 3_000_000 + delay_ns, cloud_bytes(cloud)


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Two drives with labels of their own: `01` as MCAP with all labels, `02` as SQLite without the last."""
    directory = tmp_path / "drives"
    directory.mkdir()
    write_bag(directory / "01.mcap", lidar_items((0, 1, 2, 3)))
    write_bag(directory / "01_labels.mcap", [label_item(seed, delay_ns=40_000_000) for seed in (0, 1, 2, 3)])
    write_bag(directory / "02.mcap", lidar_items((10, 11)))
    write_bag(directory / "02_labels.mcap", [label_item(10)])
    (directory / "classes.yaml").write_text(CLASS_FILE)
    (directory / "dataset.yaml").write_text(
        BASE
        + 'scans: "{sequence}.mcap"\nlabels: "{sequence}_labels.mcap"\nsplits: {train: ["01"], val: ["02"]}\n'
    )
    return directory


def test_scans_and_labels_are_those_of_the_bags(drives: Path) -> None:
    source = open_dataset(drives)
    assert source.format == "rosbag"
    assert source.all_scans.ids == tuple(
        f"{sequence}/{name_of(seed)}"
        for sequence, seeds in (("01", range(4)), ("02", (10, 11)))
        for seed in seeds
    )
    train = source.split("train")
    for seed in (3, 0, 2, 1):
        points, intensity, labels = make_scan(seed)
        scan = train[seed]
        np.testing.assert_array_equal(scan.points, points)
        np.testing.assert_allclose(scan.remission, intensity / 255, rtol=1e-6)
        np.testing.assert_array_equal(scan.labels, labels)
    with pytest.raises(DataError, match=r"1 of the 2 scans of the split 'val' have no labels"):
        source.split("val")
    before = source.all_scans.fingerprint()
    assert open_dataset(drives).all_scans.fingerprint() == before
    write_bag(drives / "new.mcap", [label_item(10), label_item(11)])
    (drives / "new.mcap").replace(drives / "02_labels.mcap")
    mended = open_dataset(drives)
    assert mended.all_scans.fingerprint() != before
    assert len(mended.split("val")) == 2


def test_options_choose_scans(drives: Path) -> None:
    def ids(options: str) -> list[int]:
        text = BASE + f"scans: [{{points: 01.mcap, sequence: a}}]\nformat_options: {{{options}}}\n"
        (drives / "dataset.yaml").write_text(text)
        return [
            (int(one.rpartition("/")[2]) - START_NS) // STEP_NS for one in open_dataset(drives).all_scans.ids
        ]

    assert ids("every: 2") == [0, 2]
    assert ids("start_s: 0.1") == [1, 2, 3]
    assert ids("start_s: 0.1, end_s: 0.3") == [1, 2]
    assert ids("start_s: 0.1, every: 2") == [1, 3]
    assert ids(f"topic: {TOPIC}") == [0, 1, 2, 3]
    for options, words in (
        ("every: 0", "a whole number from 1"),
        ("every: 1.5", "a whole number from 1"),
        ("start_s: -1", "expected seconds"),
        ("end_s: soon", "expected seconds"),
        ("start_s: 2, end_s: 1", "expected more than start_s"),
        ("start_s: 5", r"no scan from 5 to inf s: its 4 scans on '/lidar/points' take 0\.3 s"),
        ("topic: /other", "has no topic '/other'"),
        ("topic: 3", "expected a name"),
        ("topics: /a", "Unknown key 'topics' in format_options of a rosbag"),
        ("label_ids: train", "expected raw or classes"),
        ("time_unit: h", "expected one of"),
    ):
        with pytest.raises(DataError, match=words):
            ids(options)


def test_a_replayed_bag_labels_the_bag_that_it_came_from(bundle: Path, tmp_path: Path) -> None:
    """Pseudo-labels: what a bundle says of scans, as labels of the same scans."""
    bag = write_bag(tmp_path / "drive.bag", lidar_items((0, 1), ros1=True))
    replay(bag, bundle, tmp_path / "segmented.mcap", ReplayOptions(visualization=True))
    (tmp_path / "classes.yaml").write_text(CLASS_FILE.replace("[255]", "[0]").replace("[0]}", "[40]}"))
    (tmp_path / "dataset.yaml").write_text(
        BASE + "scans: [{points: drive.bag, labels: segmented.mcap, sequence: a}]\nformat: rosbag\n"
        "format_options: {label_ids: classes}\n"
    )
    scans = open_dataset(tmp_path).all_scans
    runner = hwnas.Bundle(bundle).runner()
    for seed in (0, 1):
        points, intensity, _ = make_scan(seed)
        np.testing.assert_array_equal(scans[seed].labels, runner.label(points, intensity))
    (tmp_path / "classes.yaml").write_text(CLASS_FILE.replace("  - {name: high, raw_ids: [2]}\n", ""))
    with pytest.raises(DataError, match="class 2 is none of the 2 of heights"):
        _ = open_dataset(tmp_path).all_scans[0]


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "a.mcap", lidar_items((0,)))
    scan, labels = bag / name_of(0), tmp_path / "labels.mcap"
    num_points = len(make_scan(0)[0])
    for items, options, words in (
        ([label_item(1)], {}, "0 clouds on '/labels' with the stamp"),
        ([label_item(0), label_item(0, delay_ns=5)], {}, "2 clouds on '/labels' with the stamp"),
        ([label_item(0, power=np.zeros(num_points, np.uint8))], {}, "no field with labels"),
        ([label_item(0)], {"label_field": "kind"}, r"looked for kind.*Name it: `label_field`"),
        ([label_item(0, kind=np.zeros(num_points, "f4"))], {"label_field": "kind"}, "expected whole numbers"),
        ([label_item(0, kind=np.full(num_points, -1, "i2"))], {"label_field": "kind"}, "none negative"),
    ):
        labels.unlink(missing_ok=True)
        write_bag(labels, items)
        with pytest.raises(DataError, match=words):
            read_rosbag.labels_of(scan, labels, options)
    labels.unlink()
    write_bag(labels, [label_item(0, kind=np.arange(num_points, dtype="u2"))])
    found = read_rosbag.labels_of(scan, labels, {"label_field": "kind"})
    assert (found.ids.tolist(), found.are_classes) == (list(range(num_points)), False)


def test_embedded_labels_and_other_fields(tmp_path: Path) -> None:
    points, intensity, labels = make_scan(0)
    columns = {
        "x": points[:, 0], "y": points[:, 1], "z": points[:, 2],
        "power": (intensity / 255).astype("f4"), "label": labels.astype("u2"), "channel": np.zeros(len(points), "u2"),
    }  # fmt: skip
    cloud = cloud_of_columns(columns, CloudHeader(START_NS))
    write_bag(tmp_path / "a.mcap", [(TOPIC, TYPE_NAME, START_NS, cloud_bytes(cloud))])
    (tmp_path / "classes.yaml").write_text(CLASS_FILE)
    (tmp_path / "dataset.yaml").write_text(
        BASE
        + 'scans: "{scan}.mcap"\nlabels: embedded\nformat_options: {intensity: power, intensity_scale: 255}\n'
    )
    (scan,) = open_dataset(tmp_path).all_scans
    assert scan.id == f"a/{START_NS}"
    np.testing.assert_array_equal(scan.labels, labels)
    np.testing.assert_allclose(scan.remission, intensity / 255, atol=1e-6)
    assert scan.ring is not None


def test_embedded_labels_are_those_that_are_named(tmp_path: Path) -> None:
    points, intensity, labels = make_scan(0)
    columns = {axis: points[:, place] for place, axis in enumerate("xyz")}
    columns |= {"intensity": intensity, "label": labels.astype("u2"), "kind": (2 - labels).astype("u1")}
    cloud = cloud_of_columns(columns, CloudHeader(START_NS))
    write_bag(tmp_path / "a.mcap", [(TOPIC, TYPE_NAME, START_NS, cloud_bytes(cloud))])
    (tmp_path / "classes.yaml").write_text(
        "name: heights\nignored_raw_ids: [255]\nclasses:\n  - {name: ground, raw_ids: [2]}\n"
        "  - {name: low, raw_ids: [1]}\n  - {name: high, raw_ids: [0]}\n"
    )

    def read(options: str) -> np.ndarray:
        (tmp_path / "dataset.yaml").write_text(
            f'{BASE}scans: "{{scan}}.mcap"\nlabels: embedded\nformat_options: {{{options}}}\n'
        )
        found = open_dataset(tmp_path).all_scans[0].labels
        assert found is not None
        return found

    np.testing.assert_array_equal(read("label_field: kind"), labels)
    np.testing.assert_array_equal(read("label_ids: classes"), labels)
    np.testing.assert_array_equal(read("label_ids: raw"), 2 - labels)
    with pytest.raises(DataError, match=r"no field 'label'.*which format_options"):
        read("label_field: kindd")


def test_clouds_recorded_at_one_time_are_told_apart(tmp_path: Path) -> None:
    first, second = (cloud_bytes(lidar_cloud(seed)) for seed in (0, 1))
    bag = write_bag(tmp_path / "a.mcap", [(TOPIC, TYPE_NAME, START_NS, one) for one in (first, second)])
    names = [one.name for one in read_rosbag.scans_in(bag, {})]
    assert names == [f"{START_NS}", f"{START_NS}-2"]
    for seed, name in enumerate(names):
        np.testing.assert_array_equal(read_rosbag(bag / name, {}).points, make_scan(seed)[0])
    for wrong in (
        "123",
        f"{START_NS}-3",
        "first",
        "-1",
        f"{START_NS}-0",
        f"{START_NS}-{10**30}",
        f"{START_NS}-x",
        "9" * 20,
    ):
        with pytest.raises(DataError, match="has no scan"):
            read_rosbag(bag / wrong, {})
    with pytest.raises(DataError, match="is a bag with 2 scans; name one"):
        read_rosbag(bag, {})
    with pytest.raises(DataError, match="There is no bag"):
        read_rosbag(tmp_path / "missing.mcap", {})


def first_point(path: str) -> float:
    return float(read_rosbag(Path(path), {}).points[0, 0])


def test_threads_and_forked_processes_read_the_same(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "a.mcap", lidar_items(range(4)))
    paths = [str(bag / one.name) for one in read_rosbag.scans_in(bag, {})] * 5
    expected = [float(make_scan(seed)[0][0, 0]) for seed in range(4)] * 5
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(first_point, paths)) == expected
    with multiprocessing.get_context("fork").Pool(2) as processes:
        assert processes.map(first_point, paths) == expected


def test_info_takes_a_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive.mcap", [*lidar_items((0, 1)), text_item("n", START_NS)])
    suggested = tmp_path / "dataset.yaml"
    done = CliRunner().invoke(
        make_app(), ["data", "info", str(bag), "--json", "--suggest", "--out", str(suggested)]
    )
    report = json.loads(done.stdout)
    assert (report["scans"], report["unlabelled_scans"]) == (2, 2)
    assert report["points"] == 2 * len(make_scan(0)[0])
    assert "intensity-range" in {one["kind"] for one in report["findings"]}  # nobody stated one
    assert "format: rosbag" in suggested.read_text()
    assert len(open_dataset(tmp_path).all_scans) == 2


def test_a_directory_of_rosbag2_is_a_data_set(tmp_path: Path) -> None:
    source = open_dataset(write_bag(tmp_path / "drive", lidar_items((0, 1))))
    assert (source.name, source.format, source.sensor) == ("drive", "rosbag", "unknown")
    assert source.all_scans.ids == (f"drive/{name_of(0)}", f"drive/{name_of(1)}")
    assert len(source.all_scans.reader.read_raw(source.all_scans.files[1]).points) == len(make_scan(1)[0])


def test_a_real_scan_is_the_same_from_a_bag(real_lidar: Path, tmp_path: Path) -> None:
    scan = open_dataset(real_lidar).all_scans[0]
    columns = {"x": scan.points[:, 0], "y": scan.points[:, 1], "z": scan.points[:, 2], "i": scan.remission}
    cloud = cloud_of_columns(columns, CloudHeader(START_NS, "velodyne"))
    bag = write_bag(tmp_path / "drive.mcap", [(TOPIC, TYPE_NAME, START_NS, cloud_bytes(cloud))])
    (found,) = open_dataset(bag).all_scans
    np.testing.assert_array_equal(found.points, scan.points)
    np.testing.assert_array_equal(found.remission, scan.remission)


def test_info_says_what_is_wrong_with_a_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive.mcap", lidar_items((0, 1)))
    bag.write_bytes(bag.read_bytes()[:-9])
    done = CliRunner().invoke(make_app(), ["data", "info", str(bag)])
    assert isinstance(done.exception, DataError)
    assert "cut off" in str(done.exception)
    bag = write_bag(tmp_path / "text.mcap", [text_item("n", START_NS)])
    done = CliRunner().invoke(make_app(), ["data", "info", str(bag)])
    assert "holds no sensor_msgs/msg/PointCloud2" in str(done.exception)


def test_infer_takes_bags(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    bags = [
        write_bag(data / "a.mcap", lidar_items((0, 1))),
        write_bag(data / "deep" / "b.bag", lidar_items((2,), ros1=True)),
        write_bag(tmp_path / "c", lidar_items((0,))),
    ]
    broken = write_bag(data / "deep" / "d.db3", [text_item("n", START_NS)])
    found = hwnas.Bundle(bundle).infer([data, bags[2]], tmp_path / "out", ids="train")
    runner = hwnas.Bundle(bundle).runner()
    assert len(found.files) == 4
    for seed, place in ((0, "a"), (1, "a"), (2, "deep/b"), (0, "c")):
        points, intensity, _ = make_scan(seed)
        labels = np.fromfile(tmp_path / "out" / place / f"{name_of(seed)}.label", np.uint32)
        np.testing.assert_array_equal(labels, runner.label(points, intensity))
    assert [problem.path for problem in found.problems] == [broken]
    assert "holds no sensor_msgs" in found.problems[0].message
    done = CliRunner().invoke(make_app(), ["infer", str(bundle), str(bags[0]), "-o", str(tmp_path / "one")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "one" / "a").iterdir()) == [
        f"{name_of(seed)}.label" for seed in (0, 1)
    ]
    options = "{topic: /lidar/points, every: 2}"
    done = CliRunner().invoke(
        make_app(),
        ["infer", str(bundle), str(bags[0]), "-o", str(tmp_path / "two"), "--format-options", options],
    )
    assert [path.name for path in (tmp_path / "two" / "a").iterdir()] == [f"{name_of(0)}.label"]


def test_only_metadata_of_a_bag_makes_a_directory_one(bundle: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "metadata.yaml").write_text("sensor: HDL-32E\n")
    points, intensity, _ = make_scan(0)
    np.hstack([points, intensity[:, None]]).astype("<f4").tofile(scans / "0.bin")
    assert format_of_container(scans) is None
    done = CliRunner().invoke(make_app(), ["infer", str(bundle), str(scans), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.label"]


def test_infer_says_that_a_directory_of_rosbag2_is_damaged(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", lidar_items((0,)))
    (stored,) = bag.glob("*.mcap")
    stored.write_bytes(stored.read_bytes()[:-9])
    for name in ("drive", "drive.bin"):  # whatever its name ends in
        place = bag.rename(tmp_path / name)
        bag = place
        found = hwnas.Bundle(bundle).infer(place, tmp_path / "out")
        assert [problem.path for problem in found.problems] == [place]
        assert f"The bag {place} cannot be read" in found.problems[0].message


def test_a_bag_that_changed_is_read_again(tmp_path: Path) -> None:
    for name in ("a.mcap", "b"):
        bag = write_bag(tmp_path / name, lidar_items((0,)))
        assert len(read_rosbag.scans_in(bag, {})) == 1
        new = write_bag(tmp_path / f"new_{name}", lidar_items((0, 1)))
        if bag.is_dir():  # its own time of change and size stay
            (bag / "b.mcap").write_bytes((new / "new_b.mcap").read_bytes())
        else:
            new.replace(bag)
        assert len(read_rosbag.scans_in(bag, {})) == 2
        assert [key.path for key, _ in bag_format._open.recorded].count(str(bag)) == 1
        assert [key.path for key in bag_format._open.bags].count(str(bag)) == 1


def test_infer_reads_bags_as_their_dataset_yaml_says(bundle: Path, drives: Path, tmp_path: Path) -> None:
    text = (drives / "dataset.yaml").read_text()
    (drives / "dataset.yaml").write_text(text + "format_options: {every: 3}\n")
    for name in ("01_labels.mcap", "02_labels.mcap"):
        (drives / name).unlink()
    found = hwnas.Bundle(bundle).infer(drives, tmp_path / "out", ids="train")
    assert [file.path.name for file in found.files] == [name_of(0), name_of(3), name_of(10)]


def test_the_format_is_registered_as_others_are() -> None:
    for name in ("rosbag", "mcap", "db3", "bag"):
        assert load_plugin("hwnas.data_formats", name) is read_rosbag
    assert isinstance(read_rosbag, ContainerFormat)
    assert not isinstance(load_plugin("hwnas.data_formats", "bin"), ContainerFormat)


def test_what_is_a_container(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "a.mcap", [])
    directory = write_bag(tmp_path / "b", [])
    (tmp_path / "scan.bin").touch()
    assert format_of_container(bag) == "rosbag"
    assert format_of_container(directory) == "rosbag"
    for other in (tmp_path, tmp_path / "scan.bin", tmp_path / "missing.mcap"):
        assert format_of_container(other) is None
    assert len(CLASSES) == 3
