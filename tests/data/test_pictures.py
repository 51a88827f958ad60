from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hwnas.data.label_maps import load_label_map
from hwnas.data.pictures import draw_segmentation
from hwnas.data.projection import ProjectionSpec, project

LABEL_MAP = load_label_map("merged-8")


def _scan() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.uniform(-30, 30, (4000, 3)).astype(np.float32)
    points[:, 2] = rng.uniform(-2, 1, 4000)
    return points, rng.integers(0, 8, 4000).astype(np.uint8)


def _colours(png: bytes) -> set[tuple[int, int, int]]:
    return {colour for _, colour in Image.open(io.BytesIO(png)).getcolors(1 << 24) or []}  # type: ignore[misc]


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3])
def test_draws_any_number_of_rows(num_rows: int) -> None:
    points, labels = _scan()
    image = project(points, np.zeros(4000, np.float32), ProjectionSpec(64, 512, "spherical", 30.0, -30.0))
    png = draw_segmentation(image, [(f"row {n}", labels) for n in range(num_rows)], points, LABEL_MAP)
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert set(LABEL_MAP.colors) <= _colours(png)


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
    assert red not in _colours(right)
    assert red in _colours(wrong)


def test_a_scan_without_points_is_a_picture_too() -> None:
    points = np.zeros((0, 3), np.float32)
    image = project(points, np.zeros(0, np.float32), ProjectionSpec(16, 256, "spherical", 3.0, -25.0))
    assert draw_segmentation(image, [("a", np.zeros(0, np.uint8))], points, LABEL_MAP)
