"""Compiled kernel and numpy give the same bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.sensors import load_sensor
from hwnas.range_view.angles import angle_of
from hwnas.range_view.compiled import compiled_kernel, kernel_name
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import RangeImage, label_image, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import DataWarning
from tests.data.clouds import ring_ordered_cloud, sector_with_strays
from tests.data.sensor_clouds import Turn, scan_of

needs_kernel = pytest.mark.skipif(
    compiled_kernel() is None, reason="the package was built without its compiled kernel: no C++ compiler"
)
T = TypeVar("T")


def with_kernel(name: str, make: Callable[[], T]) -> T:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_KERNEL", name)
        assert kernel_name() == name
        return make()


def assert_equal_images(first: RangeImage, second: RangeImage) -> None:
    assert first.method == second.method
    for name in ("channels", "valid", "point_index", "row", "column", "range_m"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=one.dtype == np.float32), name


def cloud(seed: int, *, ordered: bool, broken: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if ordered:
        points, _ = ring_ordered_cloud(16, 300, seed)
    else:
        points = rng.normal(0, 20, (3000, 3)).astype(np.float32)
        points[:40] = np.round(points[:40])  # equal ranges, axes and corners
    if broken:
        places = rng.integers(0, len(points), 60)
        points[places, rng.integers(0, 3, 60)] = rng.choice(
            np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, 1e-30], np.float32), 60
        )
        points[places[:5]] = 0.0
    return points, rng.random(len(points)).astype(np.float32)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-17, 17), max_size=3),
    st.floats(-24, 0),
    st.floats(10, 340),
    st.integers(4, 12),
    st.booleans(),
)
def test_both_find_the_same_rings_whatever_lies_before_the_first(
    strays_deg: list[float], begin_deg: float, end_deg: float, rings: int, is_mirrored: bool
) -> None:
    points, _ = sector_with_strays(strays_deg, begin_deg, end_deg, rings)
    if is_mirrored:
        points[:, 1] *= -1
    one, other = (with_kernel(kernel, lambda: recover_rings(points)) for kernel in ("compiled", "numpy"))
    assert (one is None) == (other is None)
    if one is not None:
        np.testing.assert_array_equal(one, other)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**16),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["ring", "spherical"]),
    st.integers(16, 80),
    st.integers(256, 700),
)
def test_images_are_equal(
    seed: int, ordered: bool, broken: bool, method: str, height: int, width: int
) -> None:
    points, remission = cloud(seed, ordered=ordered, broken=broken)
    spec = ProjectionSpec(height, width, method, 3.0, -25.0)
    images = [with_kernel(name, lambda: project(points, remission, spec)) for name in ("compiled", "numpy")]
    assert_equal_images(*images)


@needs_kernel
@pytest.mark.parametrize("count", [0, 1, 20, None])
@pytest.mark.parametrize("is_given", [True, False])
def test_images_of_given_rings_and_of_few_points_are_equal(count: int | None, is_given: bool) -> None:
    points, ring = (values[:count] for values in ring_ordered_cloud(16, 500, 3))
    remission = np.ones(len(points), np.float32)
    spec = ProjectionSpec(16, 512, "ring", 3.0, -25.0)
    images = [
        with_kernel(name, lambda: project(points, remission, spec, ring if is_given else None))
        for name in ("compiled", "numpy")
    ]
    assert_equal_images(*images)


@needs_kernel
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["vlp-16", "vlp-32c", "hdl-64e", "os1-64"]),
    st.integers(0, 2**16),
    st.sampled_from(["ring", "column", "any"]),
    st.sampled_from([0.0, 0.03, 0.3]),
    st.sampled_from([None, "top", "bottom", "one", "one at the bottom", "gaps", "fired", "nonsense"]),
    st.booleans(),
    st.floats(30, 360),
    st.integers(0, 5),
    st.integers(0, 32),
)
def test_rings_and_rows_are_equal(
    name: str,
    seed: int,
    order: str,
    blur: float,
    numbering: str | None,
    has_table: bool,
    sector_deg: float,
    skipped: int,
    more_rows: int,
) -> None:
    sensor, rng = load_sensor(name), np.random.default_rng(seed)
    turn = Turn(60, seed % 360, sector_deg, bool(seed % 2), bool(seed % 3), order, 0.2, seed)
    points, beam = scan_of(sensor, turn)
    points[:, 2] += rng.uniform(-blur, blur, len(points)).astype(np.float32)
    seen = (beam >= skipped) & (beam < sensor.beams - skipped)
    points, beam = points[seen], beam[seen]
    points[rng.integers(0, len(points), 9)] = [np.nan, 1.0, 0.0]
    ring = {
        None: None,
        "top": beam,
        "bottom": sensor.beams - 1 - beam,
        "one": beam + 1,
        "one at the bottom": sensor.beams - beam,
        "gaps": 3 * beam,
        "fired": rng.permutation(sensor.beams)[beam],
        "nonsense": rng.integers(0, sensor.beams, len(beam)),
    }[numbering]
    ring = None if ring is None else ring.astype(np.int32)
    table = sensor.elevation_deg if has_table else None
    spec = ProjectionSpec(sensor.beams + more_rows, 256, "ring", *sensor.edges_deg, table)
    remission = rng.random(len(points)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        images = [
            with_kernel(kernel, lambda: project(points, remission, spec, ring))
            for kernel in ("compiled", "numpy")
        ]
    assert_equal_images(*images)
    one, other = (with_kernel(kernel, lambda: recover_rings(points)) for kernel in ("compiled", "numpy"))
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        np.testing.assert_array_equal(one, other)


@needs_kernel
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.floats(-24, -20))
def test_points_whose_squares_lose_their_digits_are_equal(seed: int, power: float) -> None:
    """Their height divided by their distance may lie beyond 1."""
    points, _ = ring_ordered_cloud(16, 40, seed)
    points[::3, :2] = 0.0
    tiny = (points * 10.0**power).astype(np.float32)
    spec, zeros = ProjectionSpec(16, 256, "ring", 3.0, -25.0), np.zeros(len(points), np.float32)
    images = [with_kernel(name, lambda: project(tiny, zeros, spec)) for name in ("compiled", "numpy")]
    assert_equal_images(*images)


@needs_kernel
@pytest.mark.parametrize("beams_deg", [None, tuple(np.linspace(3, -25, 64))])
def test_real_rows_are_equal(real_lidar: Path, beams_deg: tuple[float, ...] | None) -> None:
    paths = sorted(real_lidar.glob("sequences/*/velodyne/*.bin"))[::9]
    assert paths
    for path in paths:
        assert_equal_rows(np.fromfile(path, "<f4").reshape(-1, 4)[:, :3], beams_deg)


def assert_equal_rows(points: np.ndarray, beams_deg: tuple[float, ...] | None) -> None:
    points = points[np.random.default_rng(0).random(len(points)) < 0.8]
    one, other = (with_kernel(kernel, lambda: recover_rings(points)) for kernel in ("compiled", "numpy"))
    assert one is not None
    np.testing.assert_array_equal(one, other)
    spec, zeros = ProjectionSpec(64, 512, "ring", beams_deg=beams_deg), np.zeros(len(points), np.float32)
    images = [with_kernel(kernel, lambda: project(points, zeros, spec)) for kernel in ("compiled", "numpy")]
    assert_equal_images(*images)


@needs_kernel
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**16),
    st.sampled_from([3, 5, 7]),
    st.integers(1, 9),
    st.floats(0.05, 5.0),
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
)
def test_labels_are_equal(
    seed: int, window: int, k: int, cutoff_m: float, num_classes: int, only_lost: bool, smooth: bool
) -> None:
    points, remission = cloud(seed, ordered=True, broken=True)
    image = project(points, remission, ProjectionSpec(16, 256, "ring", 3.0, -25.0))
    rng = np.random.default_rng(seed)
    if smooth:
        labels = np.where(points[:, 0] > 3, 0, num_classes - 1).astype(np.uint8)
    else:
        labels = rng.integers(0, num_classes + 2, len(points)).astype(np.uint8)
    pixels = label_image(labels, image)
    knn = KnnSettings(k, window, 1.0, cutoff_m)
    found = [
        with_kernel(name, lambda: labels_of_points(pixels, image, knn, num_classes, only_lost=only_lost))
        for name in ("compiled", "numpy")
    ]
    assert found[0].dtype == found[1].dtype == np.uint8
    assert np.array_equal(*found)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_angles_are_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = (rng.normal(0, 10.0 ** rng.integers(-6, 6), 500).astype(np.float32) for _ in range(2))
    y[:20] = x[20:40] = 0.0
    expected = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    assert np.abs(angle_of(y, x) - expected).max() < 4e-7


def test_angles_of_what_is_no_direction() -> None:
    nan = np.float32(np.nan)
    y, x = np.array([0.0, nan, 1.0], np.float32), np.array([0.0, 1.0, nan], np.float32)
    found = angle_of(y, x)
    assert found[0] == 0.0
    assert np.isnan(found[1:]).all()


def test_numpy_takes_over_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_KERNEL", "numpy")
    assert compiled_kernel() is None
    assert kernel_name() == "numpy"
