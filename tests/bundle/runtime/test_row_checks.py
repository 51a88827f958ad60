"""Rings that lie in other rows than in training are warned of, also where no table of beams tells them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.row_checks import check_rows
from hwnas.bundle.runtime.scan_checks import ScanChecks
from hwnas.data.sensors import load_sensor
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import DataWarning
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected

SENSORS = ["hdl-64e", "os1-64", "vlp-16", "vlp-32c"]


def warnings_of(
    name: str,
    points: np.ndarray,
    ring: np.ndarray | None,
    beams_deg: tuple[float, ...] | None = None,
) -> str:
    """Return what checks and projection say of a scan, if anything."""
    sensor = load_sensor(name)
    spec = ProjectionSpec(sensor.beams, 512, "ring", *sensor.edges_deg, beams_deg)
    intensity = np.full(len(points), 0.5, np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        image = project(points, intensity, spec, ring)
    checks = ScanChecks(expected(name), "ring")
    said = checks.check(len(points), points, np.float32(255) * intensity, image, ring)
    return " ".join([*said, *(str(warning.message) for warning in caught)])


def inclined(points: np.ndarray, tilt_deg: float) -> np.ndarray:
    """Return points in the frame of a sensor that is pitched."""
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    turned: Any = points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    return turned.astype(np.float32)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lost", [1, 3])
@pytest.mark.parametrize("name", SENSORS)
def test_top_rings_without_points_are_warned_of_where_there_is_no_table(
    name: str, lost: int, given: bool
) -> None:
    cloud = cloud_of(name, 4)
    seen = cloud.ring >= lost
    points, ring = cloud.points[seen], cloud.ring[seen] if given else None
    assert f"the rings lie {lost}.0 beams below".lower() in warnings_of(name, points, ring).lower()


def test_a_small_part_with_right_rings_hides_nothing() -> None:
    cloud = cloud_of("os1-64", 4)
    azimuth_deg = np.degrees(np.arctan2(cloud.points[:, 1], cloud.points[:, 0]))
    row = np.where(azimuth_deg > 155.0, cloud.ring, np.clip(cloud.ring - 2, 0, 63)).astype(np.int32)
    geometry = expected("os1-64").geometry
    assert geometry is not None
    assert check_rows(cloud.points, cloud.ring, 64, geometry) is None
    found = check_rows(cloud.points, row, 64, geometry)
    assert found is not None
    assert "2.0 beams below" in found.text


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_closed_up_rings_are_warned_of_where_the_data_sheet_is_off(lost: int) -> None:
    cloud = cloud_of("hdl-64e", 4)
    # Half a degree is more than a spacing, so that the table names other beams for right rings, too.
    table = tuple(elevation + 0.5 for elevation in load_sensor("hdl-64e").elevation_deg or ())
    seen = cloud.ring <= 63 - lost
    number = cloud.ring[seen].max() - cloud.ring[seen]
    assert "points may be in rows of other beams" in warnings_of("hdl-64e", cloud.points[seen], number, table)


@pytest.mark.parametrize("tilt_deg", [0.0, 5.0])
@pytest.mark.parametrize(("name", "lost"), [*((name, 0) for name in SENSORS), ("hdl-64e", 2), ("os1-64", 3)])
def test_right_rings_are_not_warned_of(name: str, lost: int, tilt_deg: float) -> None:
    cloud = cloud_of(name, 4)
    seen = cloud.ring < load_sensor(name).beams - lost
    points = inclined(cloud.points, tilt_deg)[seen]
    assert "in the training scans" not in warnings_of(name, points, cloud.ring[seen])


def test_nothing_is_said_of_a_part_of_the_turn() -> None:
    """An inclined sensor shows its beams elsewhere there."""
    cloud = cloud_of("os1-64", 4)
    seen = (cloud.ring >= 2) & ((cloud.points[:, 0] >= 0) | (cloud.points[:, 1] >= 0))
    assert "in the training scans" not in warnings_of("os1-64", cloud.points[seen], cloud.ring[seen])
