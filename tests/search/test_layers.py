from __future__ import annotations

import numpy as np
import pytest

from hwnas.pareto import first_fronts, front_indices, fronts
from hwnas.search.layers import best_by_layers, picked


def test_layers_are_the_fronts_of_what_is_left() -> None:
    points = np.random.default_rng(0).integers(1, 12, (60, 2)).astype(float)
    left = list(range(60))
    for layer in fronts(points):
        expected = [left[index] for index in front_indices(points[left].tolist())]
        assert sorted(layer.tolist()) == sorted(expected)
        left = [index for index in left if index not in set(layer.tolist())]
    assert left == []


def test_first_layers_are_whole() -> None:
    points = np.random.default_rng(1).random((200, 2))
    kept = first_fronts(points, 20)
    layers = list(fronts(points))
    number = next(n for n in range(1, 99) if sum(map(len, layers[:n])) >= 20)
    assert sorted(kept) == sorted(np.concatenate(layers[:number]))


def test_better_layers_come_first_and_twins_last() -> None:
    points = np.array([[0.1, 4.0], [0.2, 2.0], [0.4, 1.0], [0.3, 5.0], [0.4, 4.0]])
    genes = np.array([[0, 0, 0], [0, 0, 1], [3, 3, 3], [5, 5, 5], [6, 6, 6]])
    assert set(picked(points, genes, 2)) == {0, 2}, "1 is a twin of 0"
    assert set(picked(points, genes, 4)) == {0, 2, 3, 4}
    assert set(picked(points, genes, 9)) == {0, 1, 2, 3, 4}


def test_a_layer_that_is_too_large_is_thinned_out_evenly() -> None:
    rng = np.random.default_rng(3)
    errors = np.sort(rng.random(300))
    points = np.column_stack([errors, 2.0 - errors])
    chosen = picked(points, rng.integers(0, 50, (300, 6)), 30)
    assert len(set(chosen.tolist())) == 30
    thirds = np.histogram(errors[chosen], bins=3, range=(0, 1))[0]
    assert thirds.min() >= 5


def test_nothing_gives_nothing() -> None:
    empty = np.zeros((0, 2))
    assert len(picked(empty, np.zeros((0, 3), np.int64), 5)) == 0
    assert len(first_fronts(empty, 5)) == 0


def test_the_best_are_whole_layers_and_a_net_of_the_last() -> None:
    rng = np.random.default_rng(5)
    points = rng.random((200, 2))
    layers = [set(layer.tolist()) for layer in fronts(points)]
    for number in (0, 1, 7, 40, 200, 300):
        best = best_by_layers(points, number)
        assert len(best) == len(set(best)) == min(number, 200)
        for layer in layers:
            taken = layer & set(best)
            if taken != layer:
                assert len(set(best) - set().union(*layers[: layers.index(layer)])) == len(taken)
                break
    assert best_by_layers(np.zeros((0, 2)), 3) == []


def test_a_net_keeps_the_ends_of_a_layer() -> None:
    errors = np.linspace(0.1, 0.9, 101)
    points = np.column_stack([errors, 1.0 / errors])
    assert {0, 100} <= set(best_by_layers(points, 3))
    gaps = np.diff(np.sort(np.log(errors[best_by_layers(points, 26)])))
    assert gaps.max() < 0.3


def in_a_box(points: np.ndarray) -> np.ndarray:
    """Points in the box 0..1 that just holds them, costs by their logarithm."""
    scaled = np.column_stack([points[:, 0], np.log(points[:, 1])])
    return (scaled - scaled.min(axis=0)) / (scaled.max(axis=0) - scaled.min(axis=0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [(1.0, 1.0), (1e-3, 1e-4), (1.0, 1e4)])
def test_of_the_last_layer_each_is_the_farthest_from_those_before(seed: int, scale: tuple) -> None:
    points = (0.1 + np.random.default_rng(seed).random((60, 2))) * scale
    places, layers = in_a_box(points), [layer.tolist() for layer in fronts(points)]
    for number in range(1, 60):
        best = best_by_layers(points, number)
        whole = next(n for n in range(len(layers)) if number <= sum(map(len, layers[: n + 1])))
        before = [one for layer in layers[:whole] for one in layer]
        if len(before) + len(layers[whole]) == number:
            assert best == before + layers[whole]
            continue
        assert best[: len(before)] == before
        for position in range(len(before), number):
            taken, left = best[:position], set(layers[whole]) - set(best[:position])
            if not taken:
                assert places[best[0]].sum() == min(places[one].sum() for one in left)
                continue
            distance = {one: np.abs(places[taken] - places[one]).sum(axis=1).min() for one in left}
            assert distance[best[position]] == pytest.approx(max(distance.values()))


def test_costs_of_zero_and_equal_coordinates_have_places_too() -> None:
    """Without a logarithm where a cost is zero: the middle is then 5 of 0 to 10."""
    points = np.array([[0.0, 10.0], [0.5, 5.0], [0.6, 4.5], [1.0, 0.0]])
    assert set(best_by_layers(points, 2)) == {0, 3}
    assert set(best_by_layers(points, 3)) == {0, 1, 3}
    same = np.array([[0.5, 1.0]] * 4)
    assert sorted(best_by_layers(same, 3)) == [0, 1, 2]


def layer_of(count: int) -> np.ndarray:
    errors = np.linspace(0.1, 0.9, count)
    return np.column_stack([errors, 1.0 - errors])


def test_twins_differ_in_fewer_than_two_genes() -> None:
    genes = np.array([[0, 0], [0, 1], [5, 5]])
    order = picked(layer_of(3), genes, 3).tolist()
    assert sorted(order) == [0, 1, 2]
    assert order[2] in (0, 1), "one of the twins comes last"
    genes = np.array([[0, 0, 0], [0, 1, 1], [5, 5, 5]])
    points = np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])
    assert picked(points, genes, 2).tolist() == [0, 1], "two genes are enough, and the better layer counts"


@pytest.mark.parametrize("seed", range(5))
def test_each_picked_is_the_least_like_all_picked_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, genes = 0.1 + rng.random((40, 2)), rng.integers(0, 3, (40, 5))
    places, layers = in_a_box(points), [layer.tolist() for layer in fronts(points)]
    order = picked(points, genes, 40).tolist()
    assert sorted(order) == list(range(40))
    differing = (genes[:, None] != genes).sum(axis=2)
    distance = differing / 5 + np.abs(places[:, None] - places).sum(axis=2)
    layer_number = {one: number for number, layer in enumerate(layers) for one in layer}
    twins = [
        one for position, one in enumerate(order) if position and differing[one, order[:position]].min() < 2
    ]
    assert twins
    chosen = [one for one in order if one not in twins]
    assert order == chosen + twins
    for position in range(1, len(chosen)):
        one, before = chosen[position], chosen[:position]
        assert layer_number[chosen[position - 1]] <= layer_number[one]
        same = [
            other
            for other in chosen[position:]
            if layer_number[other] == layer_number[one] and differing[other, before].min() >= 2
        ]
        assert distance[one, before].min() == pytest.approx(max(distance[o, before].min() for o in same))
    for number in (1, 7, len(chosen), 39):
        assert picked(points, genes, number).tolist()[: len(chosen)] == order[:number][: len(chosen)]
        assert len(picked(points, genes, number)) == number
