"""How far two runtimes of one network are apart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hwnas.errors import VerificationError
from hwnas.tasks.base import FloatArray, Predict


@dataclass(frozen=True)
class Parity:
    """Differences of logits over all pixels of several inputs.

    Attributes:
        num_inputs: inputs compared.
        num_pixels: pixels compared.
        max_abs_difference: largest difference of any two logits; infinite if one is not finite.
        relative_l2: norm of the difference over the norm of the reference logits.
        same_label_share: share of pixels whose largest logit belongs to the same class, 0..1.
    """

    num_inputs: int
    num_pixels: int
    max_abs_difference: float
    relative_l2: float
    same_label_share: float


def compare(predict: Predict, reference: Predict, inputs: Iterable[FloatArray]) -> Parity:
    """Run both networks on every input and compare their logits [1, K, H, W].

    Raises:
        VerificationError: if there is no input, or the outputs differ in shape.
    """
    count = pixels = same = 0
    largest = squares = reference_squares = 0.0
    for image in inputs:
        found = np.asarray(predict(image), np.float64)
        wanted = np.asarray(reference(image), np.float64)
        if found.shape != wanted.shape:
            raise VerificationError(
                f"The model gives an output {found.shape}, its PyTorch reference {wanted.shape}. "
                "Export the bundle again."
            )
        difference = found - wanted
        count += 1
        pixels += found[:, 0].size
        same += int(np.count_nonzero(found.argmax(axis=1) == wanted.argmax(axis=1)))
        here = float(np.abs(difference).max())
        largest = max(largest, here if math.isfinite(here) else math.inf)
        squares += float((difference**2).sum())
        reference_squares += float((wanted**2).sum())
    if not count:
        raise VerificationError("There is no input to compare networks on; give a data set with `--data`.")
    return Parity(count, pixels, largest, _ratio(squares, reference_squares), same / pixels)


def _ratio(squares: float, reference_squares: float) -> float:
    if squares == 0.0:
        return 0.0
    ratio = math.sqrt(squares / reference_squares) if reference_squares > 0.0 else math.inf
    return ratio if math.isfinite(ratio) else math.inf
