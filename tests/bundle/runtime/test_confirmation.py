"""Right scans are accepted though their beams or their ground seem to be others; wrong ones still are refused.

Clouds stand in for real ones: points corrected for motion or moved out of the frame of the sensor, the roof of
the sensor's own vehicle, a wall close by, beams that scatter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.confirmation import confirmed_findings
from hwnas.bundle.runtime.geometry_checks import findings_of
from hwnas.bundle.runtime.scan_finding import GROUND
from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.geometry.cloud_geometry import beams_of, elevation_of, geometry_of
from hwnas.data.scan_files.formats import read_bin
from hwnas.data.sensors import load_sensor
from hwnas.errors import DataError
from hwnas.scan import Scan
from tests.bundle.runtime.test_scan_refusals import ask, cloud_of, expected, variations
from tests.data.test_geometry import rotation, turn_of

ROOT = Path(__file__).parents[3]
HDL32E = ROOT.parent / "shared" / "data" / "hdl32e" / "sequences" / "00" / "velodyne"
pytestmark = pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")


@cache
def dense_cloud_of(name: str, seed: int) -> Any:
    """A turn of 900 firings over flat ground inside a round wall."""
    points, ring = turn_of(load_sensor(name), height_m=1.7 + 0.02 * seed, seed=seed, steps=900)
    return variations().Cloud(points, np.full(len(points), 0.5, np.float32), ring)


def corrected_for_motion(cloud: Any, metres: float) -> Any:
    """As if the sensor had moved on by so much during the turn, and its points were put where it ended."""
    azimuth = np.arctan2(cloud.points[:, 1], cloud.points[:, 0])
    shift = np.zeros_like(cloud.points)
    shift[:, 0] = metres * (azimuth / (2 * np.pi) - 0.5)
    return replace(cloud, points=cloud.points + shift)


def in_the_frame_of_a_vehicle(cloud: Any) -> Any:
    """Corrected for motion, pitched, rolled and moved."""
    moved = corrected_for_motion(cloud, 0.3)
    points = moved.points @ (rotation(1, 0.8) @ rotation(0, -0.6)).T + np.array([0.1, 0.0, -0.1], np.float32)
    return replace(moved, points=points.astype(np.float32))


def by_column(cloud: Any) -> Any:
    """Firing after firing, clockwise."""
    azimuth = np.arctan2(cloud.points[:, 1], cloud.points[:, 0])
    return cloud.take(np.argsort(-azimuth, kind="stable"))


def look_at(clouds: list[Any], *, given: bool) -> ScanExpectations:
    scans = [Scan(cloud.points, cloud.intensity, cloud.ring if given else None, None, "") for cloud in clouds]
    return expectations_of(scans, sensor="trained", frame="x-forward", intensity_range=(0.0, 255.0))


def shuffled(cloud: Any, seed: int) -> Any:
    return cloud.take(np.random.default_rng(seed).permutation(len(cloud.points)))


@pytest.mark.parametrize("seed", range(3))
def test_beams_at_two_elevations_are_told_by_their_sectors(seed: int) -> None:
    expects = look_at([corrected_for_motion(dense_cloud_of("hdl-32e", n), 0.4) for n in range(3)], given=True)
    cloud = corrected_for_motion(dense_cloud_of("hdl-32e", 3 + seed), 0.4)
    found = beams_of(elevation_of(cloud.points))
    assert found is None or len(found.num_points) > 36  # over the whole turn they seem to be other ones
    ask(expects, shuffled(cloud, seed), given=False)
    for other in ("vlp-32c", "os1-32", "os1-64"):
        with pytest.raises(DataError, match="expected"):
            ask(expects, shuffled(corrected_for_motion(dense_cloud_of(other, 3), 0.4), seed), given=False)


def with_roof(cloud: Any, seed: int) -> Any:
    """With points of the vehicle itself, 50 to 70 cm away and as much below the field of view."""
    rng = np.random.default_rng(seed)
    count = len(cloud.points) // 25
    azimuth, elevation = rng.uniform(-np.pi, np.pi, count), np.radians(rng.uniform(-42, -34, count))
    flat = rng.uniform(0.5, 0.7, count) * np.cos(elevation)
    roof = np.column_stack([flat * np.cos(azimuth), flat * np.sin(azimuth), flat * np.tan(elevation)])
    lowest = np.full(count, cloud.ring.max(), np.int32)
    points = np.concatenate([cloud.points, roof.astype(np.float32)])
    intensity = np.concatenate([cloud.intensity, np.full(count, 0.1, np.float32)])
    return replace(cloud, points=points, intensity=intensity, ring=np.concatenate([cloud.ring, lowest]))


@pytest.mark.parametrize("seed", range(4))
def test_a_wall_close_by_does_not_bring_the_vehicle_itself_into_view(seed: int) -> None:
    expects = look_at([with_roof(cloud_of("hdl-32e", n), n) for n in range(3)], given=True)
    assert expects.geometry is not None
    assert expects.geometry.lower_edge_deg[0] > -32  # the roof is too near to show where beams lie
    cloud = with_roof(cloud_of("hdl-32e", 3), seed)
    scale = np.where(np.linalg.norm(cloud.points, axis=1) > 2.0, 0.35, 1.0)[:, None]
    narrow = replace(cloud, points=(cloud.points * scale).astype(np.float32))
    walled = variations().walled(cloud, np.random.default_rng(seed))
    ask(expects, walled, given=True)
    with pytest.raises(DataError, match="the ground lies"):
        ask(expects, narrow, given=True)


def scattered(name: str, seed: int) -> Any:
    """With beams whose points scatter by as much as the beams lie apart, as those of real HDL-64Es do."""
    cloud = cloud_of(name, seed)
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(cloud.points[:, :2], axis=1)
    rise = distance * np.radians(rng.normal(0.0, 0.4, len(distance)))
    points = cloud.points + np.column_stack([0 * rise, 0 * rise, rise])
    return replace(cloud, points=points.astype(np.float32))


def test_few_points_of_beams_that_scatter_are_labelled() -> None:
    expects = look_at([scattered("hdl-64e", n) for n in range(3)], given=True)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        warnings = ask(expects, variations().few(scattered("hdl-64e", 3), rng, 200, 2000), given=True)
        assert "expected 64 beams" not in " ".join(warnings)
    for other in ("os0-32", "vlp-16", "hdl-32e"):
        with pytest.raises(DataError, match="expected"):
            ask(
                expects, variations().few(cloud_of(other, 3), np.random.default_rng(0), 900, 1000), given=True
            )


@cache
def expects_without_beams() -> ScanExpectations:
    return look_at(
        [by_column(in_the_frame_of_a_vehicle(dense_cloud_of("pandar64", n))) for n in range(3)], given=False
    )


def test_sensors_without_beams_are_told_by_the_spacing_in_sectors() -> None:
    expects = expects_without_beams()
    assert expects.geometry is not None
    assert expects.geometry.beam_elevation_deg is None
    assert expects.geometry.sector_spacing_deg is not None
    assert expects.geometry.sector_spacing_deg[1] < 0.25
    ask(expects, by_column(in_the_frame_of_a_vehicle(dense_cloud_of("pandar64", 4))), given=False)
    for other, reason in (("vlp-32c", "degrees apart"), ("vls-128", "degrees apart|beams, expected at most")):
        with pytest.raises(DataError, match=reason):
            ask(expects, by_column(in_the_frame_of_a_vehicle(dense_cloud_of(other, 4))), given=False)


@pytest.mark.parametrize("count", [300, 1900, 6000])
def test_where_beams_do_not_even_show_in_sectors_a_warning_says_so(count: int) -> None:
    rng = np.random.default_rng(count)
    cloud = by_column(in_the_frame_of_a_vehicle(dense_cloud_of("pandar64", 4)))
    warnings = " ".join(
        ask(expects_without_beams(), variations().few(cloud, rng, count, count + 1), given=False)
    )
    assert "a scan of another sensor would not be noticed" in warnings
    assert ("it cannot be known for sure" in warnings) == (count < 2000)


def test_z_down_and_mirrored_scans_are_refused_where_no_beams_show() -> None:
    cloud = by_column(in_the_frame_of_a_vehicle(dense_cloud_of("pandar64", 4)))
    with pytest.raises(DataError, match="expected"):
        ask(expects_without_beams(), cloud.times(np.diag([1.0, -1.0, -1.0])), given=False)
    with pytest.raises(DataError, match="seems to be mirrored"):
        ask(expects_without_beams(), cloud.times(np.diag([1.0, -1.0, 1.0])), given=False)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.eye(3), None),
        (np.diag([1.0, -1.0, -1.0]), "above the origin, as if z pointed down"),
        (3.28084 * np.eye(3), "as if in feet"),
        (100.0 * np.eye(3), "as if in centimetres"),
    ],
)
def test_a_ground_that_no_plane_showed_is_found_by_where_it_must_be(matrix: Any, reason: str | None) -> None:
    geometry = expected("os1-64").geometry
    assert geometry is not None
    points = cloud_of("os1-64", 4).times(matrix).points
    found = replace(geometry_of(points), ground=None)
    findings = confirmed_findings(points, found, geometry, [], are_rings_known=True)
    assert [finding.is_certain for finding in findings] == ([] if reason is None else [True])
    assert reason is None or reason in findings[0].text


def test_what_cannot_be_told_is_said() -> None:
    assert expected("vlp-16").weaknesses() == ()
    (beams,) = expects_without_beams().weaknesses()
    assert "show no beams" in beams
    assert "the spacing of beams in sectors" in beams
    assert "If the sensor has beams, train on points in its own frame" in beams
    assert expects_without_beams().to_json()["weaknesses"] == [beams]
    geometry = expected("vlp-16").geometry
    assert geometry is not None
    blind = replace(geometry, ground_height_m=None, turn=None)
    ground, turn = replace(expected("vlp-16"), geometry=blind).weaknesses()
    assert "State `sensor_height_m`" in ground
    assert "mirrored scans pass" in turn
    assert len(replace(expected("vlp-16"), geometry=blind, sensor_height_m=1.8).weaknesses()) == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_street_between_walls_hides_no_ground(seed: int) -> None:
    """Most near points lie on walls and cars; a steep plane through them is not taken for the ground."""
    expects = expected("os1-64")
    rng = np.random.default_rng(seed)
    cloud = cloud_of("os1-64", 3)
    points = cloud.points.astype(np.float64)
    side = rng.uniform(0.8, 1.4)
    for axis, sign, distance in ((1, 1, 2.0), (1, -1, 2.6), (0, 1, 2.0 + side)):
        reach = sign * points[:, axis]
        points *= np.where(reach > distance, distance / np.maximum(reach, 1e-6), 1.0)[:, None]
    narrow = replace(cloud, points=points.astype(np.float32))
    ask(expects, narrow, given=True)
    with pytest.raises(DataError):
        ask(expects, narrow.times(np.diag([1.0, -1.0, -1.0])), given=True)


def test_a_steep_plane_is_the_ground_only_if_it_goes_all_around() -> None:
    """A plane through kerbs and the foot of a wall on one side, where the ground itself is hidden."""
    geometry = expected("os1-64").geometry
    assert geometry is not None
    cloud = cloud_of("os1-64", 3)
    steep = (rotation(1, 35.0) @ np.array([0, 0, 1], np.float32)).astype(np.float32)
    rng = np.random.default_rng(0)
    kerb = rng.uniform([-6, -6, 0], [6, 6, 0], (6000, 3)).astype(np.float32)
    kerb[:, 2] = -(1.8 + kerb[:, 0] * steep[0] + kerb[:, 1] * steep[1]) / steep[2]
    kerb = kerb[(np.hypot(kerb[:, 0], kerb[:, 1]) > 1.5) & (kerb[:, 1] > 0)]
    unseen = cloud.points[cloud.points[:, 2] > -0.5]
    street = np.concatenate([unseen, kerb])
    hill = cloud.times(rotation(0, 35.0)).points
    for points, is_certain in ((street, False), (hill, True)):
        found = geometry_of(points)
        assert found.ground is not None
        assert found.ground.tilt_deg > 25
        findings = [finding for finding in findings_of(found, geometry) if finding.basis == GROUND]
        assert any(finding.is_certain for finding in findings)
        again = confirmed_findings(points, found, geometry, findings, are_rings_known=True)
        assert any(finding.is_certain for finding in again) == is_certain


@pytest.mark.skipif(not HDL32E.is_dir(), reason="no scans of an HDL-32E in ../shared/data/hdl32e")
def test_real_scans_of_an_hdl_32e_are_accepted_in_any_order() -> None:
    def read(path: Path) -> Any:
        scan = read_bin(path, {"columns": ["x", "y", "z", "intensity", "ring"]})
        intensity = scan.intensity / np.float32(255)
        return variations().Cloud(scan.points, intensity, np.asarray(scan.ring, np.int32))

    clouds = [read(path) for path in sorted(HDL32E.glob("*.bin"))]
    assert len(clouds) > 3
    expects = look_at(clouds[::2], given=True)
    for seed, cloud in enumerate(clouds[1::2]):
        rng = np.random.default_rng(seed)
        ask(expects, shuffled(cloud, seed), given=False)
        ask(expects, variations().by_column(cloud, rng), given=False)
        ask(expects, variations().walled(cloud, rng), given=True)
        for wrong in ("z down", "origin too high or low", "feet"):
            with pytest.raises(DataError):
                ask(expects, variations().WRONG[wrong](cloud, rng), given=False)
