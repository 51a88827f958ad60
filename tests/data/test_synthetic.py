"""Synthetic scans: the same for the same seed, ordered like a sensor's, with every class, readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas.data import sensors
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.sensors import load_sensor
from hwnas.data.synthetic import synthesize_dataset
from hwnas.data.synthetic.lidar import Caster, Pose, Returns
from hwnas.data.synthetic.materials import LOSS, REFLECTANCE, Material
from hwnas.data.synthetic.mesh import box, hoop, join, loft, panel, quads, surface, tube
from hwnas.data.synthetic.presets import PRESETS
from hwnas.data.synthetic.scene import preset_of
from hwnas.errors import ConfigError, DataError
from hwnas.progress import CountStatus
from hwnas.range_view.rings import recover_rings


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize_dataset(
        tmp_path_factory.mktemp("synthetic") / "scans", scans=16, scans_per_scene=2, workers=2
    )


def _files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def _azimuth(points: np.ndarray) -> np.ndarray:
    return np.mod(np.arctan2(points[:, 1].astype(float), points[:, 0].astype(float)), 2 * np.pi)


def _scans(dataset: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for path in sorted(dataset.glob("sequences/*/velodyne/*.bin")):
        label = path.parents[1] / "labels" / f"{path.stem}.label"
        found.append((np.fromfile(path, "<f4").reshape(-1, 4), np.fromfile(label, "<u4")))
    assert found
    return found


def test_same_seed_gives_same_bytes_with_one_and_with_two_workers(tmp_path: Path) -> None:
    said: list[CountStatus] = []
    one = synthesize_dataset(
        tmp_path / "one", scans=2, sensor="vlp-16", seed=5, scans_per_scene=1, progress=said.append
    )
    two = synthesize_dataset(tmp_path / "two", scans=2, sensor="vlp-16", seed=5, scans_per_scene=1, workers=2)
    other = synthesize_dataset(tmp_path / "other", scans=2, sensor="vlp-16", seed=6, scans_per_scene=1)
    assert _files(one) == _files(two)
    assert _files(one).keys() == _files(other).keys()
    assert _files(one) != _files(other)
    assert said == [CountStatus(1, 2), CountStatus(2, 2)]


def test_every_class_appears(dataset: Path) -> None:
    data = open_dataset(dataset)
    counts = np.zeros(256, np.int64)
    for split in data.splits:
        for scan in data.split(split):
            counts += np.bincount(scan.labels, minlength=256)
    names = data.split("train").label_map.class_names
    assert [name for name, count in zip(names, counts, strict=False) if count < 50] == []
    assert counts[255] / counts.sum() < 0.05


def test_class_mix_is_that_of_a_drive(dataset: Path) -> None:
    label = np.concatenate([labels for _, labels in _scans(dataset)])
    share = np.bincount(label, minlength=256) / len(label)
    assert 0.15 < share[40] < 0.5
    assert 0.05 < share[70] < 0.4
    assert 0.01 < share[50] < 0.3
    assert 0.01 < share[10] < 0.2
    assert share[30] < 0.03


def test_dataset_is_readable_and_split_by_sequence(dataset: Path) -> None:
    data = open_dataset(dataset, strict=True)
    assert data.sensor == "hdl-64e"
    assert len(data.split("train")) + len(data.split("val")) == 16
    sequences = {split: {i.split("/")[0] for i in data.split(split).ids} for split in ("train", "val")}
    assert not sequences["train"] & sequences["val"]
    assert 0.1 < len(data.split("val")) / 16 < 0.3


def test_points_come_ring_by_ring_from_the_top(dataset: Path) -> None:
    for points, _ in _scans(dataset):
        ring = recover_rings(points[:, :3])
        assert ring is not None
        assert ring.max() == 63
        assert np.count_nonzero(np.diff(_azimuth(points)) < -np.pi) == 63
        elevation = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        np.testing.assert_allclose(elevation, np.array(load_sensor("hdl-64e").elevation_deg)[ring], atol=0.02)


def test_sensors_that_look_up_state_their_rings(tmp_path: Path) -> None:
    path = synthesize_dataset(tmp_path / "scans", scans=1, sensor="os1-128", seed=2)
    scan = open_dataset(path).split("train")[0]
    assert scan.ring is not None
    elevation = np.degrees(np.arctan2(scan.points[:, 2], np.hypot(scan.points[:, 0], scan.points[:, 1])))
    np.testing.assert_allclose(
        elevation, np.array(load_sensor("os1-128").elevation_deg)[scan.ring], atol=0.02
    )


def test_the_file_of_a_sensor_goes_with_the_scans(tmp_path: Path) -> None:
    table = yaml.safe_load((Path(sensors.__file__).parent / "vlp-16.yaml").read_text())
    table["name"], table["azimuth_steps"] = "theirs", 400
    table["elevation_deg"] = [round(float(value), 3) for value in np.linspace(4.0, -24.0, 22)]
    table["azimuth_offset_deg"] = [0.0] * 22
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(table))
    path = synthesize_dataset(tmp_path / "scans", scans=2, sensor=str(tmp_path / "ours.yaml"))
    assert (path / "ours.yaml").read_bytes() == (tmp_path / "ours.yaml").read_bytes()
    (tmp_path / "ours.yaml").unlink()
    source = open_dataset(path)
    assert source.sensor == "ours.yaml"
    found = inspect_source(source, width=512)
    assert [finding for finding in found.findings if finding.severity == "error"] == []
    assert found.image is not None
    assert found.image.spec.height == 22


def test_values_lie_within_the_sensor_limits(dataset: Path) -> None:
    sensor = load_sensor("hdl-64e")
    for points, _ in _scans(dataset):
        assert np.isfinite(points).all()
        distance = np.linalg.norm(points[:, :3].astype(float), axis=1)
        assert distance.min() >= sensor.range_min_m - 1e-3
        assert distance.max() <= sensor.range_max_m + 1e-3
        assert points[:, 3].min() >= 0
        assert points[:, 3].max() < 1
        assert 60_000 < len(points) <= sensor.beams * sensor.azimuth_steps


def test_road_lies_below_the_sensor_by_its_mounting_height(dataset: Path) -> None:
    height = load_sensor("hdl-64e").height_m
    for points, label in _scans(dataset):
        near = (label == 40) & (np.hypot(points[:, 0], points[:, 1]) < 6)
        assert np.median(points[near, 2]) == pytest.approx(-height, abs=0.15)


def test_wrong_arguments_and_filled_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scans"):
        synthesize_dataset(tmp_path / "x", scans=0)
    with pytest.raises(ConfigError, match="seed"):
        synthesize_dataset(tmp_path / "x", scans=1, seed=-1)
    with pytest.raises(DataError, match="hdl-64e"):
        synthesize_dataset(tmp_path / "x", scans=1, sensor="none")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(DataError, match="empty directory"):
        synthesize_dataset(tmp_path / "x", scans=1)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x" / "mine.txt").read_text(encoding="utf-8") == "keep"


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(status: CountStatus) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_dataset(tmp_path / "x", scans=1, sensor="vlp-16", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_wall_is_measured_where_it_stands(tmp_path: Path) -> None:
    (reference,) = _flat_wall(distance_m=10.0)
    wall = reference.label == 50
    assert wall.sum() > 1000
    np.testing.assert_allclose(np.median(reference.points[wall, 0]), 10.0, atol=0.01)
    assert np.std(reference.points[wall, 0]) < 0.1


def test_moving_things_hide_what_is_behind() -> None:
    (reference,) = _flat_wall(distance_m=10.0, moving_m=5.0)
    ahead = np.abs(np.arctan2(reference.points[:, 1], reference.points[:, 0])) < 0.1
    above = ahead & (reference.points[:, 2] > -0.3)
    assert set(reference.label[above]) == {10}


def _flat_wall(distance_m: float, moving_m: float = 0.0) -> list[Returns]:
    from hwnas.data.synthetic.ground import make_ground
    from hwnas.data.synthetic.layout import draw_layout

    rng = np.random.default_rng(0)
    ground = make_ground(draw_layout(PRESETS["urban"], rng), rng)
    level = ground.base_at(0, 0)
    wall = surface(box((distance_m + 0.5, 0, level + 2), (1, 40, 12)), 50, Material.PLASTER)
    block = surface(box((moving_m + 0.5, 0, level + 2), (1, 4, 6)), 10, Material.PLASTER)
    moving = block if moving_m else join([])
    pose = Pose(0.0, 0.0, level + 2.0, 0.0, 0.0, 0.0)
    return [Caster(wall, ground).scan(load_sensor("hdl-64e"), pose, moving, rng)]


def test_meshes_are_closed_and_of_the_right_size() -> None:
    def volume(triangles: np.ndarray) -> float:
        a, b, c = (triangles[:, k].astype(float) for k in range(3))
        return float(np.abs(np.sum(a * np.cross(b, c))) / 6)

    assert volume(box((1, 2, 3), (2, 3, 4))) == pytest.approx(24, rel=1e-5)
    assert len(tube((0, 0, 0), (0, 0, 1), 0.1, sides=8)) == 16 + 12
    assert np.abs(hoop((0, 0, 0), 0.35, 0.05)[..., [0, 2]]).max() == pytest.approx(0.35, abs=1e-3)
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    assert len(loft(np.stack([square, square + np.array([0, 0, 1])]))) == 8 + 4
    assert quads(square[None]).shape == (2, 3, 3)
    window = np.zeros((3, 3), bool)
    window[1, 1] = True
    wall, glass = panel(square, [0, 0.25, 0.75, 1], [0, 0.25, 0.75, 1], window, 0.1)
    assert len(wall) == 2 * 8 + 2 * 4
    np.testing.assert_allclose(glass[..., 2], -0.1, atol=1e-6)


def test_materials_are_physical() -> None:
    assert len(REFLECTANCE) == len(Material)
    assert (REFLECTANCE > 0).all()
    assert ((LOSS >= 0) & (LOSS < 1)).all()
    assert REFLECTANCE[Material.SIGN_FOIL] > 10 * REFLECTANCE[Material.BLACK_PAINT]


def test_scenes_alternate_between_all_kinds_of_places() -> None:
    assert {preset_of(k).name for k in range(8)} == set(PRESETS)


def test_conditions_decide_place_height_and_what_comes_back(tmp_path: Path) -> None:
    def made(name: str, **conditions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        path = synthesize_dataset(
            tmp_path / name, scans=1, sensor="vlp-16", seed=3, place="urban", **conditions
        )
        (scan,) = open_dataset(path, train_sequences=["00"], val_sequences=[]).all_scans
        return scan.points, scan.remission, scan.labels

    usual_m = load_sensor("vlp-16").height_m
    clear, foggy = made("clear"), made("foggy", height_m=usual_m + 1.0, extinction_per_m=0.05)
    assert 0 < len(foggy[0]) < 0.9 * len(clear[0])
    assert foggy[1].mean() < clear[1].mean()
    ranges = [np.quantile(np.linalg.norm(points, axis=1), 0.95) for points in (foggy[0], clear[0])]
    assert ranges[0] < 0.8 * ranges[1]
    levels = []
    for points, _, labels in (foggy, clear):
        road = (labels == 8) & (np.linalg.norm(points[:, :2], axis=1) < 15)
        levels.append(float(np.median(points[road, 2])))
    assert levels[1] - levels[0] == pytest.approx(1.0, abs=0.2)
    assert open_dataset(tmp_path / "foggy").sensor_height_m == usual_m + 1.0
    assert open_dataset(tmp_path / "clear").sensor_height_m is None
    name = open_dataset(tmp_path / "foggy").name
    assert (
        name
        == f"synthetic driving scenes, seed 3, urban, {usual_m + 1.0:g} m above the road, extinction 0.05 per metre"
    )


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"place": "urbn"}, r"place: expected one of .*'urbn'.*urban"),
        ({"height_m": 0.0}, "height_m: expected metres above 0 and below 20, found 0.0"),
        ({"height_m": float("nan")}, "height_m: .*found nan"),
        ({"extinction_per_m": -0.1}, "extinction_per_m: expected 0 to 0.5, found -0.1"),
    ],
)
def test_conditions_out_of_range_are_refused(conditions: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        synthesize_dataset(tmp_path / "x", scans=1, **conditions)
    assert not (tmp_path / "x").exists()
