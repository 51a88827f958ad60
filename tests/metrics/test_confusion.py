"""mIoU against two independent implementations, and the benchmark's conventions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from hwnas.metrics.confusion import confusion_matrix, iou_per_class, mean_iou

NUM_CLASSES = 5

truths = hnp.arrays(np.uint8, st.integers(1, 80), elements=st.sampled_from([0, 1, 2, 3, 4, 255]))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    truth = draw(truths)
    predicted = draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, NUM_CLASSES - 1)))
    return truth, predicted


def brute_force_iou(truth: np.ndarray, predicted: np.ndarray) -> list[float | None]:
    """Set by set, as the definition reads."""
    counted = [i for i, t in enumerate(truth) if t != 255]
    result: list[float | None] = []
    for c in range(NUM_CLASSES):
        true = {i for i in counted if truth[i] == c}
        said = {i for i in counted if predicted[i] == c}
        result.append(len(true & said) / len(true | said) if true else None)
    return result


@given(labelled())
def test_matches_the_definition_with_sets(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = pair
    matrix = confusion_matrix(truth, predicted, NUM_CLASSES)
    expected = brute_force_iou(truth, predicted)
    assert iou_per_class(matrix) == pytest.approx(expected)
    present = [iou for iou in expected if iou is not None]
    if present:
        assert mean_iou(matrix) == pytest.approx(sum(present) / len(present))
    else:
        with pytest.raises(ValueError, match="counts no point"):
            mean_iou(matrix)


@given(labelled())
def test_matches_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = (torch.from_numpy(array.astype(np.int64)) for array in pair)
    reference = MulticlassConfusionMatrix(NUM_CLASSES, ignore_index=255)
    reference.update(predicted, truth)
    np.testing.assert_array_equal(confusion_matrix(*pair, NUM_CLASSES), reference.compute().numpy())


def test_all_classes_present_equals_torchmetrics_macro_jaccard() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, NUM_CLASSES, 5000).astype(np.uint8)
    predicted = np.where(rng.random(5000) < 0.7, truth, rng.integers(0, NUM_CLASSES, 5000)).astype(np.uint8)
    jaccard = MulticlassJaccardIndex(NUM_CLASSES, average="macro")
    reference = jaccard(
        torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))
    )
    assert mean_iou(confusion_matrix(truth, predicted, NUM_CLASSES)) == pytest.approx(
        float(reference), abs=1e-6
    )


def test_pooling_scans_is_not_averaging_them() -> None:
    small = confusion_matrix(np.array([0, 1], np.uint8), np.array([1, 1], np.uint8), 2)
    large = confusion_matrix(np.zeros(98, np.uint8), np.zeros(98, np.uint8), 2)
    pooled = mean_iou(small + large)
    assert pooled == pytest.approx((98 / 99 + 1 / 2) / 2)
    assert pooled != pytest.approx((mean_iou(small) + mean_iou(large)) / 2)


def test_absent_class_is_none_but_false_positives_of_it_still_cost() -> None:
    matrix = confusion_matrix(np.array([0, 0, 0, 0], np.uint8), np.array([0, 0, 0, 2], np.uint8), 3)
    assert iou_per_class(matrix) == (0.75, None, None)
    assert mean_iou(matrix) == 0.75


def test_ignored_points_count_nowhere() -> None:
    matrix = confusion_matrix(np.array([255, 1], np.uint8), np.array([0, 1], np.uint8), 2)
    np.testing.assert_array_equal(matrix, [[0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("truth", "predicted", "match"),
    [
        ([0, 1], [0], "shape"),
        ([0, 7], [0, 1], "truth holds classes 0..7"),
        ([0, 1], [0, 255], "predicted holds classes 0..255"),
        ([0, 3], [0, 1], "truth holds classes 0..3; expected 0..2 or 255"),
        ([0, 1], [0, 3], "predicted holds classes 0..3; expected 0..2 wherever"),
    ],
)
def test_refuses_what_it_cannot_count(truth: list[int], predicted: list[int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        confusion_matrix(np.array(truth, np.uint8), np.array(predicted, np.uint8), 3)


def test_negative_classes_are_refused_too() -> None:
    for truth, predicted in (([-1, 0], [0, 0]), ([0, 0], [-1, 2])):
        with pytest.raises(ValueError, match=r"holds classes -1\.\."):
            confusion_matrix(np.array(truth), np.array(predicted), 3)


def test_the_largest_class_and_no_point_at_all_are_counted() -> None:
    matrix = confusion_matrix(np.array([2, 2], np.uint8), np.array([2, 0], np.uint8), 3)
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [0, 0, 0], [1, 0, 1]])
    assert matrix.dtype == np.int64
    for empty in (np.zeros(0, np.uint8), np.full(4, 255, np.uint8)):
        np.testing.assert_array_equal(confusion_matrix(empty, empty, 3), np.zeros((3, 3)))


def test_scans_of_two_dimensions_count_point_by_point() -> None:
    truth, predicted = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 0], [1, 1]], np.uint8)
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, 2), [[1, 0], [1, 1]])
