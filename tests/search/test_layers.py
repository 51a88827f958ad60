from __future__ import annotations

import numpy as np

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
