"""Elevations that tell groups of points tell their rings."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.range_view.beam_groups import grouped_rings

pytestmark = pytest.mark.usefixtures("kernel")


@pytest.mark.parametrize(("strays", "is_known"), [(1, True), (2, False)])
def test_one_near_point_in_200_may_lie_beyond_the_beams_that_far_points_show(
    strays: int, is_known: bool
) -> None:
    sine = np.repeat(np.array([1000, 2000, 3000, 4000, 30000], np.int32), [50, 50, 50, 50 - strays, strays])
    range_m = np.where(sine == 30000, 1.0, 10.0).astype(np.float32)
    ring = grouped_rings(sine, range_m)
    assert (ring is not None) == is_known
    if ring is not None:
        np.testing.assert_array_equal(ring[: 200 - strays], np.repeat([3, 2, 1, 0], [50, 50, 50, 49]))
        assert ring[-1] == 0, "the nearest group"


@pytest.mark.parametrize(("stray", "is_known"), [(4500, True), (4501, False), (500, True), (499, False)])
def test_near_points_within_half_a_gap_belong_to_the_outer_beams(stray: int, is_known: bool) -> None:
    sine = np.repeat(np.array([1000, 2000, 3000, 4000, stray], np.int32), [50, 50, 50, 50, 20])
    range_m = np.where(sine == stray, 1.0, 10.0).astype(np.float32)
    ring = grouped_rings(sine, range_m)
    assert (ring is not None) == is_known
    if ring is not None:
        assert set(ring[200:].tolist()) == {0 if stray > 4000 else 3}
