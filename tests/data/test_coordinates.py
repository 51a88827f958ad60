"""Units, axes and origins of scan files: read alike in training and by a bundle."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.bundle.runtime.deployment import coordinates_of
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.scan_files.frames import FRAMES, Coordinates, axes_of_frame, composed, to_our_frame
from hwnas.errors import DataError
from hwnas.io_spec import dense_logits
from hwnas.tasks.base import make_task
from tests.data.clouds import ring_ordered_cloud, write_dataset, write_scan

ALL_FRAMES = [
    " ".join(sign + axis for sign, axis in zip(signs, axes, strict=True))
    for axes in itertools.permutations("xyz")
    for signs in itertools.product(("", "-"), repeat=3)
]


def in_file(points: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    """Return points of the sensor's frame as a file of these coordinates holds them (the inverse)."""
    columns, signs = axes_of_frame(coordinates.frame)
    axes = np.empty_like(points, np.float64)
    axes[:, columns] = points * np.asarray(signs)
    return (axes + np.asarray(coordinates.origin_m)) / coordinates.unit_m


@given(
    frame=st.sampled_from([*FRAMES, *ALL_FRAMES]),
    unit_m=st.sampled_from([1.0, 0.001, 0.01, 0.3048]),
    origin_m=st.tuples(*[st.floats(-50, 50)] * 3),
)
def test_coordinates_undo_what_a_file_does(
    frame: str, unit_m: float, origin_m: tuple[float, float, float]
) -> None:
    points, _ = ring_ordered_cloud(8, 20)
    coordinates = Coordinates(frame, unit_m, origin_m)
    stored = in_file(points, coordinates).astype(np.float32)
    np.testing.assert_allclose(coordinates.to_sensor_frame(stored), points, atol=2e-5)
    assert Coordinates.from_json(json.loads(json.dumps(coordinates.to_json()))) == coordinates


def test_beams_without_return_and_broken_points_stay_what_they_are() -> None:
    points = np.array([[0, 0, 0], [np.nan, 1, 1], [np.inf, 0, 0], [1, 2, 3]], np.float32)
    found = Coordinates("x-forward", 1.0, (1.0, 2.0, 3.0)).to_sensor_frame(points)
    np.testing.assert_array_equal(found[0], 0)
    assert not np.isfinite(found[1:3]).all(axis=1).any()
    np.testing.assert_array_equal(found[3], 0)


def test_named_frames_are_their_axes() -> None:
    points, _ = ring_ordered_cloud(8, 20)
    for name, axes in (("x-forward", "x y z"), ("y-forward", "y -x z"), ("z-forward", "z -x -y")):
        np.testing.assert_array_equal(to_our_frame(points, name), to_our_frame(points, axes))


@given(first=st.sampled_from([*FRAMES, *ALL_FRAMES]), second=st.sampled_from(ALL_FRAMES))
def test_composed_frames_turn_points_one_after_the_other(first: str, second: str) -> None:
    points, _ = ring_ordered_cloud(8, 20)
    step_by_step = to_our_frame(to_our_frame(points, first), second)
    np.testing.assert_array_equal(to_our_frame(points, composed(first, second)), step_by_step)


@pytest.mark.parametrize("frame", ["", "x y", "x x z", "x y z z", "forward", "x y -", "--x y z"])
def test_unknown_frames_are_refused(frame: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the axes of the file that point"):
        Coordinates(frame)
    (tmp_path / "dataset.yaml").write_text(json.dumps({"frame": frame}))
    with pytest.raises(DataError, match="the axes of the file that point"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "value", [{"unit_m": 0}, {"unit_m": "nan"}, {"origin_m": [0, 0]}, {"origin_m": "abc"}]
)
def test_nonsense_in_a_manifest_is_refused(value: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        coordinates_of(value)


def test_a_data_set_in_millimetres_of_the_vehicle_is_read_as_the_plain_one(tmp_path: Path) -> None:
    plain = open_dataset(write_dataset(tmp_path / "plain"))
    coordinates = Coordinates("x -y -z", 0.001, (0.8, 0.1, -1.7))
    for files in plain.all_scans.files:
        scan, _ = plain.all_scans.reader.read(files)
        raw = np.fromfile(files.labels or "", "<u4")
        stored = in_file(scan.points, coordinates)
        stored[5] = 0.0  # a beam without return, which must not become a point at the negative origin
        write_scan(tmp_path / "odd", files.sequence, Path(files.points).stem, stored, scan.remission, raw)
    text = 'frame: "x -y -z"\nunit_m: 0.001\norigin_m: [0.8, 0.1, -1.7]\n'
    (tmp_path / "odd" / "dataset.yaml").write_text(text)
    odd = open_dataset(tmp_path / "odd")
    assert odd.coordinates == coordinates
    task = make_task("lidar-segmentation", {"data": str(tmp_path / "odd"), "widths": [256]})
    deployment = task.deployment(
        Architecture("none", {}, (5, 64, 256), dense_logits(8))
    )  # which bundles record
    assert coordinates_of(json.loads(json.dumps(deployment))) == coordinates
    assert odd.all_scans.fingerprint() != plain.all_scans.fingerprint()
    for one, other in zip(odd.all_scans, plain.all_scans, strict=True):
        np.testing.assert_allclose(one.points, np.delete(other.points, 5, axis=0), atol=1e-4)
        np.testing.assert_array_equal(one.labels, np.delete(other.labels, 5))  # type: ignore[arg-type]
