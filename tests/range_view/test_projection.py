from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hwnas.data.datasets.dataset import open_dataset
from hwnas.errors import DataError
from hwnas.metrics.confusion import confusion_matrix, iou_per_class
from hwnas.range_view.knn import KnnSettings, labels_of_pixels, labels_of_points
from hwnas.range_view.projection import (
    INPUT_CHANNELS,
    Normalisation,
    RangeImage,
    label_image,
    network_input,
    project,
)
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.clouds import ring_ordered_cloud

coordinates = st.floats(-100, 100, width=32) | st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e-30, 3e38])
clouds = hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(3)), elements=coordinates)

pytestmark = pytest.mark.usefixtures("kernel")


def specs(method: str) -> st.SearchStrategy[ProjectionSpec]:
    return st.builds(
        ProjectionSpec,
        height=st.integers(16, 128),
        width=st.integers(256, 2048),
        method=st.just(method),
        fov_up_deg=st.just(3.0),
        fov_down_deg=st.just(-25.0),
    )


def zeros(points: np.ndarray) -> np.ndarray:
    return np.zeros(len(points), np.float32)


@settings(max_examples=60, deadline=None)
@given(clouds, specs("spherical"))
def test_image_and_points_agree_for_any_cloud(points: np.ndarray, spec: ProjectionSpec) -> None:
    remission = np.linspace(0, 1, len(points), dtype=np.float32)
    image = project(points, remission, spec)
    assert image.channels.shape == (len(INPUT_CHANNELS), spec.height, spec.width)
    assert image.channels.dtype == np.float32
    np.testing.assert_array_equal(image.valid, image.point_index >= 0)
    winner = image.point_index[image.valid]
    assert len(np.unique(winner)) == len(winner)
    # Every pixel holds its winner, and the winner knows its pixel.
    np.testing.assert_array_equal(image.channels[1:4, image.valid].T, points[winner])
    np.testing.assert_array_equal(image.channels[4, image.valid], remission[winner])
    rows, columns = np.nonzero(image.valid)
    np.testing.assert_array_equal(image.row[winner], rows)
    np.testing.assert_array_equal(image.column[winner], columns)
    assert not image.channels[:, ~image.valid].any()
    # Every point with a direction finds a point in its pixel that is at least as near.
    usable = np.isfinite(image.range_m) & (image.range_m > 0)
    assert image.valid[image.row, image.column][usable].all()
    assert (image.channels[0][image.row, image.column][usable] <= image.range_m[usable]).all()
    assert not image.kept[~usable].any()


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 2**32 - 1))
def test_nearest_return_wins_in_any_order(order: list[int], seed: int) -> None:
    distances = np.random.default_rng(seed).uniform(1, 50, 12).astype(np.float32)
    points = distances[:, None] * np.array([1.0, 0.001, -0.1], np.float32)
    image = project(points[order], zeros(points), ProjectionSpec(64, 512, "spherical", 3.0, -25.0))
    assert image.valid.sum() == 1
    assert image.channels[1][image.valid] == points[:, 0].min()


def test_first_of_equally_near_points_wins() -> None:
    points = np.repeat(np.array([[5.0, 0.0, -1.0]], np.float32), 3, axis=0)
    image = project(points, zeros(points), ProjectionSpec(64, 512, "spherical", 3.0, -25.0))
    assert image.point_index[image.valid].tolist() == [0]


def test_columns_run_from_behind_over_left_ahead_and_right() -> None:
    ahead, left, right, behind_left = [10, 0, 0], [0, 10, 0], [0, -10, 0], [-10, 0.001, 0]
    points = np.array([ahead, left, right, behind_left], np.float32)
    image = project(points, zeros(points), ProjectionSpec(64, 1024, "spherical", 3.0, -25.0))
    assert image.column.tolist() == [512, 256, 768, 0]


def test_spherical_rows_follow_the_formula() -> None:
    elevation_deg = np.array([2.9, -10.999, -24.9, 20.0, -60.0])
    points = np.stack(
        [np.cos(np.radians(elevation_deg)), np.zeros(5), np.sin(np.radians(elevation_deg))], axis=1
    )
    image = project(
        10 * points.astype(np.float32), zeros(points), ProjectionSpec(64, 512, "spherical", 3.0, -25.0)
    )
    assert image.row.tolist() == [0, 31, 63, 0, 63]


