import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.pareto import front_indices, hypervolume

coordinate = st.integers(0, 12).map(lambda n: n / 4)
points = st.lists(st.tuples(coordinate, coordinate), max_size=12)


def dominates(a: tuple, b: tuple) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(points)
def test_front_members_dominate_all_others_and_never_each_other(points: list) -> None:
    front = [points[i] for i in front_indices(points)]
    assert len(set(front)) == len(front)
    assert not any(dominates(a, b) for a in front for b in front)
    assert all(p in front or any(dominates(f, p) for f in front) for p in points)


@given(points)
def test_hypervolume_equals_the_share_of_dominated_grid_cells(points: list) -> None:
    """Coordinates are multiples of 1/4, so counting cells of that size is exact."""
    cells = [(x + 0.125, y + 0.125) for x in np.arange(0, 3, 0.25) for y in np.arange(0, 3, 0.25)]
    dominated = sum(any(p[0] <= x and p[1] <= y for p in points) for x, y in cells)
    assert hypervolume(points, (3.0, 3.0)) == pytest.approx(dominated / 16)


@given(points, st.tuples(coordinate, coordinate))
def test_another_point_never_lessens_the_hypervolume(points: list, extra: tuple) -> None:
    assert hypervolume([*points, extra], (3, 3)) >= hypervolume(points, (3, 3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        front_indices([(0.5, 1.0), (bad, 2.0)])
    with pytest.raises(ValueError, match="finite"):
        hypervolume([(bad, 2.0)], (3, 3))
