"""The compiled kernel does what its description says, on images of any size with any values."""

from __future__ import annotations

import shutil
import subprocess
from ctypes import CDLL
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.range_view.compiled import CompiledKernel, compiled_kernel
from tests.data.clouds import ring_ordered_cloud
from tests.range_view.plain import Votes, projected_by_elevation

SOURCE = Path(__file__).resolve().parents[2] / "export" / "cpp" / "range_view.cpp"
KERNEL = compiled_kernel()
needs_kernel = pytest.mark.skipif(KERNEL is None, reason="the package was built without its compiled kernel")


def votes_of(
    seed: int, size: tuple[int, int], k: int, window: int, kind: str, num_classes: int = 4, count: int = 150
) -> Votes:
    """Return made-up arguments of `label_points`."""
    rng = np.random.default_rng(seed)
    height, width = size
    ranges: npt.NDArray[np.floating]
    range_m: npt.NDArray[np.floating]
    ranges, range_m = rng.uniform(4, 6, size), rng.uniform(4, 6, count)
    if kind == "ties":
        ranges, range_m = np.round(ranges * 4) / 4, np.round(range_m * 4) / 4
    elif kind == "near ties":  # that differ in their last bits only
        ranges, range_m = (5 + 2.0**-21 * rng.integers(0, 9, shape) for shape in (size, count))
    elif kind == "wild":
        wild = np.array([np.inf, np.nan, 0.0, 1e-38, 1e30, 3e38])
        ranges = np.where(rng.random(size) < 0.2, rng.choice(wild, size), ranges)
        range_m = np.where(rng.random(count) < 0.3, rng.choice(wild, count), range_m)
    valid = rng.random(size) < (0.0 if kind == "empty" else 0.8)
    labels = rng.integers(0, num_classes + 2, size).astype(np.uint8)
    if kind == "smooth":
        labels = np.where(np.arange(width) < width // 2, 0, num_classes - 1)[None].repeat(height, 0)
    labels = np.where(rng.random(size) < 0.05, 255, labels).astype(np.uint8)
    row, column = (rng.integers(0, most, count).astype(np.int32) for most in size)
    index = np.full(size, -1, np.int32)
    index[row, column] = np.arange(count)
    weights = 1 - rng.random((window, window)).astype(np.float32) * np.float32(0.5)
    cutoff_m = float(rng.choice([0.0, 0.3, 1.0, 1e38] if kind == "wild" else [0.3, 1.0, 50.0]))
    projected = (valid, index, row, column, range_m.astype(np.float32))
    return Votes(
        labels,
        ranges.astype(np.float32),
        projected,
        weights,
        (k, window, cutoff_m),
        num_classes,
        bool(seed % 2),
    )


@needs_kernel
@settings(max_examples=250, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(st.integers(1, 6), st.integers(1, 40)),
    st.sampled_from([1, 3, 5, 7, 11]),
    st.integers(1, 12),
    st.sampled_from(["plain", "ties", "near ties", "wild", "empty", "smooth"]),
    st.sampled_from([1, 2, 4, 19, 253]),
)
def test_votes_are_those_of_the_description(
    seed: int, size: tuple[int, int], window: int, k: int, kind: str, num_classes: int
) -> None:
    assert KERNEL is not None
    votes = votes_of(seed, size, min(k, window * window), window, kind, num_classes)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = votes.plain()
    np.testing.assert_array_equal(votes.by(KERNEL), expected)


@needs_kernel
@pytest.mark.parametrize("count", range(6))
def test_points_that_make_no_four_get_their_labels(count: int) -> None:
    assert KERNEL is not None
    votes = votes_of(count, (3, 9), 5, 5, "plain", count=count)
    np.testing.assert_array_equal(votes.by(KERNEL), votes.plain())


@needs_kernel
@pytest.mark.parametrize("k", range(1, 11))
def test_every_number_of_neighbours_counts(k: int) -> None:
    assert KERNEL is not None
    for kind in ("plain", "ties"):
        votes = votes_of(k, (4, 16), k, 5, kind)
        np.testing.assert_array_equal(votes.by(KERNEL), votes.plain())
        assert len(np.unique(votes.by(KERNEL))) > 2


@needs_kernel
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(st.integers(1, 20), st.integers(1, 30)),
    st.integers(0, 90),
    st.booleans(),
)
def test_images_are_those_of_the_description(
    seed: int, size: tuple[int, int], count: int, broken: bool
) -> None:
    assert KERNEL is not None
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 5, (count, 3)).astype(np.float32)
    points[: count // 2] = np.round(points[: count // 2])  # equal ranges, axes and corners
    if broken:
        wild = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, 1e-30], np.float32)
        points = np.where(rng.random(points.shape) < 0.1, rng.choice(wild, points.shape), points)
    remission = rng.random(count).astype(np.float32)
    found, method, remark = KERNEL.project(points, remission, None, size, "spherical", (20.0, -30.0), None)
    expected = projected_by_elevation(points, remission, size, (20.0, -30.0))
    assert (method, remark) == ("spherical", 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def kernel_built_with(directory: Path, compiler: str, *flags: str) -> CompiledKernel:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    library = directory / "range_view.so"
    command = [compiler, "-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", *flags]
    subprocess.run([*command, "-o", str(library), str(SOURCE)], check=True, timeout=500)
    return CompiledKernel(CDLL(str(library)))


@needs_kernel
@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(
    "build",
    [
        ("g++", "-O0"),
        ("g++", "-O3", "-march=native"),
        ("clang++", "-O3"),
        ("clang++", "-O3", "-march=native"),
    ],
    ids=" ".join,
)
def test_compilers_and_processors_make_no_difference(tmp_path: Path, build: tuple[str, ...]) -> None:
    assert KERNEL is not None
    other = kernel_built_with(tmp_path, *build)
    for seed, window in enumerate((3, 5, 5, 7)):
        votes = votes_of(seed, (16, 300), 5, window, ("plain", "ties", "wild", "smooth")[seed], 19, 5000)
        np.testing.assert_array_equal(votes.by(other), votes.by(KERNEL))
        points, ring = ring_ordered_cloud(16, 500, seed)
        points[seed::11] = [np.nan, 0.0, 1.0]
        remission = np.random.default_rng(seed).random(len(points)).astype(np.float32)
        for method, given_ring in (("ring", None), ("ring", ring.astype(np.int32)), ("spherical", None)):
            one, two = (
                kernel.project(points, remission, given_ring, (16, 256), method, (3.0, -25.0), None)
                for kernel in (KERNEL, other)
            )
            assert one[1:] == two[1:]
            for first, second in zip(one[0], two[0], strict=True):
                np.testing.assert_array_equal(first, second)