@settings(max_examples=40, deadline=None)
@given(clouds, specs("spherical"), st.integers(1, 19))
def test_labels_of_kept_points_survive_the_round_trip(
    points: np.ndarray, spec: ProjectionSpec, num_classes: int
) -> None:
    labels = (np.arange(len(points)) % num_classes).astype(np.uint8)
    image = project(points, zeros(points), spec)
    pixels = label_image(labels, image)
    back = labels_of_pixels(pixels, image)
    np.testing.assert_array_equal(back[image.kept], labels[image.kept])
    voted = labels_of_points(pixels, image, KnnSettings(), num_classes, only_lost=True)
    np.testing.assert_array_equal(voted[image.kept], labels[image.kept])
    usable = np.isfinite(image.range_m) & (image.range_m > 0)
    assert (voted[usable] < num_classes).all()
    assert (voted[~usable] == 255).all()


def test_network_input_is_normalised_and_zero_where_nothing_was_measured() -> None:
    points, ring = ring_ordered_cloud(16, 100)
    remission = np.random.default_rng(0).random(len(points)).astype(np.float32)
    image = project(points, remission, ProjectionSpec(16, 512), ring=ring)
    normalisation = Normalisation((10.0, 1.0, -1.0, -2.0, 0.5), (5.0, 6.0, 7.0, 2.0, 0.25))
    tensor = network_input(image, normalisation)
    assert tensor.shape == (5, 16, 512)
    assert tensor.dtype == np.float32
    assert (tensor[:, ~image.valid] == 0.0).all()
    mean, std = (np.array(values)[:, None] for values in (normalisation.mean, normalisation.std))
    np.testing.assert_allclose(
        tensor[:, image.valid], (image.channels[:, image.valid] - mean) / std, rtol=1e-5, atol=1e-6
    )


def test_settings_round_trip_and_refuse_nonsense() -> None:
    for spec in (
        ProjectionSpec(32, 1024, "spherical", 10.0, -30.0),
        ProjectionSpec(32, 1024, "ring", 10.0, -30.0, (5.0, 1.5, -7.25)),
    ):
        assert ProjectionSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    normalisation = Normalisation((1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 1.0, 1.0, 1.0, 0.1))
    assert Normalisation.from_json(normalisation.to_json()) == normalisation
    for wrong in (
        {"height": 15},
        {"height": 129},
        {"height": 64.0},
        {"height": True},
        {"width": 255},
        {"width": 2049},
        {"width": 512.0},
        {"fov_up_deg": 10},
        {"fov_down_deg": 10},
        {"fov_up_deg": 10, "fov_down_deg": 10},
        {"fov_up_deg": 90.1, "fov_down_deg": 0},
        {"fov_up_deg": 0, "fov_down_deg": -90.1},
        {"beams_deg": ()},
        {"beams_deg": (1.0, 1.0)},
        {"beams_deg": (3.0, 1.0, 2.0)},
        {"beams_deg": (90.1, 2.0)},
        {"beams_deg": (1.0, -90.1)},
        {"method": "cube"},
        {"fov_up_deg": -30},
        {"fov_up_deg": -30, "fov_down_deg": 10},
        {"method": "spherical"},
        {"beams_deg": (1.0, 2.0)},
        {"beams_deg": (1.0,)},
        {"beams_deg": tuple(np.linspace(10, -10, 65))},
    ):
        with pytest.raises(DataError):
            ProjectionSpec(**{"height": 64, "width": 512, **wrong})
    for allowed in (
        {"height": 16},
        {"height": 128},
        {"width": 256},
        {"width": 2048},
        {"fov_up_deg": 90, "fov_down_deg": -90},
        {"beams_deg": (90.0, -90.0)},
        {"beams_deg": tuple(np.linspace(10, -10, 64))},
        {"fov_up_deg": 1, "fov_down_deg": 0, "method": "spherical"},
    ):
        spec = ProjectionSpec(**{"height": 64, "width": 512, **allowed})
        assert {name: getattr(spec, name) for name in allowed} == allowed
    assert np.isnan(ProjectionSpec(64, 512).fov_deg).all()
    assert ProjectionSpec(64, 512, "ring", 3.0, -25.0).fov_deg == (3.0, -25.0)
    for mean, std in (
        ((0.0,) * 5, (0.0,) * 5),
        ((0.0,) * 5, (1.0, 1.0, -1.0, 1.0, 1.0)),
        ((0.0, 0.0, np.nan, 0.0, 0.0), (1.0,) * 5),
        ((0.0,) * 5, (1.0, 1.0, 1.0, 1.0, np.inf)),
    ):
        with pytest.raises(DataError, match="positive"):
            Normalisation(mean, std)
    for mean, std in (((0.0,) * 4, (1.0,) * 5), ((0.0,) * 5, (1.0,) * 6), ((0.0,) * 4, (1.0,) * 4)):
        with pytest.raises(DataError, match="one mean and one std"):
            Normalisation(mean, std)
    with pytest.raises(DataError, match="not"):
        Normalisation.from_json({**normalisation.to_json(), "channels": ["range"]})
    for shape, size in (((4, 4), 4), ((4, 3), 3), ((3,), 3), ((4, 2), 4), ((2, 4, 3), 2)):
        with pytest.raises(DataError, match="Expected points"):
            project(np.zeros(shape, np.float32), np.zeros(size, np.float32), ProjectionSpec(64, 512))


