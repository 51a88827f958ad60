from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud

from hwnas.data.dataset import open_dataset
from hwnas.data.formats import read_pcd
from hwnas.errors import DataError, PluginError
from tests.data.clouds import ring_ordered_cloud


def write_pcd(
    path: Path,
    encoding: Encoding,
    dtype: type = np.float32,
    fields: tuple[str, ...] = ("x", "y", "z", "intensity"),
) -> np.ndarray:
    points, ring = ring_ordered_cloud(16, 30)
    columns = {
        "x": points[:, 0],
        "y": points[:, 1],
        "z": points[:, 2],
        "intensity": np.linspace(0, 255, len(ring)),
    }
    arrays = [columns[name if name in columns else "intensity"].astype(dtype) for name in fields]
    PointCloud.from_points(
        [*arrays, ring.astype(np.uint16)], (*fields, "ring"), (*[dtype] * 4, np.uint16)
    ).save(path, encoding)
    return points


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reads_every_encoding(tmp_path: Path, encoding: Encoding, dtype: type) -> None:
    points = write_pcd(tmp_path / "a.pcd", encoding, dtype)
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.pcd', format: pcd, intensity_range: [0, 255]}")
    scan = open_dataset(tmp_path).all_scans[0]
    np.testing.assert_allclose(scan.points, points, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scan.remission, np.linspace(0, 1, len(points)), atol=1e-6)
    assert scan.ring is not None
    assert scan.ring.max() == 15
    assert scan.points.dtype == np.float32


def test_one_point_is_still_a_cloud(tmp_path: Path) -> None:
    arrays = [np.ones(1, np.float32)] * 4
    cloud = PointCloud.from_points(arrays, ("x", "y", "z", "intensity"), [np.float32] * 4)
    cloud.save(tmp_path / "a.pcd", Encoding.ASCII)
    assert read_pcd(tmp_path / "a.pcd", {}).points.tolist() == [[1.0, 1.0, 1.0]]


def test_missing_intensity_field_is_named_and_can_be_renamed(tmp_path: Path) -> None:
    write_pcd(tmp_path / "a.pcd", Encoding.BINARY, fields=("x", "y", "z", "i"))
    with pytest.raises(DataError, match=r"no field for 'intensity' .*it has \['x', 'y', 'z', 'i', 'ring'\]"):
        read_pcd(tmp_path / "a.pcd", {})
    assert read_pcd(tmp_path / "a.pcd", {"intensity": "i"}).intensity.max() == 255
    with pytest.raises(DataError, match="Did you mean 'intensity'"):
        read_pcd(tmp_path / "a.pcd", {"intensty": "i"})


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("kept_share", [0.05, 0.6, 0.99])
def test_cut_off_files_are_refused(tmp_path: Path, encoding: Encoding, kept_share: float) -> None:
    write_pcd(tmp_path / "a.pcd", encoding)
    content = (tmp_path / "a.pcd").read_bytes()
    (tmp_path / "a.pcd").write_bytes(content[: int(len(content) * kept_share)])
    with pytest.raises(DataError, match=r"a\.pcd"):
        read_pcd(tmp_path / "a.pcd", {})


@pytest.mark.parametrize("content", [b"", b"not a point cloud\n", bytes(range(256)) * 4])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pcd").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a PCD file"):
        read_pcd(tmp_path / "a.pcd", {})


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    write_pcd(tmp_path / "a.pcd", Encoding.BINARY_COMPRESSED)
    content = bytearray((tmp_path / "a.pcd").read_bytes())
    header_end = content.index(b"DATA binary_compressed\n") + len(b"DATA binary_compressed\n")
    content[header_end : header_end + 4] = (7).to_bytes(4, "little")
    (tmp_path / "a.pcd").write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be read as a PCD file"):
        read_pcd(tmp_path / "a.pcd", {})


def test_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.las").write_bytes(b"")
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.las', format: las}")
    with pytest.raises(PluginError, match="known are"):
        open_dataset(tmp_path)
