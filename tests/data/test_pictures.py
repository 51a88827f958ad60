from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hwnas.data.datasets.dataset import DataSource, open_dataset
from hwnas.data.inspection.dataset_pictures import draw_dataset
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.label_maps import load_label_map
from hwnas.data.pictures import Mark, draw_segmentation
from hwnas.range_view.projection import RangeImage, project
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.clouds import ring_ordered_cloud, write_scan

LABEL_MAP = load_label_map("merged-8")


def _scan() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-30, 30, (4000, 3)).astype(np.float32)
    points[:, 2] = rng.uniform(-2, 1, 4000)
    return points, rng.integers(0, 8, 4000).astype(np.uint8)


def _count(png: bytes, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(Image.open(io.BytesIO(png))) == colour).all(axis=2).sum())


def _colours(png: bytes) -> set[tuple[int, int, int]]:
    return {colour for _, colour in Image.open(io.BytesIO(png)).getcolors(1 << 24) or []}  # type: ignore[misc]


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3])
def test_draws_any_number_of_rows(num_rows: int) -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    png = draw_segmentation(image, [(f"row {n}", labels) for n in range(num_rows)], points, LABEL_MAP)
    assert Image.open(io.BytesIO(png)).format == "PNG"
    if num_rows:
        assert set(LABEL_MAP.colors) <= _colours(png)
    else:
        assert not set(LABEL_MAP.colors) & _colours(png), "a legend of classes that nothing shows"


def test_labels_of_pixels_and_of_points_look_alike_where_they_agree() -> None:
    points, _ = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    of_pixels, of_points = np.full((64, 512), 5, np.uint8), np.full(4000, 5, np.uint8)
    assert draw_segmentation(image, [("a", of_pixels)], points, LABEL_MAP) == draw_segmentation(
        image, [("a", of_points)], points, LABEL_MAP
    )


def test_only_errors_are_red() -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    red = (255, 59, 48)
    right = draw_segmentation(image, [("a", labels)], points, LABEL_MAP, truth=labels)
    wrong = draw_segmentation(image, [("a", labels)], points, LABEL_MAP, truth=(labels + 1) % 8)
    # The legend holds one square of red; errors are more.
    assert _count(right, red) < 15 * 15
    assert _count(wrong, red) > 1000


def test_a_scan_without_points_is_a_picture_too() -> None:
    points = np.zeros((0, 3), np.float32)
    image = project(points, np.zeros(0, np.float32), ProjectionSpec(16, 256, "spherical", 3.0, -25.0))
    assert draw_segmentation(image, [("a", np.zeros(0, np.uint8))], points, LABEL_MAP)


def test_views_from_above_have_a_scale_the_ego_vehicle_and_marks() -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    plain = draw_segmentation(image, [("a", labels)], points, LABEL_MAP)
    assert {(255, 255, 255), (44, 48, 55)} <= _colours(plain)  # the outline of a car; circles of distance
    marked = draw_segmentation(image, [("a", labels)], points, LABEL_MAP, marks=[Mark("here", 10.0, -5.0)])
    assert (0, 229, 255) in _colours(marked) - _colours(plain)
    before, after = (np.asarray(Image.open(io.BytesIO(png))).astype(int) for png in (plain, marked))
    rows, columns = np.nonzero(np.abs(before - after).sum(axis=2))
    # 10 m ahead and 5 m to the right of the middle of a view of 80 m in 744 pixels, whose left edge is at 16.
    assert abs((rows.min() + rows.max()) / 2 - (_view_top(plain) + 372 - 93)) < 25
    assert columns.min() == pytest.approx(16 + 372 + 46.5 - 11, abs=2)


def _view_top(png: bytes) -> int:
    """Return the first row of the view from above: 372 pixels over the cross of the ego vehicle."""
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    column = pixels[:, 16 + 372 - 8 : 16 + 372 + 8]
    rows = np.flatnonzero((column == 255).all(axis=2).sum(axis=1) >= 9)
    return int(np.median(rows)) - 372


def test_more_views_and_notes_make_the_picture_higher() -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    colours = np.full((4000, 3), (1, 200, 3), np.uint8)
    plain = draw_segmentation(image, [("a", labels)], points, LABEL_MAP)
    more = draw_segmentation(
        image, [("a", labels)], points, LABEL_MAP, views=[("b", colours), ("c", colours)], notes=["a note"]
    )
    assert (1, 200, 3) in _colours(more) - _colours(plain)
    heights = [Image.open(io.BytesIO(png)).height for png in (plain, more)]
    assert heights[1] - heights[0] == (744 + 28) + 28


def test_long_names_of_classes_stay_in_their_column() -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    names = tuple(f"{'very ' * 12}long {number}" for number in range(8))
    long = replace(LABEL_MAP, class_names=names)
    png = draw_segmentation(image, [("a", labels)], points, long)
    assert Image.open(io.BytesIO(png)).width == 1536
    assert set(LABEL_MAP.colors) <= _colours(png)


def _dataset(root: Path, config: str, labels: int) -> DataSource:
    """Write a data set of one scan, 16 rings of 360 points, with a label file of some size, and open it."""
    points, _ = ring_ordered_cloud(16, 360)
    write_scan(root, "00", "000000", points, np.linspace(0, 0.99, len(points)), np.full(labels, 40))
    (root / "dataset.yaml").write_text(config)
    return open_dataset(root)


def _halves(png: bytes) -> tuple[int, int]:
    """Return how many pixels of the lower part of a picture are not empty: of its left and right half."""
    pixels = np.asarray(Image.open(io.BytesIO(png)))[-700:-50]
    filled = (pixels.astype(int).sum(axis=2) > 200).sum(axis=0)
    return int(filled[:768].sum()), int(filled[768:].sum())


def test_a_scan_whose_labels_cannot_be_read_has_no_legend_and_no_empty_half(tmp_path: Path) -> None:
    source = _dataset(tmp_path, "sensor: made-up", labels=7)
    png = draw_dataset(source, inspect_source(source))
    assert not set(source.label_map.colors) & _colours(png)
    left, right = _halves(png)
    assert right > 0.4 * left
    source = _dataset(tmp_path, "sensor: made-up", labels=5760)
    assert set(source.label_map.colors) <= _colours(draw_dataset(source, inspect_source(source)))


@pytest.mark.parametrize(("sensor", "width"), [("made-up", 288), ("vlp-16", 288), ("mid-360", 288)])
def test_the_range_image_is_no_wider_than_the_sensor_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sensor: str, width: int
) -> None:
    """360 points a ring are not drawn into 2,048 columns, whatever the table of the sensor says."""
    drawn = []

    def record(image: RangeImage, *arguments: Any, notes: list[str], **options: Any) -> bytes:
        drawn.append((image.valid, notes))
        return draw_segmentation(image, *arguments, notes=notes, **options)

    monkeypatch.setattr("hwnas.data.inspection.dataset_pictures.draw_segmentation", record)
    source = _dataset(tmp_path, f"sensor: {sensor}", labels=5760)
    draw_dataset(source, inspect_source(source))
    ((valid, notes),) = drawn
    assert valid.shape[1] == width
    assert (
        f"The sensor has about {width * 5 // 4} columns a turn; drawn with {width}, so that none stays empty"
        in notes
    )
    if sensor == "made-up":  # other sensors have other rows
        assert valid.any(axis=0).all(), "striped"