def test_every_column_holds_its_part_of_the_turn() -> None:
    """The middle of each of 256 parts of a turn, from behind over the left; and what lies right behind."""
    azimuth = np.pi - (np.arange(256) + 0.5) * 2 * np.pi / 256
    points = np.column_stack([10 * np.cos(azimuth), 10 * np.sin(azimuth), 0 * azimuth]).astype(np.float32)
    spec = ProjectionSpec(16, 256, "spherical", 3.0, -25.0)
    image = project(points, zeros(points), spec)
    assert image.column.tolist() == list(range(256))
    behind = np.array([[-10.0, -0.0001, 0.0], [-10.0, 0.0, 0.0]], np.float32)
    assert project(behind, zeros(behind), spec).column.tolist() == [255, 0]


def test_every_row_holds_its_part_of_the_field_of_view() -> None:
    """The middle of each of 64 parts from 16 down to -16 degrees; what lies outside is in the outer rows."""
    elevation = np.radians(np.r_[80.0, 16.1, 15.75 - 0.5 * np.arange(64), -16.1, -80.0])
    points = np.column_stack([10 * np.cos(elevation), 0 * elevation, 10 * np.sin(elevation)])
    image = project(
        points.astype(np.float32), zeros(points), ProjectionSpec(64, 512, "spherical", 16.0, -16.0)
    )
    assert image.row.tolist() == [0, 0, *range(64), 63, 63]


def oracle(image: RangeImage, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion of the ground truth copied back from pixels; a pixel of an ignored point is a miss of its own."""
    predicted = labels_of_pixels(label_image(labels, image), image)
    return confusion_matrix(
        labels, np.where(predicted == 255, num_classes, predicted).astype(np.uint8), num_classes + 1
    )


def test_ring_unfolding_keeps_nine_tenths_of_real_points(real_lidar: Path) -> None:
    source = open_dataset(real_lidar)
    num_classes = source.label_map.num_classes
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    kept = points = 0
    for scan in source.all_scans:
        image = project(scan.points, scan.remission, ProjectionSpec(64, 2048, "ring"))
        assert image.method == "ring"
        assert int(image.row.max()) == 63
        kept, points = kept + int(image.kept.sum()), points + len(scan)
        matrix += oracle(image, scan.labels, num_classes)
    enough = matrix.sum(axis=1)[:num_classes] >= 100
    ious = [iou for iou, counted in zip(iou_per_class(matrix)[:num_classes], enough, strict=True) if counted]
    assert kept / points >= 0.90
    assert np.mean(ious) >= 0.945
