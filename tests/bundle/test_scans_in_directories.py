"""Which files in directories `infer` takes for scans, and what is said of scans that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import hwnas
from hwnas.cli.main import make_app
from hwnas.data.sensors import load_sensor
from hwnas.errors import ConfigError, DataError
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

NUSCENES_LIKE = """
sensor: vlp-16
intensity_range: [0, 255]
scans: "samples/{sequence}/{scan}.pcd.bin"
labels: "labels/{sequence}/{scan}_lidarseg.bin"
label_dtype: uint8
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    options = {"columns": ["x", "y", "z", "intensity"]}
    return write_lidar_bundle(
        tmp_path / "bundle",
        spec_of(load_sensor("vlp-16")),
        expects=expected("vlp-16").to_json(),
        intensity_range=[0.0, 255.0],
        scan_format={"name": "bin", "options": options},
    )


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    cloud = cloud_of("vlp-16", 3)
    return np.column_stack([cloud.points, cloud.intensity * np.float32(255)]).astype("<f4")


def write(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        path.write_bytes(values.tobytes())
    return path


def names(paths: Any, above: Path) -> list[str]:
    return sorted(str(path.relative_to(above)) for path in paths)


def test_dataset_yaml_says_which_files_are_scans(bundle: Path, values: np.ndarray, tmp_path: Path) -> None:
    data = tmp_path / "data"
    scan = write(data / "samples" / "s1" / "000.pcd.bin", values)
    labels = write(data / "labels" / "s1" / "000_lidarseg.bin", np.zeros(len(values), np.uint8))
    (data / "dataset.yaml").write_text(NUSCENES_LIKE)
    found = hwnas.Bundle(bundle).infer(data, tmp_path / "out")
    assert ([file.path for file in found.files], found.problems) == ([scan], ())
    assert found.left_out == (labels,)
    result = CliRunner().invoke(
        make_app(), ["infer", str(bundle), str(data), "--out", str(tmp_path / "other")]
    )
    assert result.exit_code == 0
    assert f"Left out, as no scans: {labels}." in result.stderr
    below = write(data / "more" / "0.bin", values)
    (data / "more" / "dataset.yaml").write_text(
        "intensity_range: [0, 255]\nscans: [{points: 0.bin}]"
    )  # the nearest counts
    found = hwnas.Bundle(bundle).infer(data, tmp_path / "both")
    assert [file.path for file in found.files] == [below, scan]


def test_scans_of_dataset_yaml_may_end_otherwise(bundle: Path, values: np.ndarray, tmp_path: Path) -> None:
    scan = write(tmp_path / "data" / "0.points", values)
    (scan.parent / "dataset.yaml").write_text(
        'intensity_range: [0, 255]\nformat: bin\nscans: "{scan}.points"'
    )
    found = hwnas.Bundle(bundle).infer(scan.parent, tmp_path / "out")
    assert [file.path for file in found.files] == [scan]


def test_a_dataset_yaml_that_names_none_is_named(bundle: Path, values: np.ndarray, tmp_path: Path) -> None:
    scan = write(tmp_path / "data" / "0.bin", values)
    (scan.parent / "dataset.yaml").write_text('scans: "scans/{scan}.bin"')
    with pytest.raises(ConfigError, match=r"0\.bin could be one by the ending, but `scans` in dataset\.yaml"):
        hwnas.Bundle(bundle).infer(scan.parent, tmp_path / "out")
    found = hwnas.Bundle(bundle).infer(scan, tmp_path / "out")
    assert len(found.files) == 1


def test_without_dataset_yaml_files_named_like_labels_are_left_out(
    bundle: Path, values: np.ndarray, tmp_path: Path
) -> None:
    data = tmp_path / "labels"  # its own name says nothing
    scans = [write(data / name, values) for name in ("0.bin", "labelled/1.bin", "unlabel.bin")]
    ids = np.zeros(len(values), np.uint32)
    left_out = ["0.label.npy", "0_labels.npy", "0_lidarseg.bin", "deep/labels/0.bin", "label.bin"]
    labels = [write(data / name, ids) for name in left_out]
    found = hwnas.Bundle(bundle).infer(data, tmp_path / "out")
    assert names((file.path for file in found.files), data) == names(scans, data)
    assert names(found.left_out, data) == left_out
    assert found.problems == ()
    document = json.loads(json.dumps(found.to_json()))
    assert len(document["left_out"]) == len(labels)
    found = hwnas.Bundle(bundle).infer(labels[0], tmp_path / "single")
    assert len(found.problems) == 1, "what is given itself is taken for a scan"


def test_scans_that_contradict_the_manifest_are_taken_only_if_that_is_asked_for(
    bundle: Path, values: np.ndarray, tmp_path: Path
) -> None:
    scan = write(tmp_path / "mirrored.bin", values * np.float32([1, 1, -1, 1]))
    found = hwnas.Bundle(bundle).infer(scan, tmp_path / "out")
    assert "`check_scans=False` lets a runner" in found.problems[0].message
    arguments = ["infer", str(bundle), str(scan), "--out", str(tmp_path / "out")]
    program = "import sys; from hwnas.cli.main import main; sys.argv[0] = 'hwnas'; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == DataError.exit_code
    assert "`--no-check-scans` lets a runner" in " ".join(ended.stderr.split())
    taken = CliRunner().invoke(make_app(), [*arguments, "--no-check-scans", "--json"])
    assert taken.exit_code == 0
    assert "labels may be wrong" in taken.stderr
    document = json.loads(taken.stdout)
    assert (document["are_checked"], len(document["files"]), document["problems"]) == (False, 1, [])


def test_overlapping_arguments_change_no_reading(bundle: Path, values: np.ndarray, tmp_path: Path) -> None:
    """A scan that a data set describes is stored as it says, however often and as what it is given."""
    data = tmp_path / "data"
    turned = values[:, [1, 0, 2, 3]] * np.float32([-1, 1, 1, 1])
    below = write(data / "sub" / "a.bin", turned)
    write(data / "b.bin", turned)
    (data / "dataset.yaml").write_text(
        "frame: y-forward\nintensity_range: [0, 255]\nscans: [{points: b.bin}, {points: sub/a.bin}]"
    )
    right = hwnas.Bundle(bundle).infer(write(tmp_path / "a.bin", values), tmp_path / "right").files[0]
    wanted = right.result.read_bytes()
    given = ([data], [below, data], [data, below], [data, data / "sub"], [data / "sub", data])
    for number, arguments in enumerate(given):
        found = hwnas.Bundle(bundle).infer(arguments, tmp_path / str(number))
        assert found.problems == ()
        assert {file.result.read_bytes() for file in found.files} == {wanted}
        assert not any(
            "files that are given themselves" in text for file in found.files for text in file.warnings
        )
    (alone,) = hwnas.Bundle(bundle).infer(below, tmp_path / "alone", check_scans=False).files
    assert alone.result.read_bytes() != wanted
    assert (
        "dataset.yaml says otherwise than the training how this file is stored (frame)" in alone.warnings[-1]
    )
