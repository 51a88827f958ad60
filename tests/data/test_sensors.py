"""Sensors are data: every table is plausible, and scenes can be scanned with each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.sensors import COUNTER_CLOCKWISE, find_sensor, load_sensor, sensor_names
from hwnas.data.synthetic.ground import make_ground
from hwnas.data.synthetic.layout import draw_layout
from hwnas.data.synthetic.lidar import Caster, Pose, Returns
from hwnas.data.synthetic.materials import Material
from hwnas.data.synthetic.mesh import box, join, surface
from hwnas.data.synthetic.presets import PRESETS
from hwnas.errors import DataError
from hwnas.range_view.rings import recover_rings

BEAMS = {
    "hdl-32e": 32,
    "hdl-64e": 64,
    "mid-360": 32,
    "os0-128": 128,
    "os0-32": 32,
    "os0-64": 64,
    "os1-128": 128,
    "os1-32": 32,
    "os1-64": 64,
    "ot128": 128,
    "pandar64": 64,
    "vlp-16": 16,
    "vlp-32c": 32,
    "vls-128": 128,
}
# The vertical field of view that data sheets state, in degrees.
STATED_VIEW = {
    "hdl-32e": (10.67, -30.67),
    "hdl-64e": (2.0, -24.8),
    "mid-360": (52.0, -7.0),
    "os0-128": (45.0, -45.0),
    "os0-32": (45.0, -45.0),
    "os0-64": (45.0, -45.0),
    "os1-128": (21.2, -21.2),
    "os1-32": (14.0, -14.0),
    "os1-64": (16.6, -16.6),
    "ot128": (15.0, -25.0),
    "pandar64": (15.0, -25.0),
    "vlp-16": (15.0, -15.0),
    "vlp-32c": (15.0, -25.0),
    "vls-128": (15.0, -25.0),
}


@pytest.fixture(scope="module")
def hall() -> Caster:
    """A street between two high walls, so that every beam meets something."""
    rng = np.random.default_rng(0)
    ground = make_ground(draw_layout(PRESETS["urban"], rng), rng)
    level = ground.base_at(0, 0)
    walls = [box((side * 7.0, 0, level + 8), (1, 60, 24)) for side in (-1, 1)]
    return Caster(join([surface(wall, 50, Material.PLASTER) for wall in walls]), ground)


def scan(hall: Caster, name: str, seed: int = 1) -> Returns:
    sensor = load_sensor(name)
    pose = Pose(0.0, 0.0, float(hall._ground.base_at(0, 0)) + sensor.height_m, 0.0, 0.0, 0.0)
    return hall.scan(sensor, pose, join([]), np.random.default_rng(seed))


def elevation_deg(points: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(points[:, 2].astype(float), np.hypot(points[:, 0], points[:, 1])))


def test_the_sensors_are_those_that_are_tested() -> None:
    assert {name: load_sensor(name).beams for name in sensor_names()} == BEAMS
    assert set(STATED_VIEW) == set(BEAMS)


@pytest.mark.parametrize("name", sorted(BEAMS))
def test_tables_agree_with_their_data_sheets(name: str) -> None:
    sensor = load_sensor(name)
    assert sensor.name == name
    assert len(sensor.source) > 20
    edges = (sensor.elevation_deg[0], sensor.elevation_deg[-1]) if sensor.is_rotating else sensor.edges_deg
    assert np.abs(np.subtract(edges, STATED_VIEW[name])).max() < 1.5
    upper, lower = sensor.edges_deg
    assert lower <= edges[1] < edges[0] <= upper
    assert all(abs(offset) < 15.0 for offset in sensor.azimuth_offset_deg)


@pytest.mark.parametrize("name", sorted(BEAMS))
def test_every_sensor_scans(hall: Caster, name: str) -> None:
    sensor, found = load_sensor(name), scan(hall, name)
    elevation = elevation_deg(found.points)
    assert len(found.points) > 0.3 * sensor.beams * sensor.azimuth_steps
    if not sensor.is_rotating:
        assert set(found.ring) == {0}
        assert sensor.edges_deg[1] - 0.01 <= elevation.min() <= elevation.max() <= sensor.edges_deg[0] + 0.01
        return
    np.testing.assert_allclose(elevation, np.array(sensor.elevation_deg)[found.ring], atol=0.02)
    assert (np.diff(found.ring) >= 0).all()
    azimuth = np.degrees(np.arctan2(found.points[:, 1].astype(float), found.points[:, 0]))
    sense = 1.0 if sensor.rotation == COUNTER_CLOCKWISE else -1.0
    turned = np.mod(sense * (azimuth - sensor.first_azimuth_deg), 360.0)
    assert (np.diff(turned)[np.diff(found.ring) == 0] > 0).all()
    ring = recover_rings(found.points)
    assert ring is not None
    np.testing.assert_array_equal(ring, np.unique(found.ring, return_inverse=True)[1])


def test_patterns_of_a_non_repetitive_sensor_differ(hall: Caster) -> None:
    one, other = (elevation_deg(scan(hall, "mid-360", seed).points)[:2000] for seed in (1, 2))
    assert not np.allclose(one, other, atol=0.5)
    assert recover_rings(scan(hall, "mid-360").points) is None


def test_sensor_files_may_be_ones_own(tmp_path: Path) -> None:
    own = (Path(__file__).parents[2] / "hwnas/data/sensors/vlp-16.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(own.replace("name: vlp-16", "name: mine"), encoding="utf-8")
    mine = find_sensor("mine.yaml", tmp_path)
    assert mine is not None
    assert (mine.name, mine.beams) == ("mine", 16)
    assert find_sensor("vlp-16") == load_sensor("vlp-16")
    assert find_sensor("home-made") is None
    with pytest.raises(DataError, match=r"nowhere\.yaml"):
        find_sensor("nowhere.yaml", tmp_path)


def test_the_sensor_file_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/concepts/sensors-and-rows.md").read_text(encoding="utf-8")
    path = tmp_path / "ours.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert load_sensor(path).beams == 4
    named = ["hdl-32e", "hdl-64e", "vlp-16", "vlp-32c", "vls-128", "os0-32", "os1-64", "pandar64", "ot128"]
    assert all(name in page.lower() for name in [*named, "mid-360"])


def test_what_is_not_stated_has_a_default(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(
        "{name: short, elevation_deg: [1, -1], azimuth_steps: 100, range_min_m: 1, range_max_m: 50, height_m: 1}",
        encoding="utf-8",
    )
    sensor = load_sensor(path)
    assert (sensor.edges_deg, sensor.returns, sensor.is_rotating) == ((2.0, -2.0), 1, True)
    assert sensor.azimuth_offset_deg == (0.0, 0.0)
    assert (sensor.range_noise_m, sensor.sensitivity, sensor.intensity_levels) == (0.02, 5e-6, 256)
    page = (Path(__file__).parents[2] / "docs/concepts/sensors-and-rows.md").read_text(encoding="utf-8")
    assert "| 0.02, 5e-6, 256 |" in page
    needed = ["name", "elevation_deg", "azimuth_steps", "range_min_m", "range_max_m"]
    assert f"{', '.join(f'`{name}`' for name in needed)} and `height_m` are required" in page


@pytest.mark.parametrize(
    ("written", "read"), [("2.5", (2.5, 2.5)), ("[2]", (2.0, 2.0)), ("[1, -1]", (1, -1))]
)
def test_one_azimuth_offset_counts_for_all_beams(
    tmp_path: Path, written: str, read: tuple[float, ...]
) -> None:
    path = tmp_path / "short.yaml"
    rest = "elevation_deg: [1, -1], azimuth_steps: 100, range_min_m: 1, range_max_m: 50, height_m: 1"
    path.write_text(f"{{name: short, {rest}, azimuth_offset_deg: {written}}}", encoding="utf-8")
    assert load_sensor(path).azimuth_offset_deg == read
    path.write_text(f"{{name: short, {rest}, azimuth_offset_deg: [1, 2, 3]}}", encoding="utf-8")
    with pytest.raises(DataError, match="one number, or one for every beam"):
        load_sensor(path)


def test_all_that_is_wrong_with_a_sensor_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nelevation: [1, -1]\nheight_m: tall\nreturns: 1.5\n", encoding="utf-8")
    with pytest.raises(DataError) as refused:
        load_sensor(path)
    lines = str(refused.value).splitlines()
    assert len(lines) == 4
    assert "mine.yaml:2: unknown key 'elevation'. Did you mean 'elevation_deg'?" in lines[0]
    assert all(
        f"`{key}`" in lines[1] for key in ("elevation_deg", "azimuth_steps", "range_min_m", "range_max_m")
    )
    assert "mine.yaml:3" in lines[2]
    assert "`height_m` must be a number, found 'tall'" in lines[2]
    assert "mine.yaml:4" in lines[3]
    path.write_text("{name: mine, pattern: non-repetitive}", encoding="utf-8")
    with pytest.raises(DataError, match=r"`field_of_view_deg`.* are missing"):
        load_sensor(path)


def test_broken_sensor_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vlp-16"):
        load_sensor("hdl-65e")
    path = tmp_path / "mine.yaml"
    path.write_text("elevation_deg: [1, 2", encoding="utf-8")
    with pytest.raises(DataError, match="YAML"):
        load_sensor(path)
    path.write_text("name: mine", encoding="utf-8")
    with pytest.raises(DataError, match="azimuth_steps"):
        load_sensor(path)
    directory = Path(__file__).parents[2] / "hwnas/data/sensors"
    wrong = [
        ("vlp-16", "15, 13,", "13, 15,", "fall"),
        ("vlp-16", "azimuth_steps: 1800", "azimuth_steps: many", "must be a whole number, found .many."),
        ("vlp-16", "rotation: clockwise", "rotation: left", "rotation"),
        ("vlp-16", "returns: 2", "returns: 9", "returns"),
        ("vlp-16", "intensity_range: [0.0, 255.0]", "intensity_range: [255, 0]", "intensity_range"),
        ("vlp-16", "returns: 2", "rows: 16", "rows"),
        ("vlp-16", "returns: 2", "colour: red", "colour"),
        ("mid-360", "field_of_view_deg: [52.0, -7.0]", "field_of_view_deg: [-7, 52]", "upper one first"),
        ("mid-360", "rows: 32", "rows: 3", "16..128"),
        ("mid-360", "pattern: non-repetitive", "pattern: flower", "pattern"),
    ]
    for name, old, new, reason in wrong:
        good = (directory / f"{name}.yaml").read_text(encoding="utf-8")
        assert old in good
        path.write_text(good.replace(old, new), encoding="utf-8")
        with pytest.raises(DataError, match=reason):
            load_sensor(path)
