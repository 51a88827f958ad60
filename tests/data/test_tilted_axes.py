"""Scans that were levelled or pitched: the tilt is told, and nothing wrong is said of what it blurs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.geometry.beam_cones import cones_of, turn_to_z
from hwnas.data.inspection.findings.finding import WARNING
from hwnas.data.inspection.inspection import Inspection, inspect_source
from hwnas.data.sensors import load_sensor
from tests.data.scenes import Transform, scan_of_scene, write_scenes

HDL32E = Path(__file__).parents[3] / "shared" / "data" / "hdl32e"


def tilted(angle_deg: float, about_deg: float) -> np.ndarray:
    """Return the rotation [3, 3] about a horizontal axis (Rodrigues)."""
    x, y = np.cos(np.radians(about_deg)), np.sin(np.radians(about_deg))
    cross = np.array([[0.0, 0.0, y], [0.0, 0.0, -x], [-y, x, 0.0]])
    angle = np.radians(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def tilting(
    angle_deg: float, about_deg: float, origin_m: tuple[float, float, float] = (0, 0, 0)
) -> Transform:
    return lambda points, number: points @ tilted(angle_deg, about_deg).T + origin_m


def inspect(path: Path) -> Inspection:
    return inspect_source(open_dataset(path))


def severe(found: Inspection) -> set[str]:
    return {finding.kind for finding in found.findings if finding.severity != "note"}


@pytest.mark.parametrize("sensor", ["hdl-64e", "vlp-16", "hdl-32e", "os1-64", "pandar64", "vlp-32c"])
@pytest.mark.parametrize(("angle_deg", "about_deg"), [(1, 90), (2, 200), (3, 90), (5, 0), (7, 320), (10, 45)])
def test_tilted_axes_are_told_and_give_no_other_finding(
    sensor: str, angle_deg: float, about_deg: float, tmp_path: Path
) -> None:
    found = inspect(write_scenes(tmp_path, sensor, sequences=1, transform=tilting(angle_deg, about_deg)))
    geometry = found.geometry
    assert geometry is not None
    if sensor == "hdl-64e" and angle_deg == 10:  # its rings are not recovered: nothing wrong is suggested
        assert all(not one.files and "origin_m" not in one.settings for one in found.findings)
        return
    assert severe(found) - {"splits"} == {"axes-tilt"}
    (finding,) = [one for one in found.findings if one.kind == "axes-tilt"]
    assert (finding.severity, finding.settings) == (WARNING, {})
    assert geometry.axis_tilt_deg == pytest.approx(angle_deg, abs=0.3)
    assert geometry.sensor_height_m == pytest.approx(1.8, abs=0.1)
    assert geometry.origin_m is not None
    assert np.linalg.norm(geometry.origin_m) < 0.2


@pytest.mark.parametrize("angle_deg", [0.0, 0.3])
def test_a_tilt_that_does_not_matter_is_not_told(angle_deg: float, tmp_path: Path) -> None:
    found = inspect(write_scenes(tmp_path, "hdl-64e", transform=tilting(angle_deg, 30)))
    assert severe(found) == set()


def test_tilted_axes_without_rings_or_order_give_no_origin_and_no_draft(tmp_path: Path) -> None:
    """What is not known is not suggested."""

    def shuffled(points: np.ndarray, number: int) -> np.ndarray:
        return np.asarray(np.random.default_rng(number).permutation(points) @ tilted(4.0, 90).T)

    found = inspect(write_scenes(tmp_path, "hdl-32e", transform=shuffled))
    assert all(not one.files and "origin_m" not in one.settings for one in found.findings)
    assert "origin" not in {one.kind for one in found.findings if one.severity == "error"}


def test_cones_tell_axis_and_apex_together() -> None:
    points, ring, _ = scan_of_scene(load_sensor("pandar64"), steps=300)
    turn, apex = tilted(6.0, 130.0), np.array([1.1, -0.4, 1.7])
    cones = cones_of((points @ turn.T + apex).astype(np.float32), ring)
    assert cones is not None
    assert cones.is_clear
    np.testing.assert_allclose(cones.axis, turn @ [0, 0, 1], atol=2e-3)
    np.testing.assert_allclose(cones.apex_m, apex, atol=0.05)
    np.testing.assert_allclose(turn_to_z(cones.axis) @ cones.axis, [0, 0, 1], atol=1e-9)


def real_scans(root: Path, turn: np.ndarray, kind: str, lidar: Path | None) -> Path:
    if kind == "hdl-32e":
        scans, columns = sorted(HDL32E.glob("sequences/*/velodyne/*.bin"))[:3], 5
        names = "[x, y, z, intensity, ring]"
    else:
        assert lidar is not None
        scans, columns = sorted(lidar.glob("sequences/*/velodyne/*.bin"))[:3], 4
        names = "[x, y, z, intensity]"
    for number, scan in enumerate(scans):
        values = np.fromfile(scan, "<f4").reshape(-1, columns)
        values[:, :3] = values[:, :3] @ turn.T
        (root / f"{number}.bin").write_bytes(values.tobytes())
    scale = 255 if kind == "hdl-32e" else 1
    (root / "dataset.yaml").write_text(
        f"{{sensor: {kind}, scans: '{{scan}}.bin', intensity_range: [0, {scale}], "
        f"format_options: {{columns: {names}}}}}"
    )
    return root


@pytest.mark.parametrize("angle_deg", [2, 5, 10])
@pytest.mark.parametrize("about_deg", [90, 215])
def test_real_scans_of_an_hdl_32e_that_were_turned(
    angle_deg: float, about_deg: float, tmp_path: Path
) -> None:
    if not HDL32E.is_dir():
        pytest.skip("no scans of an HDL-32E beside the checkout")
    found = inspect(real_scans(tmp_path, tilted(angle_deg, about_deg), "hdl-32e", None))
    check_real(found, angle_deg)


@pytest.mark.parametrize("angle_deg", [2, 10])
def test_real_scans_of_an_hdl_64e_that_were_turned(
    angle_deg: float, tmp_path: Path, real_lidar: Path
) -> None:
    found = inspect(real_scans(tmp_path, tilted(angle_deg, 90), "hdl-64e", real_lidar))
    check_real(found, angle_deg)


def check_real(found: Inspection, angle_deg: float) -> None:
    assert severe(found) == {"axes-tilt"}
    assert found.geometry is not None
    assert found.geometry.axis_tilt_deg == pytest.approx(angle_deg, abs=0.2)
