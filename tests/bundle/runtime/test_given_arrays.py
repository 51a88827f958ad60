"""Arrays as callers give them, at the edges of what is taken."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.bundle.runtime.given_arrays import as_points, as_ring
from hwnas.errors import DataError

LARGEST = np.iinfo(np.int32).max


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (4,), (1, 5, 4), (4, 4, 4)])
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"shape \[N, 4\]"):
        as_points(np.zeros(shape), 4)


@pytest.mark.parametrize(
    ("shape", "columns", "advice"),
    [
        ((7, 5), 4, r"\(x, y, z, intensity\).*`ring=`"),
        ((7, 6), 4, r"`ring=`"),
        ((7, 4), 3, r"`intensity=`"),
        ((4, 7), 4, r"first four columns|Transpose"),
        ((3, 2), 3, "Transpose"),
    ],
)
def test_the_argument_for_further_columns_is_named(shape: tuple[int, int], columns: int, advice: str) -> None:
    with pytest.raises(DataError, match=advice):
        as_points(np.zeros(shape), columns)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i2", "u1"])
def test_points_of_every_real_type_become_float32(kind: str) -> None:
    points = as_points(np.arange(8).reshape(2, 4).astype(kind), 4)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, np.arange(8).reshape(2, 4))
    assert as_points(points, 4) is points, "nothing is copied in vain"
    assert np.isinf(as_points(np.full((1, 4), 1e300), 4)).all()


@pytest.mark.parametrize("kind", ["c8", "?", "U1", "O"])
def test_points_of_other_types_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="real numbers"):
        as_points(np.zeros((2, 4)).astype(kind), 4)


@pytest.mark.parametrize("ring", [[], [0], [0, 0], [3, 3], [0, 5], [LARGEST, 1]])
def test_rings_are_whole_numbers_from_0(ring: list[int]) -> None:
    found = as_ring(np.array(ring, np.int64), len(ring))
    assert found.dtype == np.int32
    assert found.tolist() == ring
    assert as_ring(found, len(ring)) is found, "nothing is copied in vain"


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_whole_rings_may_be_floats(kind: str) -> None:
    found = as_ring(np.array([0, 5, 63, 2]).astype(kind), 4)
    assert found.dtype == np.int32
    assert found.tolist() == [0, 5, 63, 2]


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        (np.zeros(3, int), "for each of the 2 points"),
        (np.zeros((2, 1), int), "for each of the 2 points"),
        (np.zeros(2, bool), "type bool"),
        (np.array([1.0, 0.5]), "a whole number for each of the 2 points, but holds 0.5"),
        (np.array([1.0, np.nan], np.float32), "but holds nan"),
        (np.array([-np.inf, 1.0]), "but holds -inf"),
        (np.array([0.0, -1.0]), "Rings count from 0 or 1, but are -1.0 to 0.0"),
        (np.array([0.0, 2.0**31], np.float32), "0.0 to 2147483648.0"),
        (np.array([0, -1]), "-1 to 0"),
        (np.array([-3, -1]), "-3 to -1"),
        (np.array([0, LARGEST + 1]), f"0 to {LARGEST + 1}"),
    ],
)
def test_other_rings_are_refused(ring: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_ring(ring, 2)
