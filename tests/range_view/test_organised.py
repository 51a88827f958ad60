"""Clouds that keep the grid of the sensor have their rows, from file and from memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.reading import Dropped
from hwnas.data.inspection.inspection import Inspection
from hwnas.data.sensors import load_sensor
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.pipeline import RangeView
from hwnas.range_view.projection import Normalisation
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import Scan
from tests.data.sensor_clouds import Turn, scan_of

BEAMS, COLUMNS = 32, 90


def cloud(*, by_column: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return points [N, 3] of a tilted VLP-32C, a fifth of them holes, and the beam of each."""
    turn = Turn(steps=COLUMNS, order="column" if by_column else "ring", bottom_first=True)
    points, beam = scan_of(load_sensor("vlp-32c"), turn)
    angle = np.radians(1.5)
    points[:, 2] += np.float32(np.tan(angle)) * points[:, 0]
    points[np.random.default_rng(0).random(len(points)) < 0.2] = np.nan
    return points, beam


def write_pcd(path: Path, points: np.ndarray, height: int, width: int) -> None:
    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA binary\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.column_stack([points, np.full(len(points), 0.5)]).astype("<f4")
    path.write_bytes(header.encode("ascii") + values.tobytes())


@pytest.mark.filterwarnings("ignore:.*dropped")
@pytest.mark.parametrize("by_column", [True, False])
def test_files_with_a_grid_say_the_ring(tmp_path: Path, by_column: bool) -> None:
    points, beam = cloud(by_column=by_column)
    size = (COLUMNS, BEAMS) if by_column else (BEAMS, COLUMNS)
    write_pcd(tmp_path / "a" / "0.pcd", points, *size)
    (tmp_path / "dataset.yaml").write_text(
        "{scans: 'a/{scan}.pcd', format: pcd, sensor: vlp-32c}\n", encoding="utf-8"
    )
    scan = open_dataset(tmp_path).all_scans[0]
    usable = np.isfinite(points).all(axis=1)
    assert scan.ring is not None
    np.testing.assert_array_equal(scan.points, points[usable])
    np.testing.assert_array_equal(scan.ring, beam[usable])


@pytest.mark.filterwarnings("ignore:.*dropped")
def test_packets_with_their_holes_in_a_bin_file_say_the_ring(tmp_path: Path) -> None:
    points, beam = cloud(by_column=True)
    (tmp_path / "a").mkdir()
    np.column_stack([points, np.zeros(len(points))]).astype("<f4").tofile(tmp_path / "a" / "0.bin")
    (tmp_path / "dataset.yaml").write_text("{scans: 'a/{scan}.bin', sensor: vlp-32c}\n", encoding="utf-8")
    scan = open_dataset(tmp_path).all_scans[0]
    assert scan.ring is not None
    np.testing.assert_array_equal(scan.ring, beam[np.isfinite(points).all(axis=1)])


@pytest.mark.parametrize("hole", [np.nan, 0.0])
def test_messages_with_their_holes_keep_their_rows(hole: float) -> None:
    points, beam = cloud(by_column=True)
    points = np.nan_to_num(points, nan=hole)
    view = RangeView(
        ProjectionSpec(BEAMS, 512, "ring"), Normalisation((0.0,) * 5, (1.0,) * 5), KnnSettings(), 3
    )
    found = view.project(points, np.zeros(len(points), np.float32))
    assert found.image.method == "ring"
    np.testing.assert_array_equal(found.image.row, beam[found.has_direction])


def test_an_inspection_counts_the_rings_of_a_grid() -> None:
    turn = Turn(steps=COLUMNS, order="column", bottom_first=True)
    points, _ = scan_of(load_sensor("vlp-32c"), turn)
    points[:, 2] += np.float32(np.tan(np.radians(1.5))) * points[:, 0]
    assert recover_rings(points) is None
    found = Inspection(num_classes=2)
    found.add(Scan(points, np.zeros(len(points), np.float32), None, None, "0"), Dropped(0, 0), "00")
    assert (found.rings, found.num_unordered_scans) == ({BEAMS: 1}, 0)
