"""Opening data sets, splits, and every way in which data can be malformed."""

from __future__ import annotations

import os
import pickle
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwnas.data.datasets import dataset as dataset_module
from hwnas.data.datasets.dataset import DataWarning, open_dataset
from hwnas.data.inspection.inspection import inspect_source
from hwnas.errors import DataError
from tests.data.clouds import ring_ordered_cloud, write_dataset, write_scan


def scan_path(root: Path) -> Path:
    return root / "sequences" / "00" / "velodyne" / "000000.bin"


def label_path(root: Path) -> Path:
    return root / "sequences" / "00" / "labels" / "000000.label"


def change_points(root: Path, row: int, column: int, value: float) -> None:
    values = np.fromfile(scan_path(root), "<f4").reshape(-1, 4)
    values[row, column] = value
    values.tofile(scan_path(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path)


def test_reads_semantickitti(root: Path) -> None:
    source = open_dataset(root)
    assert source.splits == ("train", "val")
    assert (source.sensor, source.frame, source.intensity_range) == ("hdl-64e", "x-forward", (0.0, 1.0))
    train = source.split("train")
    assert train.ids == ("00/000000", "00/000001", "01/000000", "01/000001")
    assert source["val"].ids == ("08/000000", "08/000001")
    scan = train[0]
    points, _ = ring_ordered_cloud(16, 60, seed=0)
    np.testing.assert_array_equal(scan.points, points)
    np.testing.assert_allclose(scan.remission, np.linspace(0, 0.99, len(points)), atol=1e-6)
    assert scan.labels is not None
    assert scan.labels[:4].tolist() == [8, 0, 0, 255]
    assert (scan.points.dtype, scan.remission.dtype, scan.labels.dtype) == (np.float32, np.float32, np.uint8)
    assert scan.ring is None
    assert [scan.id for scan in train[1:3]] == ["00/000001", "01/000000"]


def test_another_label_map(root: Path) -> None:
    scan = open_dataset(root, label_map="merged-8").split("train")[0]
    assert scan.labels is not None
    assert scan.labels[:4].tolist() == [2, 0, 0, 255]


def test_splits_without_sequence_08(tmp_path: Path) -> None:
    source = open_dataset(write_dataset(tmp_path, ("03", "05", "07")))
    assert source.sequences_of == {"train": ("03", "05"), "val": ("07",)}


def test_splits_can_be_chosen(root: Path) -> None:
    assert open_dataset(root, val_sequences=["00"]).sequences_of == {"val": ("00",), "train": ("01", "08")}
    source = open_dataset(root, train_sequences=["08"])
    assert source.sequences_of == {"train": ("08",), "val": ("01",)}
    with pytest.raises(DataError, match="names the sequence '09'"):
        open_dataset(root, val_sequences=["09"])
    with pytest.raises(DataError, match="in the splits"):
        open_dataset(root, train_sequences=["00"], val_sequences=["00"])


def test_unlabelled_sequences_are_the_test_split(root: Path) -> None:
    points, _ = ring_ordered_cloud(16, 60)
    write_scan(root, "11", "000000", points, np.zeros(len(points)), None)
    source = open_dataset(root)
    assert source.sequences_of["test"] == ("11",)
    assert source.split("test")[0].labels is None


def test_one_sequence_has_no_training_split(tmp_path: Path) -> None:
    source = open_dataset(write_dataset(tmp_path, ("00",)))
    assert source.splits == ("val",)
    with pytest.raises(DataError, match="no split 'train'"):
        source.split("train")
    with pytest.raises(KeyError):
        source["train"]


def test_data_sets_travel_to_worker_processes(root: Path) -> None:
    dataset = open_dataset(root).split("val")
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[1].points, dataset[1].points)


