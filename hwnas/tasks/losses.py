"""Losses for semantic segmentation: class-weighted cross-entropy and Lovász-softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hwnas.errors import ConfigError
from hwnas.labels import IGNORED_LABEL
from hwnas.tasks.base import LossFunction, LossSettings

FREQUENCY_OFFSET = 0.02
"""Added to class frequencies, so that a class with a handful of points does not decide the gradient."""


def class_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Return a loss weight for each class: 1 / (frequency + offset), with a mean of 1 over items.

    Milioto et al., "RangeNet++", IROS 2019, with a larger offset than theirs, for small data sets. A class
    that the training split does not hold has weight 1 (it never meets the loss).

    Args:
        counts: items of each class in the training split; at least one is not zero.
    """
    frequency = np.asarray(counts, np.float64) / max(1, sum(counts))
    weights = 1.0 / (frequency + FREQUENCY_OFFSET)
    weights /= float((weights * frequency).sum())
    weights[frequency == 0] = 1.0
    return tuple(float(weight) for weight in weights)


def lovasz_softmax(logits: Tensor, targets: Tensor, ignored: int = IGNORED_LABEL) -> Tensor:
    """Return the Lovász-softmax loss, a surrogate of 1 - mIoU over the classes present in `targets`.

    Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8 to 11, with all pixels
    of the batch taken together: for each class the errors m of its pixels are sorted in descending
    order and weighted with the discrete derivative of the Jaccard loss along that order.

    Args:
        logits: [N, K, H, W].
        targets: [N, H, W], classes 0..K-1 or `ignored`.
        ignored: target of pixels to leave out.

    Returns:
        A scalar in 0..1; zero (with a gradient of zero) where every target is ignored.
    """
    num_classes = logits.shape[1]
    counted = targets.reshape(-1) != ignored
    truth = targets.reshape(-1)[counted]
    if truth.numel() == 0:
        return logits.sum() * 0.0
    # Single precision also under autocast: half precision cannot count above 2048 pixels.
    probabilities = logits.float().softmax(dim=1).permute(1, 0, 2, 3).reshape(num_classes, -1)[:, counted]
    losses = [
        _lovasz_of_class(probabilities[index], truth == index) for index in torch.unique(truth).tolist()
    ]
    return torch.stack(losses).mean()


def _lovasz_of_class(probability: Tensor, is_class: Tensor) -> Tensor:
    foreground = is_class.to(probability.dtype)
    errors, order = torch.sort((foreground - probability).abs(), descending=True)
    return torch.dot(errors, _jaccard_derivative(foreground[order]))


def _jaccard_derivative(sorted_foreground: Tensor) -> Tensor:
    """Return the growth of the Jaccard loss with every further wrong pixel (Berman et al., algorithm 1)."""
    num_foreground = sorted_foreground.sum()
    intersection = num_foreground - sorted_foreground.cumsum(0)
    union = num_foreground + (1.0 - sorted_foreground).cumsum(0)
    jaccard_loss = 1.0 - intersection / union
    return torch.cat([jaccard_loss[:1], jaccard_loss[1:] - jaccard_loss[:-1]])


def segmentation_loss(settings: LossSettings, weights: Sequence[float]) -> LossFunction:
    """Return the weighted sum of class-weighted cross-entropy and Lovász-softmax.

    Args:
        settings: weights of the two parts; zero leaves a part out.
        weights: of each class, for the cross-entropy.

    Raises:
        ConfigError: if a weight is negative or not finite, or both parts are left out.
    """
    parts = (settings.cross_entropy, settings.lovasz)
    if not (all(0 <= part < math.inf for part in parts) and any(parts)):
        raise ConfigError(
            "Expected finite loss weights of at least 0 and one of them positive, found "
            f"cross_entropy = {settings.cross_entropy} and lovasz = {settings.lovasz}."
        )
    of_class = torch.tensor(weights, dtype=torch.float32)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.float()
        total = logits.new_zeros(())
        if settings.cross_entropy:
            total = total + settings.cross_entropy * _cross_entropy(
                logits, targets, of_class.to(logits.device)
            )
        if settings.lovasz:
            total = total + settings.lovasz * lovasz_softmax(logits, targets)
        return total

    return loss


def _cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    # The mean over no pixel at all would be NaN, and end a sound training.
    if bool((targets == IGNORED_LABEL).all()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits, targets, weight=weights, ignore_index=IGNORED_LABEL)
