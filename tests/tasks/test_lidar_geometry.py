"""Field of view and beams come from the settings, the sensor's table or the data, never from another sensor."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwnas.architecture import Architecture
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.geometry.image_geometry import Geometry, default_height
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.sensors import Sensor, load_sensor
from hwnas.errors import ConfigError, DataError
from hwnas.io_spec import dense_logits
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import DataWarning, Scan
from hwnas.tasks.base import make_task
from hwnas.tasks.lidar_geometry import geometry_of, with_rows
from hwnas.tasks.lidar_settings import ProjectionSection
from tests.data.scenes import write_scenes
from tests.data.sensor_clouds import Turn, scan_of
from tests.tasks.lidar_data import write_scans

SMALL = Architecture("none", {}, (5, 16, 256), dense_logits(8))


def scans_of(name: str, turn: Turn = Turn(), *, has_ring: bool = False, count: int = 3) -> list[Scan]:  # noqa: B008
    found = []
    for seed in range(count):
        points, beam = scan_of(load_sensor(name), turn._replace(seed=seed))
        ring = beam if has_ring else None
        found.append(Scan(points, np.zeros(len(points), np.float32), ring, None, str(seed)))
    return found


def blurred(scan: Scan) -> Scan:
    rng = np.random.default_rng(0)
    points = scan.points + np.outer(rng.uniform(-0.5, 0.5, len(scan)), [0, 0, 1]).astype(np.float32)
    return Scan(rng.permutation(points), scan.remission, None, None, scan.id)


def found_for(
    scans: list[Scan], sensor: Sensor | None, height: int, section: ProjectionSection | None = None
) -> Geometry:
    return geometry_of(scans, section or ProjectionSection(), sensor, "home-made", height)


@pytest.mark.parametrize("name", ["vlp-16", "pandar64", "os0-32"])
def test_a_known_sensor_has_its_own_field_of_view_and_beams(name: str) -> None:
    sensor = load_sensor(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = found_for([blurred(scan) for scan in scans_of(name)], sensor, sensor.beams)
    assert (found.field_of_view_deg, found.view_source) == (sensor.edges_deg, "table")
    assert (found.beams_deg, found.beams_source) == (sensor.elevation_deg, "table")


def test_beams_are_measured_where_scans_tell_them() -> None:
    sensor = load_sensor("hdl-64e")
    shifted = Sensor(**{**sensor.__dict__, "elevation_deg": tuple(e + 0.4 for e in sensor.elevation_deg)})
    found = found_for(scans_of("hdl-64e"), shifted, 64)
    assert found.beams_source == "data"
    np.testing.assert_allclose(found.beams_deg, sensor.elevation_deg, atol=0.01)
    assert found.field_of_view_deg == shifted.edges_deg
    assert found.scans == 3


def test_returns_of_the_roof_do_not_move_a_beam() -> None:
    """Half a metre away they are seen three degrees lower; the ground is as near as 3.5 m there."""
    sensor = load_sensor("hdl-32e")
    scans = []
    for scan in scans_of("hdl-32e", has_ring=True):
        lowest = np.flatnonzero(scan.ring == 31)
        points = scan.points.copy()
        points[lowest] *= np.float32(3.5) / np.linalg.norm(points[lowest], axis=1, keepdims=True)
        on_roof = lowest[: len(lowest) * 2 // 3]
        points[on_roof] *= np.float32(0.5 / 3.5)
        points[on_roof, 2] -= np.float32(0.03)
        scans.append(Scan(points, scan.remission, scan.ring, None, scan.id))
    found = found_for(scans, sensor, 32)
    assert found.beams_source == "data"
    np.testing.assert_allclose(found.beams_deg, sensor.elevation_deg, atol=0.02)


@pytest.mark.parametrize("name", ["vlp-16", "os0-128"])
def test_an_unknown_sensor_gets_the_field_of_view_of_the_data_and_that_is_said(name: str) -> None:
    sensor = load_sensor(name)
    with pytest.warns(DataWarning, match=r"'home-made'.*is taken from 3 training scans"):
        found = found_for(scans_of(name), None, 128)
    assert found.view_source == "data"
    np.testing.assert_allclose(
        found.field_of_view_deg, (sensor.elevation_deg[0], sensor.elevation_deg[-1]), atol=0.2
    )
    np.testing.assert_allclose(found.beams_deg, sensor.elevation_deg, atol=0.01)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("from_bottom", [True, False])
def test_the_beams_of_an_unknown_sensor_are_those_of_its_rings_however_these_count(
    first: int, from_bottom: bool
) -> None:
    """Of 32 rings in an image of 64 rows, half a height of which no beam reaches."""
    scans = []
    for scan in scans_of("hdl-32e", has_ring=True):
        assert scan.ring is not None
        ring = (31 - scan.ring if from_bottom else scan.ring) + first
        scans.append(Scan(scan.points, scan.remission, ring.astype(np.int32), None, scan.id))
    with pytest.warns(DataWarning, match="no table"):
        found = found_for(scans, None, 64)
    np.testing.assert_allclose(found.beams_deg, load_sensor("hdl-32e").elevation_deg, atol=0.01)
    for scan in scans:
        rows = [
            project(scan.points, scan.remission, found.spec(64, 512), ring).row for ring in (scan.ring, None)
        ]
        np.testing.assert_array_equal(*rows)


def test_what_is_stated_counts() -> None:
    section = ProjectionSection(fov_up_deg=12.0, fov_down_deg=-9.0, beams_deg=[5.0, 0.0, -5.0])
    found = found_for([], load_sensor("vlp-16"), 16, section)
    assert (found.field_of_view_deg, found.view_source) == ((12.0, -9.0), "stated")
    assert (found.beams_deg, found.beams_source, found.scans) == ((5.0, 0.0, -5.0), "stated", 0)
    assert ProjectionSection(**found.settings()) == ProjectionSection(
        method="ring", **section.model_dump(exclude={"method"})
    )


def test_what_nothing_tells_is_asked_for() -> None:
    level = Scan(np.array([[5.0, 0, 0], [0, 5, 0]], np.float32), np.zeros(2, np.float32), None, None, "0")
    for scans in ([], [level]):
        with pytest.raises(DataError, match=r"home-made.*not known.*Write fov_up_deg and fov_down_deg"):
            found_for(scans, None, 64)


def test_a_pattern_that_never_repeats_is_spherical() -> None:
    found = found_for([], load_sensor("mid-360"), 32)
    assert (found.method, found.field_of_view_deg, found.beams_deg) == ("spherical", (52.0, -7.0), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = np.random.default_rng(0).normal(0, 10, (500, 3)).astype(np.float32)
        assert project(points, np.zeros(500, np.float32), found.spec(32, 256)).method == "spherical"


def test_images_have_a_row_for_each_beam() -> None:
    four = Sensor(**{**load_sensor("vlp-16").__dict__, "elevation_deg": (3.0, 1.0, -1.0, -3.0)})
    assert default_height(None, four) == 16
    assert default_height(None, load_sensor("os1-128")) == 128
    assert default_height(None, load_sensor("mid-360")) == 32
    assert default_height(40, load_sensor("os1-128")) == 40
    assert default_height(None, None) == 64
    assert found_for([], four, 16).spec(16, 256).beams_deg == four.elevation_deg


def test_images_of_too_few_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="has 64 beams, but the image has 32 rows"):
        found_for([], load_sensor("pandar64"), 32)
    section = ProjectionSection(fov_up_deg=3.0, fov_down_deg=-25.0)
    with pytest.raises(ConfigError, match="has 128 rings, but the image has 64 rows"):
        found_for(scans_of("os1-128"), None, 64, section)


def test_scans_are_given_their_rows_once() -> None:
    sensor = load_sensor("vlp-32c")
    spec = found_for(scans_of("vlp-32c"), sensor, 32).spec(32, 256)
    (scan,) = scans_of("vlp-32c", Turn(start_deg=180.0), count=1)
    _, beam = scan_of(sensor, Turn(start_deg=180.0))
    seen = beam >= 5  # the top beams see nothing but sky
    partial = Scan(scan.points[seen], scan.remission[seen], None, None, "0")
    np.testing.assert_array_equal(with_rows(partial, spec).ring, beam[seen])
    with pytest.warns(DataWarning, match="nearest beam"):
        unordered = with_rows(blurred(scan), spec)
    assert unordered.ring is not None
    given = Scan(scan.points, scan.remission, beam, None, "0")
    assert with_rows(given, spec) is given
    assert with_rows(scan, ProjectionSpec(32, 256, "spherical", 15.0, -25.0)) is scan


def test_a_task_states_its_geometry_in_what_it_deploys(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "scans")
    task = make_task("lidar-segmentation", {"data": str(data), "widths": [256], "height": 16})
    with pytest.raises(ConfigError, match="has 64 beams, but the image has 16 rows"):
        task.deployment(SMALL)
    (data / "dataset.yaml").write_text("{sensor: mine.yaml}\n", encoding="utf-8")
    table = Path(__file__).parents[2] / "hwnas/data/sensors/vlp-16.yaml"
    (data / "mine.yaml").write_text(table.read_text(encoding="utf-8"), encoding="utf-8")
    task = make_task("lidar-segmentation", {"data": str(data), "widths": [256]})
    check_deployment(task, SMALL)


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize("config", ["{}", "{sensor: home-made}", "{sensor: pandar64}"])
def test_data_info_counts_the_losses_of_the_image_that_training_makes(tmp_path: Path, config: str) -> None:
    data = write_scenes(tmp_path, "pandar64")
    settings = yaml.safe_load(config)
    (data / "dataset.yaml").write_text(
        yaml.safe_dump({"splits": {"train": ["00"], "val": ["01"]}, **settings}), encoding="utf-8"
    )
    task = make_task("lidar-segmentation", {"data": str(data), "widths": [512]})
    deployed = task.deployment(Architecture("none", {}, (5, 64, 512), dense_logits(8)))["projection"]
    found = inspect_source(open_dataset(data), width=512)
    assert found.image is not None
    assert found.image.spec == ProjectionSpec.from_json(deployed)


def check_deployment(task: object, architecture: Architecture) -> None:
    deployment = json.loads(json.dumps(task.deployment(architecture)))  # type: ignore[attr-defined]
    spec = ProjectionSpec.from_json(deployment["projection"])
    assert spec.fov_deg == load_sensor("vlp-16").edges_deg
    assert spec.beams_deg is not None
    assert len(spec.beams_deg) == 16
    assert deployment["geometry"]["field_of_view"] == "table"
    pinned = task.pinned_settings(architecture)["projection"]  # type: ignore[attr-defined]
    assert ProjectionSection(**pinned).fov_up_deg == spec.fov_up_deg
    assert tuple(pinned["beams_deg"]) == spec.beams_deg
