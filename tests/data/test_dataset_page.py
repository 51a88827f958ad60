"""docs/reference/dataset-yaml.md has every key, type and default of `dataset.yaml`, and examples that open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from hwnas.data.datasets.dataset import DataSource, open_dataset
from hwnas.data.datasets.dataset_config import DatasetConfig, ScanEntry, SplitSection
from hwnas.data.label_maps import LABEL_MAP_DIRECTORY
from hwnas.data.scan_files.frames import FRAMES, meaning_of_frame
from hwnas.data.scan_files.named_fields import FIELDS
from hwnas.data.sensors import load_sensor
from hwnas.robotics import CloudHeader, cloud_of_columns
from tests.data.clouds import ring_ordered_cloud
from tests.robotics.bags import TYPE_NAME, cloud_bytes, write_bag

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference/dataset-yaml.md").read_text(encoding="utf-8")
EXAMPLES = {text.split(":")[0][2:]: text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}
OURS = "{name: ours, elevation_deg: [3, -3], azimuth_steps: 1800, range_min_m: 1, range_max_m: 90, height_m: 1.7}"
CLASSES = (
    "{name: mine, ignored_raw_ids: [0], classes: [{name: road, raw_ids: [1]}, {name: car, raw_ids: [2]}]}"
)


def table_of(heading: str) -> dict[str, list[str]]:
    """Return the cells of the first table below a heading, by key."""
    lines = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_key_stands_in_the_page_with_its_default() -> None:
    documented = table_of("Keys")
    assert list(documented) == list(DatasetConfig.model_fields)
    for name, field in DatasetConfig.model_fields.items():
        default, shown = field.default, documented[name][1]
        if default is None or isinstance(default, SplitSection):
            assert not shown.startswith("`"), name
        else:
            written = yaml.safe_load(shown.strip("`")) if name != "scans" else shown.strip("`")
            assert written == (list(default) if isinstance(default, tuple) else default), name


@pytest.mark.parametrize(("heading", "model"), [("Patterns and lists", ScanEntry), ("Splits", SplitSection)])
def test_every_key_of_a_section_stands_in_the_page(
    heading: str, model: type[ScanEntry] | type[SplitSection]
) -> None:
    assert list(table_of(heading)) == list(model.model_fields)


def test_every_value_that_can_be_chosen_stands_in_the_page() -> None:
    types = get_args(DatasetConfig.model_fields["label_dtype"].annotation)
    maps = [path.stem for path in LABEL_MAP_DIRECTORY.glob("*.yaml")]
    for name in (*types, *maps, *FRAMES, *FIELDS):
        assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize(
    "page",
    [
        "reference/scan-files.md",
        "guides/checking-data.md",
        "guides/own-data.md",
        "reference/yaml-files.md",
        "reference/what-works.md",
    ],
)
def test_other_pages_link_to_it(page: str) -> None:
    assert "dataset-yaml.md" in (DOCS / page).read_text(encoding="utf-8")


def columns(factor: float = 255.0) -> np.ndarray:
    """[N, 5]: x, y, z, intensity, ring."""
    points, ring = ring_ordered_cloud(16, 60)
    return np.column_stack([points, np.linspace(0, factor, len(points)), ring]).astype("<f4")


def write_labels(path: Path, dtype: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (np.arange(960) % 3).astype(dtype).tofile(path)


def opened(root: Path, example: str) -> DataSource:
    (root / "dataset.yaml").write_text(EXAMPLES[example], encoding="utf-8")
    (root / "classes.yaml").write_text(CLASSES)
    (root / "ours.yaml").write_text(OURS)
    source = open_dataset(root)
    assert source.sensor_table is not None
    assert source.sensor_table == load_sensor(
        root / source.sensor if source.sensor.endswith(".yaml") else source.sensor
    )
    return source


def test_the_page_has_these_examples() -> None:
    assert list(EXAMPLES) == ["bags", "kitti-like", "flat-pcd", "nuscenes-like", "numpy"]


def test_the_example_of_bags_opens(tmp_path: Path) -> None:
    points, _ = ring_ordered_cloud(16, 60)
    x, y, z = points.T.astype("f4")
    for name in ("drives", "labels"):
        (tmp_path / name).mkdir()
    for sequence in ("01", "02", "03"):
        scans, labels = [], []
        for number in range(6):
            header = CloudHeader(number * 100_000_000)
            cloud = cloud_of_columns({"x": x, "y": y, "z": z, "intensity": np.full(len(x), 51, "u1")}, header)
            scans.append(("/lidar/points", TYPE_NAME, 10**15 + number, cloud_bytes(cloud)))
            class_id = np.full(len(x), number, "u1")
            cloud = cloud_of_columns({"x": x, "y": y, "z": z, "class_id": class_id}, header)
            labels.append(("/labels", TYPE_NAME, 10**15 + number + 50, cloud_bytes(cloud)))
        write_bag(tmp_path / "drives" / f"{sequence}.mcap", scans)
        write_bag(tmp_path / "labels" / f"{sequence}.mcap", labels)
    source = opened(tmp_path, "bags")
    assert [len(source.split(name)) for name in ("train", "val")] == [4, 2]
    scan = source.split("val")[1]
    assert scan.labels is not None
    assert set(scan.labels.tolist()) == {5}
    assert float(scan.remission[0]) == pytest.approx(0.2)


def test_the_example_of_a_directory_like_kitti_opens(tmp_path: Path) -> None:
    for sequence in ("01", "02", "03"):
        scan = tmp_path / "drives" / sequence / "lidar" / "000000.bin"
        scan.parent.mkdir(parents=True)
        columns()[:, :4].tofile(scan)
        write_labels(tmp_path / "drives" / sequence / "labels" / "000000.label", "<u2")
    source = opened(tmp_path, "kitti-like")
    assert source.split("train").ids == ("01/000000", "02/000000")
    scan = source.split("val")[0]
    assert scan.labels is not None
    assert scan.labels[:3].tolist() == [255, 0, 1]
    assert float(scan.remission.max()) == 1.0


def test_the_example_of_a_flat_directory_of_pcd_opens(tmp_path: Path) -> None:
    for name in ("morning_1", "morning_2", "evening_1"):
        header = "FIELDS x y z reflectivity channel label\nWIDTH 2\nDATA ascii\n"
        (tmp_path / f"{name}.pcd").write_text(f"{header}1800 2000 3700 0.5 0 40\n800 9000 1700 1 1 10\n")
    source = opened(tmp_path, "flat-pcd")
    assert source.split("train").ids == ("morning/morning_1", "morning/morning_2")
    scan = source.split("val")[0]
    np.testing.assert_allclose(scan.points, [[2, -1, 2], [9, 0, 0]], atol=1e-5)
    assert scan.ring is not None
    assert scan.ring.tolist() == [0, 1]
    assert scan.labels is not None
    assert (scan.labels < 255).all()


def test_the_example_of_five_columns_opens(tmp_path: Path) -> None:
    for sequence in ("scene1", "scene2"):
        scan = tmp_path / "samples" / sequence / "000.pcd.bin"
        scan.parent.mkdir(parents=True)
        columns().tofile(scan)
        write_labels(tmp_path / "labels" / sequence / "000_lidarseg.bin", "u1")
    scan = opened(tmp_path, "nuscenes-like").split("val")[0]
    np.testing.assert_allclose(scan.points[:, 0], columns()[:, 1], atol=1e-5)
    np.testing.assert_allclose(scan.points[:, 1], -columns()[:, 0], atol=1e-5)
    assert scan.ring is not None
    assert scan.labels is not None
    assert scan.labels[:3].tolist() == [255, 0, 1]


def test_the_example_of_numpy_opens(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("000", "001"):
        np.save(tmp_path / "scans" / f"{name}.npy", columns())
    source = opened(tmp_path, "numpy")
    assert (source.name, source.split("test").ids) == ("parking lot", ("all/000", "all/001"))
    assert source.split("test")[0].ring is None


@pytest.mark.parametrize("frame", FRAMES)
def test_the_page_says_how_the_axes_of_each_frame_point(frame: str) -> None:
    row = table_of("Frames, units and origins")[frame]
    assert meaning_of_frame(frame) == ", ".join(f"{a} {way}" for a, way in zip("xyz", row[:3], strict=True))


def test_any_frame_has_a_meaning() -> None:
    assert meaning_of_frame("x -y -z") == "x forward, y right, z down"
    assert meaning_of_frame("-z y x") == "x up, y left, z back"


def test_methods_of_rows_are_explained() -> None:
    page = (DOCS / "concepts/sensors-and-rows.md").read_text(encoding="utf-8")
    assert all(f"\n| `{method}` | " in page for method in ("ring", "beams", "spherical"))
