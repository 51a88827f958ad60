"""What is wrong with units, mirrored axes, label files and formats is named with its likely cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.inspection.findings.finding import WARNING
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.label_maps import LabelMap, load_label_map
from hwnas.data.scan_files.formats import read_npy
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import DataError
from tests.data.clouds import ring_ordered_cloud, write_scan
from tests.data.scenes import in_file, write_scenes


@pytest.mark.parametrize(
    ("unit_m", "height_m", "is_found"),
    [(0.3048, None, True), (1.0, None, False), (0.3048, 0.55, False), (0.0254, None, True)],
)
def test_a_stated_unit_that_leaves_the_sensor_too_low_is_a_warning(
    unit_m: float, height_m: float | None, is_found: bool, tmp_path: Path
) -> None:
    config: dict[str, object] = {"unit_m": unit_m}
    if height_m is not None:
        config["sensor_height_m"] = height_m
    path = write_scenes(tmp_path, "vlp-16", steps=500, config=config)
    found = {one.kind: one for one in inspect_source(open_dataset(path)).findings}
    assert ("unit" in found) == is_found
    if is_found and found["unit"].severity == WARNING:
        assert "Read as metres it would stand 1.8" in found["unit"].message
        assert "`unit_m: 1`" in found["unit"].remedy


def test_a_right_unit_other_than_metres_is_no_finding(tmp_path: Path) -> None:
    coordinates = Coordinates(unit_m=0.3048)
    path = write_scenes(
        tmp_path,
        "hdl-64e",
        steps=500,
        transform=lambda points, _: in_file(points, coordinates),
        config={"unit_m": 0.3048},
    )
    assert "unit" not in {one.kind for one in inspect_source(open_dataset(path)).findings}


def test_a_mirrored_axis_is_named_beside_the_rotation(tmp_path: Path) -> None:
    path = write_scenes(
        tmp_path, "hdl-64e", scans=4, sequences=1, steps=500, transform=lambda points, _: points * [-1, 1, 1]
    )
    found = {one.kind: one for one in inspect_source(open_dataset(path)).findings}
    assert found["heading"].settings == {"frame": "-x -y z"}
    assert "right-handed axes are assumed" in found["heading"].remedy
    assert "state '-x y z'" in found["heading"].remedy


@pytest.mark.parametrize("shape", [(6, 500), (6, 8, 60)])
def test_a_transposed_array_is_named(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    columns = ["x", "y", "z", "intensity", "ring", "time"]
    with pytest.raises(DataError, match=r"expected \[N, 6\] or \[H, W, 6\], so (transpose|store)"):
        read_npy(tmp_path / "a.npy", {"columns": columns})


def labelled(root: Path, **config: object) -> Path:
    points, _ = ring_ordered_cloud(16, 60)
    _, label = write_scan(
        root, "00", "000000", points, np.linspace(0, 1, len(points)), np.full(len(points), 40)
    )
    (root / "dataset.yaml").write_text(yaml.safe_dump({"sensor": "vlp-16", **config}))
    return label


def problem(root: Path) -> str:
    (one,) = inspect_source(open_dataset(root)).problems
    return one.message


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "<i8"])
@pytest.mark.parametrize("shape", [(960,), (960, 1)])
def test_labels_that_numpy_saved_are_read_in_their_own_type(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    label = labelled(tmp_path)
    with label.open("wb") as stream:
        np.save(stream, np.full(shape, 40, dtype))
    source = open_dataset(tmp_path)
    (files,) = source.all_scans.files
    scan, _ = source.all_scans.reader.read(files)
    assert scan.labels is not None
    assert set(scan.labels.tolist()) == {load_label_map("semantickitti-19").class_names.index("road")}


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (np.full(960, 40.0), r"an array (960,) of the type float64; expected a whole number for each point"),
        (np.full((16, 60), 40), r"an array (16, 60) of the type int64"),
        (np.full(480, 40, np.uint32), "holds 480 labels"),
        (np.full(240, 40, np.uint8), "One file is cut off"),
    ],
)
def test_arrays_that_are_no_labels_are_named(labels: npt.NDArray[Any], named: str, tmp_path: Path) -> None:
    label = labelled(tmp_path)
    with label.open("wb") as stream:
        np.save(stream, labels)
    assert named in problem(tmp_path)
    assert "label_dtype" not in problem(tmp_path)  # which has no say in such files


def test_a_file_cut_off_by_numpy_is_refused(tmp_path: Path) -> None:
    label = labelled(tmp_path)
    with label.open("wb") as stream:
        np.save(stream, np.full(960, 40, np.uint32))
    label.write_bytes(label.read_bytes()[:-4])
    assert "cannot be read as an array of numpy" in problem(tmp_path)


@pytest.mark.parametrize(
    ("stored", "stated", "named"), [("<u2", "uint32", "uint16"), ("<u4", "uint16", "uint32")]
)
def test_labels_of_another_width_are_named(stored: str, stated: str, named: str, tmp_path: Path) -> None:
    label = labelled(tmp_path, label_dtype=stated)
    label.write_bytes(np.full(960, 40, stored).tobytes())
    message = problem(tmp_path)
    assert "label_dtype" in message
    assert f"such as {named}" in message


def test_labels_that_are_cut_off_are_still_said_to_be(tmp_path: Path) -> None:
    label = labelled(tmp_path)
    label.write_bytes(np.full(900, 40, "<u4").tobytes())
    assert "One file is cut off" in problem(tmp_path)


def test_numbers_of_instances_are_a_fact(tmp_path: Path) -> None:
    plain = write_scenes(tmp_path / "plain", "vlp-16")
    numbered = write_scenes(tmp_path / "numbered", "vlp-16", labels=lambda raw: raw | (3 << 16))
    assert not inspect_source(open_dataset(plain)).facts.num_instance_scans
    assert inspect_source(open_dataset(numbered)).facts.num_instance_scans


def test_minus_one_is_explained() -> None:
    label_map = load_label_map("semantickitti-19")
    with pytest.raises(DataError, match=r"65535 is -1 of a signed type"):
        label_map.to_train(np.array([-1], np.int32).astype(np.uint32))
    value = {**label_map.to_json(), "ignored_raw_ids": [-1]}
    with pytest.raises(DataError, match=r"Files hold -1 as 65535"):
        LabelMap.from_json(value)


@pytest.mark.parametrize("ending", ["csv", "ply"])
def test_a_format_that_does_not_exist_is_not_advised(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{ending}").write_text("1,2,3\n")
    (tmp_path / "dataset.yaml").write_text(f"{{sensor: vlp-16, scans: '{{scan}}.{ending}'}}")
    with pytest.raises(DataError, match=r"one of \[.*'npy'.*convert them.*hwnas\.data_formats"):
        open_dataset(tmp_path)
