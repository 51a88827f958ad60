import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.pareto import (
    best_first,
    crowding_distances,
    first_fronts,
    front_indices,
    fronts,
    hypervolume,
    knee_index,
    non_dominated_ranks,
)

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


def sorted_by_force(points: list, *, share_ties: bool) -> list[set[int]]:
    """Fronts by comparing all with all; of identical points the first is on the better front, or all are."""

    def beats(other: int, one: int) -> bool:
        if points[other] == points[one]:
            return not share_ties and other < one
        return dominates(points[other], points[one])

    left, found = set(range(len(points))), []
    while left:
        front = {one for one in left if not any(beats(other, one) for other in left)}
        found.append(front)
        left -= front
    return found


tables = st.integers(1, 4).flatmap(lambda d: st.lists(st.tuples(*[coordinate] * d), min_size=1, max_size=14))


@given(tables, st.booleans())
def test_fronts_are_those_of_brute_force(points: list, share_ties: bool) -> None:
    found = [front.tolist() for front in fronts(np.array(points), share_ties=share_ties)]
    assert [set(front) for front in found] == sorted_by_force(points, share_ties=share_ties)
    for front in found:
        assert len(set(front)) == len(front)
        assert [points[index] for index in front] == sorted(points[index] for index in front)


@given(tables, st.integers(0, 15))
def test_ranks_are_the_numbers_of_the_fronts(points: list, enough: int) -> None:
    expected = sorted_by_force(points, share_ties=True)
    ranks = non_dominated_ranks(np.array(points))
    assert [set(np.flatnonzero(ranks == rank).tolist()) for rank in range(len(expected))] == expected
    some = non_dominated_ranks(np.array(points), enough)
    whole = next(
        n for n in range(len(expected) + 1) if sum(map(len, expected[:n])) >= min(enough, len(points))
    )
    assert np.array_equal(some, np.minimum(ranks, whole))


@given(points)
def test_front_indices_are_the_first_front(points: list) -> None:
    table = np.array(points, float).reshape(-1, 2)
    assert front_indices(points) == [int(index) for index in next(fronts(table), ())]


@given(tables, st.integers(0, 15))
def test_first_fronts_are_whole(points: list, enough: int) -> None:
    kept = first_fronts(np.array(points), enough).tolist()
    every = [front.tolist() for front in fronts(np.array(points))]
    count = next(n for n in range(len(every) + 1) if sum(map(len, every[:n])) >= min(enough, len(points)))
    assert kept == [index for front in every[:count] for index in front]


def test_infinite_coordinates_are_sorted_and_nan_is_refused() -> None:
    table = np.array([[0.1, np.inf], [0.2, 1.0], [0.3, np.inf]])
    assert [front.tolist() for front in fronts(table)] == [[0, 1], [2]]
    with pytest.raises(ValueError, match="must be numbers"):
        next(fronts(np.array([[0.1, np.nan]])))


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_only_tables_are_sorted(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="table, but got shape"):
        next(fronts(np.zeros(shape)))
    with pytest.raises(ValueError, match="table, but got shape"):
        front_indices(np.ones(shape).tolist())


def test_hypervolume_is_an_area() -> None:
    with pytest.raises(ValueError, match=r"\[N, 2\] table, but got shape \(1, 3\)"):
        hypervolume([(1.0, 1.0, 1.0)], (3.0, 3.0))
    with pytest.raises(ValueError, match=r"\[N, 2\] table, but got shape \(1, 3\)"):
        hypervolume([(1.0, 1.0)], (3.0, 3.0, 3.0))
    assert hypervolume([], (3.0, 3.0)) == 0.0


def test_crowding_by_hand() -> None:
    """Each coordinate is a share of its span, however small that is; ends are infinitely far from others."""
    line = np.array([[0.0, 4.0], [0.1, 2.0], [0.3, 1.0], [0.4, 0.0]])
    assert crowding_distances(line).tolist() == pytest.approx([np.inf, 0.75 + 0.75, 0.75 + 0.5, np.inf])
    assert crowding_distances(line[[2, 0, 3, 1]]).tolist() == pytest.approx([1.25, np.inf, np.inf, 1.5])
    assert crowding_distances(line[:2]).tolist() == [np.inf] * 2
    assert crowding_distances(line[:1]).tolist() == [np.inf]
    assert crowding_distances(np.full((3, 2), 7.0)).tolist() == [np.inf, 0.0, np.inf]


@given(
    st.integers(3, 9).flatmap(lambda n: st.tuples(*[st.permutations(range(n))] * 2)),
    st.sampled_from([1, 1e-6]),
)
def test_crowding_is_the_sum_over_coordinates_of_the_gap_between_neighbours(
    orders: tuple, scale: float
) -> None:
    """Coordinates are squares, so that gaps differ, and none is equal to another."""
    table = scale * np.square(np.array(orders, float)).T
    distances = crowding_distances(table)
    assert len(distances) == len(table)
    for one, distance in enumerate(distances):
        expected = 0.0
        for values in table.T:
            below, above = values[values < values[one]], values[values > values[one]]
            is_end = not len(below) or not len(above)
            expected += np.inf if is_end else (above.min() - below.max()) / (values.max() - values.min())
        assert distance == pytest.approx(expected, rel=1e-6)


def test_the_best_come_first_by_front_and_then_by_crowding() -> None:
    first = [[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]]
    second = [[9.0, 9.0]]
    order = best_first(np.array(second + first))
    assert set(order[:2]) == {1, 4}, "the ends of the better front"
    assert order[2:] == [2, 3, 0], "of the inner ones the one that is less crowded, then the other front"


def test_the_knee_is_where_the_front_bends() -> None:
    assert knee_index([(0.1, 10.0), (0.15, 2.0), (0.5, 1.0)]) == 1
    assert knee_index([(0.1, 10.0)]) == 0
    assert knee_index([(0.1, 10.0), (0.2, 5.0)]) == 0
    assert knee_index([(0.1, 10.0), (0.4, 9.0), (0.45, 6.0), (0.9, 5.0)]) == 2
    assert knee_index([(9.0, 5.0), (1.0, 9.0), (3.0, 6.5)]) == 2, "in whatever order"
    assert knee_index([(1.0, 1.0), (0.0, 2.0), (0.5, 1.5)]) == 1, "on a line it is the first"
    with pytest.raises(ValueError, match="at least one"):
        knee_index([])


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=3, max_size=12))
def test_the_knee_is_the_farthest_below_the_line_between_the_ends(drawn) -> None:
    front = [
        point
        for point in set(drawn)
        if not any(o != point and o <= point and o[1] <= point[1] for o in drawn)
    ]
    low, high = np.min(front, axis=0), np.max(front, axis=0)
    scaled = (np.array(front) - low) / np.maximum(high - low, 1)
    below = (1 - scaled.sum(axis=1)) / np.sqrt(2)  # from the line through (0, 1) and (1, 0)
    assert below[knee_index(front)] == pytest.approx(below.max())
