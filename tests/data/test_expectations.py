import json
from dataclasses import replace

import numpy as np
import pytest

from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.geometry.cloud_geometry import Turn
from hwnas.errors import DataError
from hwnas.scan import Scan
from tests.bundle.small_lidar import HEIGHT, make_scan


def scan_of(seed: int, *, columns: int = 180, ring: bool = False) -> Scan:
    points, intensity, _ = make_scan(seed)
    rows = np.repeat(np.arange(HEIGHT, dtype=np.int32), columns) if ring else None
    return Scan(points, intensity / np.float32(255), rows, None, str(seed))


def look_at(*scans: Scan) -> ScanExpectations:
    return expectations_of(
        scans, sensor="test-16", frame="y-forward", intensity_range=(0.0, 255.0), sensor_height_m=1.9
    )


def test_scans_say_what_a_network_expects() -> None:
    found = look_at(scan_of(0), scan_of(1))
    assert (found.rings, found.point_order, found.num_scans) == ((HEIGHT, HEIGHT), "ring-by-ring", 2)
    assert found.field_of_view_deg == pytest.approx((2.0, -24.0), abs=0.2)
    assert 250 <= found.intensity_p99 <= 255
    assert found.points == (HEIGHT * 180, HEIGHT * 180)
    assert (found.sensor_height_m, found.frame) == (1.9, "y-forward")
    assert ScanExpectations.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_geometry_of_scans_is_part_of_what_a_network_expects() -> None:
    found = look_at(scan_of(0), scan_of(1)).geometry
    assert found is not None
    assert found.beam_elevation_deg == pytest.approx(np.linspace(2.0, -24.0, HEIGHT), abs=0.01)
    assert found.beam_spread_deg < 0.01
    assert found.lower_edge_deg == pytest.approx((-24.0, -24.0), abs=0.1)
    assert found.upper_edge_deg == pytest.approx((2.0, 2.0), abs=0.1)
    assert found.azimuth_coverage == (1.0, 1.0)
    assert 6.0 < found.median_range_m[0] <= found.median_range_m[1] < 16.0
    assert found.turn == Turn(is_left=True, order="ring-by-ring")
    assert found.edges_deg(1.0) == (found.lower_edge_deg[1], found.upper_edge_deg[0])


@pytest.mark.parametrize(
    "update",
    [
        {"beam_elevation_deg": [1.0, 2.0]},
        {"beam_elevation_deg": [float("nan"), -1.0]},
        {"lower_edge_deg": [3.0, 2.0]},
        {"sector_edges": [[1.0, 2.0]]},
        {"turn": {"is_left": 1, "order": "ring-by-ring"}},
        {"turn": {"is_left": True, "order": "random"}},
        {"far_range_m": "far"},
        {"ground_tilt_deg": float("inf")},
        {"sector_spacing_deg": [0.3, 0.2]},
        {"sector_beams": 0},
        {"sector_beams": True},
    ],
)
def test_other_geometry_is_refused(update: dict[str, object]) -> None:
    value = look_at(scan_of(0)).to_json()
    with pytest.raises((ValueError, TypeError)):
        ScanExpectations.from_json({**value, "geometry": {**value["geometry"], **update}})


def test_bundles_that_say_nothing_of_sectors_are_read() -> None:
    found = look_at(scan_of(0))
    value = found.to_json()
    del value["weaknesses"]
    value["geometry"] = {key: entry for key, entry in value["geometry"].items() if "sector_" not in key}
    value["geometry"]["sector_edges"] = found.to_json()["geometry"]["sector_edges"]
    assert ScanExpectations.from_json(value) == found


def test_the_distribution_of_intensities_is_part_of_what_a_network_expects() -> None:
    found = look_at(scan_of(0), scan_of(1))
    assert found.intensities is not None
    assert found.intensities.percentiles[2] == pytest.approx((127.0, 127.0), abs=40)
    assert 100.0 < found.intensities.least_spread < 255.0
    value = found.to_json()
    del value["intensities"]
    assert ScanExpectations.from_json(value) == replace(found, intensities=None)


def test_rings_in_files_and_points_in_no_order_are_told_apart() -> None:
    assert look_at(scan_of(0, ring=True)).point_order == "ring-field"
    shuffled = scan_of(1)
    assert look_at(scan_of(0)).geometry is not None
    rng = np.random.default_rng(0)
    # Off their beams, and in no order: nothing tells the ring of a point.
    points = rng.permutation(shuffled.points) + rng.uniform(-1, 1, (len(shuffled), 3)).astype(np.float32)
    shuffled = replace(shuffled, points=points)
    mixed = look_at(scan_of(0), shuffled)
    assert (mixed.point_order, mixed.rings) == ("any", None)
    assert ScanExpectations.from_json(mixed.to_json()) == mixed


@pytest.mark.parametrize("kind", ["one ring", "tie", "too many"])
def test_rings_that_are_no_beams_are_not_written(kind: str) -> None:
    scan = scan_of(0, ring=True)
    points, ring = scan.points, scan.ring
    assert ring is not None
    if kind == "one ring":
        ring = np.zeros_like(ring)
    elif kind == "tie":
        points, ring = np.concatenate([points, points]), np.concatenate([ring, ring + np.int32(HEIGHT)])
    else:
        ring = np.arange(len(points), dtype=np.int32)
    remission = np.resize(scan.remission, len(points)).astype(np.float32)
    found = look_at(replace(scan, points=points, remission=remission, ring=ring))
    assert found.geometry is not None
    assert found.geometry.beam_elevation_deg is None
    assert ScanExpectations.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_no_scan_says_nothing() -> None:
    with pytest.raises(DataError, match="No scan"):
        look_at()


@pytest.mark.parametrize(
    "update",
    [
        {"point_order": "random"},
        {"field_of_view_deg": [1]},
        {"rings": "many"},
        {"points": None},
        {"intensities": {"percentiles": [[0, 1]]}},
    ],
)
def test_other_values_are_refused(update: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ScanExpectations.from_json({**look_at(scan_of(0)).to_json(), **update})
