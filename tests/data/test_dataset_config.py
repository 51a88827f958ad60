"""What dataset.yaml may say, and what is said of wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.dataset_config import read_dataset_config
from hwnas.data.label_maps import LABEL_MAP_DIRECTORY
from hwnas.data.scan_files.frames import FRAMES
from hwnas.errors import DataError
from tests.data.clouds import ring_ordered_cloud, write_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path)


def write_own(root: Path, text: str) -> Path:
    (root / "dataset.yaml").write_text(text)
    return root


def write_records(path: Path, dtype: list[tuple[str, str]], **columns: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = np.zeros(len(next(iter(columns.values()))), dtype)
    for name, values in columns.items():
        records[name] = values
    records.tofile(path)


def test_own_binary_format_frame_intensity_and_labels(tmp_path: Path) -> None:
    points, ring = ring_ordered_cloud(16, 60)
    dtype = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("i", "u1"), ("ring", "<u2"), ("skipped", "<f8")]
    for sequence in ("town", "village"):
        write_records(
            tmp_path / "drives" / sequence / "lidar" / "a.bin",
            dtype,
            x=-points[:, 1],  # their x points right
            y=points[:, 0],  # their y points forward
            z=points[:, 2],
            i=np.full(len(points), 51),
            ring=ring,
        )
        labels = tmp_path / "drives" / sequence / "labels" / "a.u8"
        labels.parent.mkdir()
        np.full(len(points), 3, np.uint8).tofile(labels)
    (tmp_path / "classes.yaml").write_text(
        "{name: own, ignored_raw_ids: [0], classes: [{name: tree, raw_ids: [3], color: [0, 128, 0]}]}"
    )
    write_own(
        tmp_path,
        """
        name: ours
        sensor: vlp-16
        frame: y-forward
        scans: drives/{sequence}/lidar/{scan}.bin
        labels: drives/{sequence}/labels/{scan}.u8
        label_dtype: uint8
        label_map: classes.yaml
        format_options: {columns: [x, y, z, {intensity: uint8}, {ring: uint16}, {_: float64}]}
        intensity_range: [0, 255]
        splits: {train: [town], val: [village]}
        """,
    )
    for path in (tmp_path, tmp_path / "dataset.yaml"):
        source = open_dataset(path)
        assert (source.name, source.sensor, source.frame) == ("ours", "vlp-16", "y-forward")
        assert source.sequences_of == {"train": ("town",), "val": ("village",)}
        scan = source.split("train")[0]
        np.testing.assert_array_equal(scan.points, points)
        np.testing.assert_allclose(scan.remission, 0.2, atol=1e-6)
        np.testing.assert_array_equal(scan.ring, ring)
        assert scan.labels is not None
        assert set(scan.labels.tolist()) == {0}


def test_every_frame_convention_can_be_written(tmp_path: Path) -> None:
    for frame in (*FRAMES, "x -y -z", "-y +z x"):
        (tmp_path / "dataset.yaml").write_text(f'frame: "{frame}"')
        assert read_dataset_config(tmp_path / "dataset.yaml").frame == frame


def test_camera_frame(tmp_path: Path) -> None:
    write_records(
        tmp_path / "a.bin", [(n, "<f4") for n in "xyzi"], x=np.ones(1), y=np.full(1, 2.0), z=np.full(1, 3.0)
    )
    write_own(tmp_path, "scans: '{scan}.bin'\nframe: z-forward")
    # right 1, down 2, forward 3
    assert open_dataset(tmp_path).all_scans[0].points.tolist() == [[3.0, -1.0, -2.0]]


def test_list_of_scans_and_embedded_labels(tmp_path: Path) -> None:
    for name in ("one", "two"):
        dtype = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("i", "<f4"), ("label", "<u4")]
        write_records(tmp_path / f"{name}.bin", dtype, x=np.ones(3), label=np.array([10, 40, 0]))
    write_own(
        tmp_path,
        """
        scans: [{points: one.bin, sequence: a}, {points: two.bin, sequence: b}]
        labels: embedded
        format_options: {columns: [x, y, z, intensity, {label: uint32}]}
        """,
    )
    source = open_dataset(tmp_path)
    assert source.sequences_of == {"train": ("a",), "val": ("b",)}
    scan = source.split("val")[0]
    assert scan.id == "b/two"
    assert scan.labels is not None
    assert scan.labels.tolist() == [0, 8, 255]
    write_own(
        tmp_path,
        "scans: [{points: one.bin}]\nlabels: embedded\nformat_options: {columns: [x, y, z, intensity, _]}",
    )
    with pytest.raises(DataError, match="has no field 'label'"):
        open_dataset(tmp_path).all_scans[0]


def test_an_empty_description_means_semantickitti(root: Path) -> None:
    write_own(root, "")
    assert open_dataset(root).split("train").ids == ("00/000000", "00/000001", "01/000000", "01/000001")


def test_splits_of_the_description_yield_to_arguments(root: Path) -> None:
    write_own(root, "splits: {train: ['00'], val: ['01'], test: ['08']}")
    assert open_dataset(root).sequences_of == {"train": ("00",), "val": ("01",), "test": ("08",)}
    assert open_dataset(root, val_sequences=["08"]).sequences_of == {"train": ("00",), "val": ("08",)}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("senzor: a", "Did you mean 'sensor'"),
        ("splits: {vall: ['00']}", "unknown key 'splits.vall'.*Did you mean 'val'"),
        ("scans: [{point: a.bin}]", "Did you mean 'points'"),
        (
            "frame: sideways",
            "dataset.yaml:1: `frame` is 'sideways': the frame is 'sideways'; expected one of x-forward",
        ),
        (
            "splits: {train: [01]}",
            "dataset.yaml:1: `splits.train.0`: '01' without quotes is an octal .* put text in quotes",
        ),
        ("intensity_range: [1, 0]", "the first number must be the smaller"),
        ("intensity_range: [0, .inf]", "finite"),
        ("scans: lidar/*.bin", "must contain {scan}"),
        ("{scans: '{scan}.bin', labels: '{sequence}/{scan}.label'}", "must both contain"),
        ("{scans: [{points: a.bin}], labels: '{scan}.label'}", "give each scan its own labels"),
        ("scans: ../{scan}.bin", "must stay inside"),
        ("scans: nothing/{scan}.bin", "holds no scan"),
        ("label_map: merged9", "Did you mean 'merged-8'"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "not valid YAML"),
        ("schema_version: 2", "schema_version"),
    ],
)
def test_refuses_wrong_descriptions(root: Path, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_dataset(write_own(root, text))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ("{column: [x]}", "Did you mean 'columns'"),
        ("{columns: [x, y, z]}", "no field for 'intensity'"),
        ("{columns: [x, y, z, intensity, intensity]}", "names a column twice"),
        ("{columns: [x, y, z, colour]}", "holds 'colour'"),
        ("{columns: x}", "expected a list"),
        ("{dtype: text}", "not a number type"),
        ("{dtype: S4}", "not a number type"),
    ],
)
def test_refuses_wrong_options_of_binary_files(root: Path, options: str, match: str) -> None:
    write_own(root, f"format_options: {options}")
    with pytest.raises(DataError, match=match):
        open_dataset(root).split("train")[0]


def test_the_same_id_twice(tmp_path: Path) -> None:
    write_own(tmp_path, "scans: [{points: a/x.bin}, {points: b/x.bin}]")
    with pytest.raises(DataError, match="Two scans have the id 'all/x'"):
        open_dataset(tmp_path)


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    import hwnas.data.datasets.dataset_config as module

    assert module.__doc__ is not None
    example = module.__doc__.split("```yaml")[1].split("```")[0]
    (tmp_path / "dataset.yaml").write_text(example)
    assert read_dataset_config(tmp_path / "dataset.yaml").frame == "y-forward"


@pytest.mark.parametrize("dot", ["", "./"])
def test_patterns_and_paths_count_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dot: str
) -> None:
    root = write_dataset(tmp_path / "data")
    (root / "maps").mkdir()
    shutil.copy(LABEL_MAP_DIRECTORY / "merged-8.yaml", root / "maps" / "mine.yaml")
    text = (
        "scans: {dot}sequences/{{sequence}}/velodyne/{{scan}}.bin\n"
        "labels: {dot}sequences/{{sequence}}/labels/{{scan}}.label\nlabel_map: {dot}maps/mine.yaml\n"
    )
    (root / "dataset.yaml").write_text(text.format(dot=dot))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (root, root / "dataset.yaml", Path("../data"), Path("../data/dataset.yaml")):
        source = open_dataset(path)
        assert len(source.all_scans) == 6
        assert source.label_map.name == "merged-8"
        assert source.split("train")[0].labels is not None


def test_many_stars_are_matched_or_refused(root: Path) -> None:
    (root / "sequences" / "00" / "velodyne" / f"{'a' * 200}.bin").touch()
    write_own(root, "scans: 'sequences/00/velodyne/" + "*" * 60 + "{scan}" + "*" * 60 + "0.bin'\n")
    assert len(open_dataset(root).all_scans) == 1
    write_own(root, "scans: 'sequences/00/velodyne/" + "*a" * 60 + "{scan}.bin'\n")
    with pytest.raises(DataError, match=r"more than 4 `\*` in one name"):
        open_dataset(root)


def test_lists_count_from_the_file_and_know_the_home_directory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root / "sequences"))
    (root / "dataset.yaml").write_text(
        "scans:\n- {points: ./sequences/00/velodyne/000000.bin, labels: ~/00/labels/000000.label}\n"
        "- {points: ~/01/velodyne/000001.bin}\n"
    )
    source = open_dataset(root)
    assert source.all_scans.ids == ("all/000000", "all/000001")
    assert [len(scan) for scan in source.all_scans] == [960, 960]


def test_an_error_of_a_label_map_names_the_file_that_is_wrong(root: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "mine.yaml"
    wrong.write_text("name: mine\n")
    with pytest.raises(DataError) as given:
        open_dataset(root, label_map=wrong)
    with pytest.raises(DataError) as unknown:
        open_dataset(root, label_map="merged-9")
    (root / "dataset.yaml").write_text(f"label_map: {wrong}\n")
    with pytest.raises(DataError) as own:
        open_dataset(root)
    (root / "dataset.yaml").write_text("label_map: merged-9\n")
    with pytest.raises(DataError) as own_unknown:
        open_dataset(root)
    assert str(given.value).startswith(f"{wrong}:1: ")
    assert str(own.value).startswith(f"{wrong}:1: ")
    assert str(root) not in str(unknown.value), "it is not the data set that names it"
    assert str(own_unknown.value).startswith(f"The `label_map` of {root / 'dataset.yaml'}: ")


def test_a_missing_label_map_is_named_with_what_was_tried(root: Path) -> None:
    (root / "dataset.yaml").write_text("label_map: maps/none.yaml\n")
    with pytest.raises(
        DataError, match=rf"dataset.yaml is '{root.resolve()}/maps/none.yaml': there is no such file"
    ):
        open_dataset(root)
    assert len(open_dataset(root, label_map="merged-8").all_scans) == 6


def test_the_format_follows_the_ending(tmp_path: Path) -> None:
    from pypcd4 import Encoding

    from tests.data.test_formats import write_pcd

    write_pcd(tmp_path / "a.pcd", Encoding.BINARY)
    for scans in ("'{scan}.pcd'", "[{points: a.pcd}]"):
        (tmp_path / "dataset.yaml").write_text(f"{{scans: {scans}, intensity_range: [0, 255]}}")
        source = open_dataset(tmp_path)
        assert source.format == "pcd"
        assert len(source.all_scans[0]) == 480
    (tmp_path / "dataset.yaml").write_text("{scans: [{points: a.pcd}, {points: b.bin}]}")
    with pytest.raises(DataError, match=r"end with '.bin', '.pcd'; expected one of .*state 'format'"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.xyz'}")
    with pytest.raises(
        DataError, match=r"end with '.xyz'; expected one of \['.bag', '.bin', '.db3', '.mcap'"
    ):
        open_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.pcd', format: bin}")
    with pytest.raises(DataError, match=r"a\.pcd is a PCD file, not one of records"):
        open_dataset(tmp_path).all_scans[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sensor: a\nsensor: b\n", "dataset.yaml:2: key 'sensor' was already given in line 1"),
        (
            "splits: {train: ['00'], train: ['01']}\n",
            "dataset.yaml:1: `splits`: key 'train' was already given",
        ),
        ("intensity_range: ['0', 1]\n", "dataset.yaml:1: `intensity_range.0` is '0'"),
        ("sensor_height_m: '1.8'\n", "dataset.yaml:1: `sensor_height_m` is '1.8'"),
        ("schema_version: true\n", "`schema_version` is true"),
        ("scans:\n- points: 5\n", "dataset.yaml:2: `scans.0.points` is 5"),
        (
            "label_map: {a: 'postgresql://u:SECRETPW@h'}\n",
            "dataset.yaml:1: `label_map` is a mapping of 1 key",
        ),
    ],
)
def test_descriptions_are_strict(root: Path, text: str, expected: str) -> None:
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    assert expected in str(caught.value)
    assert "SECRETPW" not in str(caught.value)
