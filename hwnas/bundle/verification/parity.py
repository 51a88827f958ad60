"""How far two runtimes of one network are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import VerificationError
from hwnas.tasks.base import Arrays, Predict

Decisions = Callable[[Arrays], npt.NDArray[Any]]


@dataclass(frozen=True)
class Parity:
    """Differences of outputs over several inputs.

    Attributes:
        num_inputs: inputs compared.
        num_decisions: decisions compared, see `Task.decisions`.
        max_abs_difference: largest difference of any two values; infinite if one is not finite.
        relative_l2: norm of the difference over the norm of the reference, of the output where it is largest.
        same_decision_share: share of decisions that are the same, 0..1.
    """

    num_inputs: int
    num_decisions: int
    max_abs_difference: float
    relative_l2: float
    same_decision_share: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `verification.json` holds them; infinity has no number there."""
        return {
            "parity_inputs": self.num_inputs,
            "max_abs_difference": finite_or_none(self.max_abs_difference),
            "relative_l2": finite_or_none(self.relative_l2),
            "same_decision_share": self.same_decision_share,
        }


def finite_or_none(value: float) -> float | None:
    """Return what JSON can hold."""
    return value if math.isfinite(value) else None


def compare(predict: Predict, reference: Predict, inputs: Iterable[Arrays], decisions: Decisions) -> Parity:
    """Run both networks on every input and compare their outputs, and what these decide.

    Raises:
        VerificationError: if there is no input, or the outputs differ in names or shapes.
    """
    count = decided = same = 0
    largest = 0.0
    squares: dict[str, float] = {}
    reference_squares: dict[str, float] = {}
    for arrays in inputs:
        found, wanted = dict(predict(arrays)), dict(reference(arrays))
        _refuse_other_shapes(found, wanted)
        for name, array in wanted.items():
            exact = np.asarray(array, np.float64)
            difference = np.asarray(found[name], np.float64) - exact
            here = float(np.abs(difference).max())
            largest = max(largest, here if math.isfinite(here) else math.inf)
            squares[name] = squares.get(name, 0.0) + float((difference**2).sum())
            reference_squares[name] = reference_squares.get(name, 0.0) + float((exact**2).sum())
        first, second = np.asarray(decisions(found)), np.asarray(decisions(wanted))
        count, decided = count + 1, decided + second.size
        same += int(np.count_nonzero(first == second)) if first.shape == second.shape else 0
    if not count or not decided:
        raise VerificationError("There is no input to compare networks on; give a data set with `data=`.")
    worst = max(_ratio(squares[name], reference_squares[name]) for name in squares)
    return Parity(count, decided, largest, worst, same / decided)


def _refuse_other_shapes(found: Arrays, wanted: Arrays) -> None:
    shapes = {name: np.shape(array) for name, array in found.items()}
    expected = {name: np.shape(array) for name, array in wanted.items()}
    if shapes != expected:
        raise VerificationError(
            f"The model gives outputs {shapes}, its PyTorch reference {expected}. Export the bundle again."
        )


def _ratio(squares: float, reference_squares: float) -> float:
    if squares == 0.0:
        return 0.0
    ratio = math.sqrt(squares / reference_squares) if reference_squares > 0.0 else math.inf
    return ratio if math.isfinite(ratio) else math.inf
