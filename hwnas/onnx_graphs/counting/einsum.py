"""The work of an Einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hwnas.onnx_graphs.counting.values import UnknownShapeError

_DOTS = "..."


def einsum_macs(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the multiplications of an Einsum whose operands are joined from left to right.

    ONNX does not say in which order; ONNX Runtime goes from left to right. An axis that neither the output
    nor a later operand has is summed as soon as possible. An Einsum of one operand moves and adds, and
    multiplies nothing.

    Raises:
        UnknownShapeError: if shapes and equation contradict each other.
    """
    left, _, right = equation.replace(" ", "").partition("->")
    terms = [_labels(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    sizes: dict[str, int] = {}
    for labels, shape in zip(terms, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            if sizes.setdefault(label, size) == 1:
                sizes[label] = size
    output = _output_labels(left, right, terms, has_arrow="->" in equation)
    total, kept = 0, set(terms[0])
    for index, labels in enumerate(terms[1:], 1):
        needed = set(output).union(*terms[index + 1 :])
        joined = kept | set(labels)
        # What only one side has and nobody needs is added up before the product.
        multiplied = {label for label in joined if label in needed or (label in kept and label in labels)}
        total += math.prod(sizes[label] for label in multiplied)
        kept = joined & needed
    return total


def _labels(term: str, rank: int) -> list[str]:
    """Return one label an axis; those under the dots are numbered from the right, as they are broadcast."""
    before, dots, after = term.partition(_DOTS)
    hidden = rank - len(before) - len(after) if dots else 0
    if hidden < 0 or (not dots and len(term) != rank):
        raise UnknownShapeError
    return [*before, *(f"{_DOTS}{number}" for number in range(hidden, 0, -1)), *after]


def _output_labels(left: str, right: str, terms: Sequence[list[str]], *, has_arrow: bool) -> set[str]:
    hidden = {label for labels in terms for label in labels if label.startswith(_DOTS)}
    if has_arrow:
        return set(right.replace(_DOTS, "")) | (hidden if _DOTS in right else set())
    letters = left.replace(_DOTS, "").replace(",", "")
    return {letter for letter in letters if letters.count(letter) == 1} | hidden
