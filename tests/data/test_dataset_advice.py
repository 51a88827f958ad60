"""Errors of data sets say what to write into `dataset.yaml`; what they show can be opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.errors import DataError
from tests.data.clouds import ring_ordered_cloud, write_dataset

DOCS = Path(__file__).parents[2] / "docs/reference/dataset-yaml.md"


def write_bin(path: Path) -> None:
    points, _ = ring_ordered_cloud(16, 60)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.column_stack([points, np.zeros(len(points))]).astype("<f4").tofile(path)


def write_pcd(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("FIELDS x y z intensity\nWIDTH 2\nDATA ascii\n1 2 3 0\n4 5 6 1\n")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a.pcd", "b.pcd", "c.pcd"], '"{scan}.pcd"'),
        (["lidar/a.bin", "lidar/b.bin", "notes.txt"], '"lidar/{scan}.bin"'),
        (["one/lidar/0.bin", "two/lidar/0.bin"], '"{sequence}/lidar/{scan}.bin"'),
        (["one/lidar/0.pcd", "one/radar/0.pcd", "two/lidar/0.pcd"], '"{sequence}/lidar/{scan}.pcd"'),
    ],
)
def test_a_directory_of_scans_gets_a_dataset_yaml_that_opens_it(
    tmp_path: Path, names: list[str], pattern: str
) -> None:
    for name in names:
        (write_pcd if name.endswith(".pcd") else write_bin)(tmp_path / name)
    with pytest.raises(DataError, match="is not a data set") as refused:
        open_dataset(tmp_path)
    text = str(refused.value)
    assert "docs/reference/dataset-yaml.md" in text
    _, config, _ = text.split("\n\n")
    assert f"scans: {pattern}" in config
    (tmp_path / "dataset.yaml").write_text(config)
    source = open_dataset(tmp_path)
    assert len(source.all_scans) == sum("notes" not in name and "radar" not in name for name in names)
    assert len(source.all_scans[0]) > 0


def test_labels_are_found_too(tmp_path: Path) -> None:
    for sequence in ("a", "b"):
        write_bin(tmp_path / sequence / "points" / "0.bin")
        (tmp_path / sequence / "labels").mkdir()
        np.full(960, 40, "<u4").tofile(tmp_path / sequence / "labels" / "0.label")
    with pytest.raises(DataError) as refused:
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text(str(refused.value).split("\n\n")[1])
    assert open_dataset(tmp_path).splits == ("train", "val")


def test_a_directory_without_scans_points_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"docs/reference/dataset-yaml\.md says how to describe scans"):
        open_dataset(tmp_path)
    assert DOCS.is_file()


@pytest.mark.parametrize(
    ("scans", "example"),
    [
        ("lidar/*.bin", "lidar/{scan}.bin"),
        ("lidar", "{scan}.bin"),
        ("a/000.pcd", "a/{scan}.pcd"),
        ("{sequence}/0.npy", "{sequence}/{scan}.npy"),
    ],
)
def test_a_pattern_without_scan_gets_an_example(tmp_path: Path, scans: str, example: str) -> None:
    (tmp_path / "dataset.yaml").write_text(f"scans: '{scans}'")
    with pytest.raises(DataError, match=r"such as '.*docs/reference/dataset-yaml\.md") as refused:
        open_dataset(tmp_path)
    assert example in str(refused.value)


def test_scans_named_as_sequences_are_explained(tmp_path: Path) -> None:
    for name in ("000", "001"):
        write_bin(tmp_path / f"{name}.bin")
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.bin', splits: {train: ['000']}}")
    with pytest.raises(DataError) as refused:
        open_dataset(tmp_path)
    text = str(refused.value)
    assert "the data set has ['all']. Splits name sequences, not scans." in text
    assert "scans: [{points: 000.bin, labels: 000.label, sequence: a}, ...]" in text
    assert "docs/reference/dataset-yaml.md" in text


def test_a_missing_split_says_what_to_write(tmp_path: Path) -> None:
    one = open_dataset(write_dataset(tmp_path / "one", ("00",)))
    with pytest.raises(
        DataError, match=r"one sequence, '00'. Write {sequence}.*docs/reference/dataset-yaml\.md"
    ):
        one.split("train")
    root = write_dataset(tmp_path / "two", ("00", "01"))
    (root / "dataset.yaml").write_text("splits: {train: [], val: ['01']}")
    with pytest.raises(DataError, match=r"splits: {train: \['00'\], val: \['01'\]}"):
        open_dataset(root).split("train")
    write_bin(tmp_path / "bare" / "0.bin")
    (tmp_path / "bare" / "dataset.yaml").write_text("scans: '{scan}.bin'")
    with pytest.raises(DataError, match="No scan has labels, which train and val need"):
        open_dataset(tmp_path / "bare").split("val")
