from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import DataError
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import RangeImage, label_image, project
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.clouds import ring_ordered_cloud

pytestmark = pytest.mark.usefixtures("kernel")


def crowded_scan(seed: int, num_classes: int) -> tuple[RangeImage, np.ndarray]:
    """An image in which many points share pixels, and random labels of its points."""
    points, ring = ring_ordered_cloud(16, 700, seed)
    rng = np.random.default_rng(seed)
    # Ranges close to each other, so that the cutoff separates some neighbours and not others.
    points *= (rng.uniform(8, 11, len(points)) / np.linalg.norm(points, axis=1))[:, None].astype(np.float32)
    keep = rng.random(len(points)) < 0.5
    labels = rng.integers(0, num_classes, int(keep.sum())).astype(np.uint8)
    labels[rng.random(len(labels)) < 0.1] = 255
    remission = np.zeros(len(labels), np.float32)
    return project(points[keep], remission, ProjectionSpec(16, 256), ring=ring[keep]), labels


def reference(
    label_pixels: np.ndarray, image: RangeImage, settings: KnnSettings, num_classes: int
) -> np.ndarray:
    """The method point by point, straight from its description."""
    height, width = label_pixels.shape
    half = settings.window // 2
    offsets = [(dr, dc) for dr in range(-half, half + 1) for dc in range(-half, half + 1)]
    gaussian = np.array([np.exp(-(dr**2 + dc**2) / (2 * settings.sigma**2)) for dr, dc in offsets])
    weights = (1 - gaussian / gaussian.sum()).astype(np.float32)
    result = []
    for row, column, range_m in zip(image.row, image.column, image.range_m, strict=True):
        neighbours = []
        for (dr, dc), weight in zip(offsets, weights, strict=True):
            r, c = row + dr, (column + dc) % width
            if not (0 <= r < height and image.valid[r, c]):
                continue
            difference = np.float32(0) if dr == dc == 0 else abs(image.channels[0, r, c] - range_m)
            neighbours.append((difference * weight, label_pixels[r, c]))
        # As many as are no farther than the k-th: of equally far ones all vote.
        limit_m = min([*sorted(distance for distance, _ in neighbours)[: settings.k][-1:], settings.cutoff_m])
        votes = [label for distance, label in neighbours if distance <= limit_m and label < num_classes]
        counts = [votes.count(c) for c in range(num_classes)]
        result.append(int(np.argmax(counts)) if votes else 255)
    return np.array(result, np.uint8)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(
        [KnnSettings(), KnnSettings(7, 7, 1.0, 2.0), KnnSettings(3, 3, 0.5, 0.3), KnnSettings(1, 1)]
    ),
    st.sampled_from([2, 5]),
)
def test_matches_a_point_by_point_reference(seed: int, knn: KnnSettings, num_classes: int) -> None:
    image, labels = crowded_scan(seed, num_classes)
    pixels = label_image(labels, image)
    expected = reference(pixels, image, knn, num_classes)
    np.testing.assert_array_equal(labels_of_points(pixels, image, knn, num_classes), expected)


def test_smooth_labels_match_the_reference_too() -> None:
    image, _ = crowded_scan(5, 3)
    pixels = np.where(np.arange(256) < 130, 0, 2).astype(np.uint8)[None, :].repeat(16, axis=0)
    pixels[~image.valid] = 255
    expected = reference(pixels, image, KnnSettings(), 3)
    np.testing.assert_array_equal(labels_of_points(pixels, image, KnnSettings(), 3), expected)


def test_a_point_behind_another_takes_the_label_of_its_own_distance() -> None:
    # A pole at 5 m covers a wall at 20 m; the wall point that lost its pixel is labelled by the wall around it.
    azimuth = np.linspace(-0.05, 0.05, 41)
    wall = 20 * np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(41)], axis=1)
    points = np.vstack([wall, [[5.0, 0.0, 0.0]]]).astype(np.float32)
    ring = np.zeros(42, np.int32)
    image = project(points, np.zeros(42, np.float32), ProjectionSpec(16, 512), ring=ring)
    labels = np.array([0] * 41 + [1], np.uint8)
    covered = (image.column == image.column[41]) & (image.range_m > 10)
    assert covered.any()
    found = labels_of_points(label_image(labels, image), image, KnnSettings(), 2, only_lost=True)
    assert (found[covered] == 0).all()
    assert found[41] == 1


def test_neighbours_are_found_across_the_seam_behind_the_sensor() -> None:
    azimuth = np.pi - np.array([0.001, 0.002, -0.001, -0.0135])
    points = (10 * np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(4)], axis=1)).astype(np.float32)
    image = project(points, np.zeros(4, np.float32), ProjectionSpec(16, 512), ring=np.zeros(4, np.int32))
    assert set(image.column.tolist()) == {0, 511, 510}
    pixels = np.full((16, 512), 1, np.uint8)
    pixels[0, 0] = 0
    assert labels_of_points(pixels, image, KnnSettings(), 2).tolist() == [1, 1, 1, 1]