def test_fingerprint_follows_content_not_place(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write_dataset(tmp_path_factory.mktemp("elsewhere"))
    first = open_dataset(root).split("train").fingerprint()
    assert open_dataset(elsewhere).split("train").fingerprint() == first
    assert open_dataset(root, label_map="merged-8").split("train").fingerprint() != first
    assert open_dataset(root).split("val").fingerprint() != first
    change_points(root, 5, 0, 1.0)
    assert open_dataset(root).split("train").fingerprint() != first


def test_fingerprint_follows_the_content_of_a_sensor_file(root: Path) -> None:
    """Field of view and beams of the images come from there."""
    table = {"elevation_deg": [2.0, 1.0, 0.0], "azimuth_steps": 1800, "range_min_m": 1, "range_max_m": 100}
    (root / "dataset.yaml").write_text("sensor: ours.yaml\n")

    def fingerprint(**changes: object) -> str:
        content = {"name": "ours", "height_m": 1.7, **table, **changes}
        (root / "ours.yaml").write_text(yaml.safe_dump(content))
        return open_dataset(root).split("train").fingerprint()

    first = fingerprint()
    assert fingerprint(description="of the second car", sensitivity=1e-5) == first
    for field, value in {
        "elevation_deg": [2.0, 1.0, -1.0],
        "field_of_view_deg": [5.0, -5.0],
        "azimuth_offset_deg": [0.0, 1.0, 0.0],
    }.items():
        assert fingerprint(**{field: value}) != first, field
    assert fingerprint() == first


@pytest.mark.parametrize(
    "line",
    [
        "sensor: vlp-16",
        "frame: y-forward",
        "unit_m: 0.5",
        "origin_m: [0, 0, 1]",
        "intensity_range: [0, 2]",
        "format: other",
        "format_options: {columns: [x, y, z, remission], dtype: float32}",
        "label_dtype: int32",
        "label_map: merged-8",
        'splits: {train: ["00"], val: ["01"]}',
    ],
)
def test_fingerprint_follows_how_scans_are_read(
    root: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = dataset_module.load_plugin
    monkeypatch.setattr(
        dataset_module,
        "load_plugin",
        lambda group, name: plugins(group, "bin" if name == "other" else name),
    )
    (root / "dataset.yaml").write_text('splits: {train: ["00", "01"], val: ["08"]}\n')
    first = open_dataset(root).split("train").fingerprint()
    if not line.startswith("splits"):
        line += '\nsplits: {train: ["00", "01"], val: ["08"]}'
    (root / "dataset.yaml").write_text(line + "\n")
    assert open_dataset(root).split("train").fingerprint() != first


# Malformed input ---------------------------------------------------------------------------------


def test_scan_size_not_a_multiple_of_the_record(root: Path) -> None:
    scan_path(root).write_bytes(scan_path(root).read_bytes()[:-3])
    with pytest.raises(
        DataError, match=r"000000.bin has 15357 bytes, which is not a multiple of its record of 16 bytes"
    ):
        open_dataset(root).split("train")[0]


def test_label_size_not_a_multiple_of_the_record(root: Path) -> None:
    label_path(root).write_bytes(label_path(root).read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"000000.label has 3839 bytes, which is not a multiple of its record of 4"
    ):
        open_dataset(root).split("train")[0]


def test_label_count_unlike_point_count(root: Path) -> None:
    label_path(root).write_bytes(label_path(root).read_bytes()[:-8])
    with pytest.raises(DataError, match=r"holds 958 labels, but .*000000.bin holds 960 points"):
        open_dataset(root).split("train")[0]


def test_unknown_label_id(root: Path) -> None:
    labels = np.fromfile(label_path(root), "<u4")
    labels[3] = 123
    labels.tofile(label_path(root))
    with pytest.raises(DataError, match=r"000000.label: Unknown label id: 123 \(1 points\)"):
        open_dataset(root).split("train")[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_not_finite_coordinates_are_dropped_with_a_warning_or_refused(root: Path, value: float) -> None:
    change_points(root, 1, 2, value)
    with pytest.warns(DataWarning, match="00/000000: dropped 1 points"):
        scan = open_dataset(root).split("train")[0]
    assert len(scan) == 959
    assert scan.labels is not None
    assert scan.labels[:3].tolist() == [8, 0, 255]  # the label of the dropped point is gone with it
    assert np.isfinite(scan.points).all()
    with pytest.raises(DataError, match="1 of 960 points have coordinates that are NaN or infinite"):
        open_dataset(root, strict=True).split("train")[0]


def test_points_at_the_origin_are_no_returns(root: Path) -> None:
    for column in range(3):
        change_points(root, 0, column, 0.0)
    scan = open_dataset(root, strict=True).split("train")[0]
    assert len(scan) == 959
    assert scan.labels is not None
    assert scan.labels[0] == 0


@pytest.mark.parametrize("value", [1.5, -0.2, np.nan])
def test_intensity_outside_the_stated_range(root: Path, value: float) -> None:
    change_points(root, 7, 3, value)
    with pytest.raises(DataError, match=r"outside the stated intensity_range \[0, 1\]"):
        open_dataset(root).split("train")[0]


def test_empty_scan(root: Path) -> None:
    scan_path(root).write_bytes(b"")
    label_path(root).write_bytes(b"")
    with pytest.raises(DataError, match=r"000000.bin is empty"):
        open_dataset(root).split("train")[0]


def test_scan_without_any_usable_point(root: Path) -> None:
    np.full((960, 4), np.nan, "<f4").tofile(scan_path(root))
    with pytest.raises(DataError, match="none of its 960 points has a usable position"):
        open_dataset(root).split("train")[0]


def test_missing_label_file(root: Path) -> None:
    label_path(root).unlink()
    source = open_dataset(root)
    with pytest.raises(
        DataError, match=r"1 of the 4 scans of the split 'train'.*labels/000000.label is missing"
    ):
        source.split("train")
    with pytest.raises(DataError, match=r"label file .*000000.label is missing"):
        source.all_scans[0]
    assert len(source.split("val")) == 2


def test_scan_that_vanished(root: Path) -> None:
    dataset = open_dataset(root).split("train")
    scan_path(root).unlink()
    with pytest.raises(DataError, match="There is no scan file"):
        dataset[0]


def test_directory_that_is_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a data set: expected a directory with"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no such directory"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "sequences").mkdir()
    with pytest.raises(DataError, match="holds no scan"):
        open_dataset(tmp_path)


def test_memory_does_not_grow_with_the_number_of_scans(tmp_path: Path) -> None:
    original = write_dataset(tmp_path / "original", ("00",), scans=1)
    peaks = {}
    for num_scans in (50, 500):
        root = tmp_path / str(num_scans)
        for kind, path in (("velodyne", scan_path(original)), ("labels", label_path(original))):
            (root / "sequences" / "00" / kind).mkdir(parents=True)
            for number in range(num_scans):
                (root / "sequences" / "00" / kind / f"{number:06d}{path.suffix}").symlink_to(path)
        scans = open_dataset(root).all_scans
        assert len(scans) == num_scans
        tracemalloc.start()
        assert sum(len(scan) for scan in scans) == 960 * num_scans
        peaks[num_scans] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # The paths of 450 more scans, and not their points: those alone take 16 bytes each.
    assert peaks[500] - peaks[50] < 0.05 * 450 * 960 * 16


def odd_files(root: Path) -> dict[str, str]:
    """Put names that look like scans, and are something else, beside good ones; return what is said of each."""
    velodyne = root / "sequences" / "00" / "velodyne"
    (velodyne / "loop.bin").symlink_to("loop.bin")
    (velodyne / "circle-a.bin").symlink_to("circle-b.bin")
    (velodyne / "circle-b.bin").symlink_to("circle-a.bin")
    (velodyne / "broken.bin").symlink_to("nowhere")
    (velodyne / "directory.bin").mkdir()
    os.mkfifo(velodyne / "pipe.bin")
    (velodyne / "up").symlink_to("../..")
    for name in ("good", *(path.stem for path in velodyne.glob("*.bin"))):
        label = root / "sequences" / "00" / "labels" / f"{name}.label"
        if not label.exists():
            label.write_bytes(label_path(root).read_bytes())
    (velodyne / "good.bin").write_bytes(scan_path(root).read_bytes())
    label = root / "sequences" / "00" / "labels" / "good.label"
    label.unlink()
    os.mkfifo(label)
    return {
        "loop": "Too many levels of symbolic links",
        "circle-a": "Too many levels of symbolic links",
        "circle-b": "Too many levels of symbolic links",
        "broken": "There is no scan file",
        "directory": "it is a directory",
        "pipe": "it is a pipe or device",
        "good": "good.label cannot be read: it is a pipe or device",
    }


def test_odd_files_are_one_problem_each(root: Path) -> None:
    expected = odd_files(root)
    found = inspect_source(open_dataset(root))
    assert found.num_scans == 6
    assert {problem.scan.removeprefix("00/") for problem in found.problems} == set(expected)
    for problem in found.problems:
        assert expected[problem.scan.removeprefix("00/")] in problem.message
    with pytest.raises(DataError, match="cannot be read"):
        open_dataset(root).split("train").fingerprint()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else for a while")
def test_what_may_not_be_read_is_one_problem_each(root: Path) -> None:
    scan_path(root).chmod(0)
    (root / "sequences" / "01" / "labels" / "000001.label").chmod(0)
    write_scan(root, "02", "000000", *(np.ones((5, 3)), np.zeros(5), np.full(5, 40)))
    (root / "sequences" / "02" / "velodyne").chmod(0)
    for directory in (root, *root.parents):
        if directory.stat().st_mode & 0o5 != 0o5 and str(directory).startswith(tempfile.gettempdir()):
            directory.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.warns(DataWarning, match="02/velodyne cannot be listed: Permission denied"):
            source = open_dataset(root)
        found = inspect_source(source)
    finally:
        os.seteuid(0)
    assert [(problem.scan, "Permission denied" in problem.message) for problem in found.problems] == [
        ("sequences/02/velodyne", True), ("00/000000", True), ("01/000001", True),
    ]  # fmt: skip
    assert found.num_scans == 4
