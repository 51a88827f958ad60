from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hwnas.errors import ConfigError
from hwnas.tasks.base import LossSettings
from hwnas.tasks.losses import FREQUENCY_OFFSET, class_weights, lovasz_softmax, segmentation_loss


def _jaccard_loss(wrong: np.ndarray, truth: np.ndarray) -> float:
    """1 - IoU of a class when exactly the pixels `wrong` are mispredicted (Berman et al., equation 5)."""
    predicted = truth ^ wrong
    union = (truth | predicted).sum()
    return 0.0 if union == 0 else 1.0 - float((truth & predicted).sum() / union)


def _lovasz_extension(errors: np.ndarray, truth: np.ndarray) -> float:
    """The Lovász extension as a maximum over all orders (base polytope), independent of any sorting.

    For a submodular set function f with f({}) = 0 it is the maximum over permutations of
    sum_i errors[p_i] * (f({p_1..p_i}) - f({p_1..p_i-1})).
    """
    best = -np.inf
    for order in itertools.permutations(range(len(errors))):
        value, wrong = 0.0, np.zeros(len(errors), bool)
        before = 0.0
        for pixel in order:
            wrong[pixel] = True
            after = _jaccard_loss(wrong, truth)
            value += float(errors[pixel]) * (after - before)
            before = after
        best = max(best, value)
    return best


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_lovasz_equals_the_extension_over_all_orders(seed: int, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (1, num_classes, 1, 6)).astype(np.float32)
    targets = rng.integers(0, num_classes, (1, 1, 6))
    targets[0, 0, rng.random(6) < 0.15] = 255
    probabilities = torch.from_numpy(logits).softmax(1).numpy()[0, :, 0]
    counted = targets.ravel() != 255
    expected = [
        _lovasz_extension(
            np.abs((targets.ravel() == k)[counted] - probabilities[k][counted]),
            (targets.ravel() == k)[counted],
        )
        for k in np.unique(targets[targets != 255])
    ]
    found = float(lovasz_softmax(torch.from_numpy(logits), torch.from_numpy(targets)))
    assert found == pytest.approx(float(np.mean(expected)) if expected else 0.0, abs=1e-5)


def _certain(labels: Tensor, num_classes: int) -> Tensor:
    return 100.0 * torch.nn.functional.one_hot(labels, num_classes).permute(0, 3, 1, 2).float()


def test_lovasz_of_certain_predictions_is_the_mean_jaccard_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 3, (2, 8, 8), generator=generator)
    predicted = torch.randint(0, 3, (2, 8, 8), generator=generator)
    expected = np.mean(
        [_jaccard_loss(((truth == k) ^ (predicted == k)).numpy(), (truth == k).numpy()) for k in range(3)]
    )
    assert float(lovasz_softmax(_certain(predicted, 3), truth)) == pytest.approx(expected, abs=1e-5)
    assert float(lovasz_softmax(_certain(truth, 3), truth)) == pytest.approx(0.0, abs=1e-6)


def test_classes_absent_from_the_targets_do_not_count() -> None:
    truth = torch.zeros(1, 2, 2, dtype=torch.int64)
    assert float(lovasz_softmax(_certain(truth, 5), truth)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("parts", [LossSettings(), LossSettings(1.0, 0.0), LossSettings(0.0, 1.0)])
def test_ignored_pixels_have_no_gradient(parts: LossSettings) -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets = torch.randint(0, 3, (1, 4, 4), generator=torch.Generator().manual_seed(1))
    targets[0, :2] = 255
    segmentation_loss(parts, (1.0, 2.0, 3.0))(logits, targets).backward()
    assert logits.grad is not None
    assert float(logits.grad[0, :, :2].abs().max()) == 0.0
    assert float(logits.grad[0, :, 2:].abs().min(dim=0).values.max()) > 0.0


def test_only_ignored_pixels_give_zero_not_nan() -> None:
    logits = torch.randn(1, 3, 2, 2).requires_grad_()
    loss = segmentation_loss(LossSettings(), (1.0, 1.0, 1.0))(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0.0


def test_half_precision_logits_count_exactly() -> None:
    logits = torch.randn(1, 3, 64, 128, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.randint(0, 3, (1, 64, 128), generator=torch.Generator().manual_seed(1))
    assert float(lovasz_softmax(logits, targets)) == pytest.approx(
        float(lovasz_softmax(logits.float(), targets)), abs=1e-6
    )


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=19).filter(any))
def test_rarer_classes_weigh_more(counts: list[int]) -> None:
    weights = class_weights(counts)
    present = sorted((count, weight) for count, weight in zip(counts, weights, strict=True) if count)
    assert all(first[1] >= second[1] - 1e-9 for first, second in itertools.pairwise(present))
    assert present[0][1] <= present[-1][1] * (1 + 1 / FREQUENCY_OFFSET)
    shares = [count / sum(counts) for count in counts]
    assert sum(share * weight for share, weight in zip(shares, weights, strict=True)) == pytest.approx(1)
    assert all(weight == 1.0 for count, weight in zip(counts, weights, strict=True) if count == 0)


@pytest.mark.parametrize(
    "parts",
    [
        LossSettings(-1.0, 2.0),
        LossSettings(0.0, 0.0),
        LossSettings(float("nan"), 1.0),
        LossSettings(1.0, float("inf")),
    ],
)
def test_wrong_weights_are_refused(parts: LossSettings) -> None:
    with pytest.raises(ConfigError, match="loss weights"):
        segmentation_loss(parts, (1.0,))