def test_ignored_pixels_have_no_vote() -> None:
    image, _ = crowded_scan(0, 2)
    pixels = np.full((16, 256), 255, np.uint8)
    assert (labels_of_points(pixels, image, KnnSettings(), 2) == 255).all()


def test_defaults_are_those_of_the_method() -> None:
    """Milioto et al. choose 5 neighbours in windows of 5 x 5, with sigma and cutoff of 1."""
    assert KnnSettings() == KnnSettings(k=5, window=5, sigma=1.0, cutoff_m=1.0)


@pytest.mark.parametrize(
    "allowed",
    [{"window": 1, "k": 1}, {"window": 31}, {"k": 25}, {"sigma": 1e-3}, {"k": 1}, {"cutoff_m": 1e-6}],
)
def test_the_ends_of_each_range_are_allowed(allowed: dict[str, float]) -> None:
    found = KnnSettings(**allowed)  # type: ignore[arg-type]
    assert {name: getattr(found, name) for name in allowed} == allowed


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 4},
        {"window": 33},
        {"window": -1},
        {"window": 5.0},
        {"window": True, "k": 1},
        {"k": 0},
        {"k": 26},
        {"k": 2, "window": 1},
        {"k": 3.0},
        {"sigma": 0.0},
        {"sigma": 0.0009},
        {"sigma": np.inf},
        {"sigma": np.nan},
        {"cutoff_m": -1.0},
        {"cutoff_m": 0.0},
        {"cutoff_m": np.inf},
    ],
)
def test_refuses_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError):
        KnnSettings(**wrong)  # type: ignore[arg-type]


def test_how_many_neighbours_a_window_holds_is_said() -> None:
    with pytest.raises(DataError, match="k is 50; expected 1 to window \\* window = 49"):
        KnnSettings(k=50, window=7)


def test_settings_round_trip() -> None:
    assert KnnSettings.from_json(KnnSettings(7, 7, 1.0, 2.0).to_json()) == KnnSettings(7, 7, 1.0, 2.0)


def row_of_points(ranges_m: list[float]) -> RangeImage:
    """Points side by side in the top row of an image, ahead of the sensor."""
    azimuth = (len(ranges_m) / 2 - np.arange(len(ranges_m)) - 0.5) * 2 * np.pi / 512
    points = np.array(ranges_m)[:, None] * np.column_stack([np.cos(azimuth), np.sin(azimuth), 0 * azimuth])
    ring = np.zeros(len(ranges_m), np.int32)
    image = project(points.astype(np.float32), ring.astype(np.float32), ProjectionSpec(16, 512), ring=ring)
    assert np.diff(image.column).tolist() == [1] * (len(ranges_m) - 1)
    return image


def label_of_middle(ranges_m: list[float], labels: list[int], settings: KnnSettings, num_classes: int) -> int:
    image = row_of_points(ranges_m)
    pixels = label_image(np.array(labels, np.uint8), image)
    return int(labels_of_points(pixels, image, settings, num_classes)[len(labels) // 2])


def test_of_classes_with_equally_many_votes_the_first_wins() -> None:
    wide = KnnSettings(k=9, window=3, cutoff_m=50.0)
    assert label_of_middle([10.0, 10.0, 10.0], [2, 1, 2], wide, 3) == 2
    assert label_of_middle([10.0, 10.0, 10.0], [2, 1, 255], wide, 3) == 1
    assert label_of_middle([10.0, 10.0, 10.0], [0, 1, 255], wide, 3) == 0


def test_labels_that_are_no_class_have_no_vote() -> None:
    wide = KnnSettings(k=9, window=3, cutoff_m=50.0)
    assert label_of_middle([10.0, 10.0, 10.0], [3, 3, 1], wide, 3) == 1
    assert label_of_middle([10.0, 10.0, 10.0], [2, 2, 1], wide, 3) == 2
    assert label_of_middle([10.0, 10.0, 10.0], [3, 3, 3], wide, 3) == 255


@pytest.mark.parametrize(("difference_m", "label"), [(0.9, 0), (1.5, 1)])
def test_neighbours_beyond_the_cutoff_have_no_vote(difference_m: float, label: int) -> None:
    """The weights of neighbours side by side are about 0.9: of nine pixels three points vote at most."""
    far = 10.0 + difference_m
    assert label_of_middle([far, 10.0, far], [0, 1, 0], KnnSettings(k=9, window=3), 2) == label
