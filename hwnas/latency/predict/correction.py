"""From the times of the parts of a network to the time of the whole.

A network takes less or more than its kernels: the profiler has a cost of its own, caches stay warm, and parts
that cannot be measured are estimated. Whole networks that were measured say by how much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.errors import LatencyTableError

_RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_LEAST_SHARE = 0.3
"""A network never takes less than this share of the sum of its parts."""


@dataclass(frozen=True)
class Correction:
    """A weight for each part, close to what the parts claim themselves.

    Attributes:
        scales: from what a part claims to ms, [p]; 1 where it claims ms.
        centre: weight of each part as long as no network says otherwise, [p].
        weights: of the parts, [p].
        ridge: how strongly weights are held to the centre, chosen by leaving networks out.
    """

    scales: tuple[float, ...]
    centre: tuple[float, ...]
    weights: tuple[float, ...]
    ridge: float

    def apply(self, claims: DoubleArray) -> DoubleArray:
        """Return the time of each network in ms, [n], from what its parts claim, [n, p]."""
        parts = claims * np.array(self.scales)
        least = _LEAST_SHARE * np.maximum(parts @ np.array(self.centre), 1e-6)
        return np.asarray(np.maximum(parts @ np.array(self.weights), least))

    def for_kinds(self, kinds: int, *, are_times: bool) -> Correction:
        """Return the same for `kinds` kinds of kernels, of which a table may know only the first ones.

        A kind that the table has not met counts as it claims to where it claims a time, and nothing
        otherwise.

        Args:
            kinds: that parts are told apart by now.
            are_times: whether they claim ms.

        Raises:
            LatencyTableError: if the table knows more.
        """
        columns = np.array([self.scales, self.centre, self.weights])
        known = columns.shape[1] - 1 if are_times else columns.shape[1] // 4
        missing = kinds - known
        if missing < 0:
            raise LatencyTableError(
                f"The table tells {known} kinds of kernels apart, this hwnas {kinds}: it was made by a newer "
                "one. Use that version, or make a table with this one."
            )
        if are_times:
            columns = np.insert(columns, [known] * missing, 1.0, axis=1)
        else:
            columns = np.pad(columns.reshape(3, 4, known), ((0, 0), (0, 0), (0, missing))).reshape(3, -1)
        scales, centre, weights = (tuple(column.tolist()) for column in columns)
        return Correction(scales, centre, weights, self.ridge)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Correction:
        """Rebuild from `to_json`."""
        scales, centre, weights = (
            tuple(float(number) for number in value[name]) for name in ("scales", "centre", "weights")
        )
        return cls(scales, centre, weights, float(value["ridge"]))


def fit_correction(
    claims: DoubleArray, ms: DoubleArray, *, are_times: bool
) -> tuple[Correction, DoubleArray]:
    """Return the weights with the least relative errors, and what each network gets without itself.

    Least squares of relative errors, with weights held to the centre. The strength is the one that predicts
    networks best that it has not seen, which for least squares needs no fitting anew.

    Args:
        claims: of the parts, [n, p].
        ms: measured, [n].
        are_times: whether parts claim ms; their weights are then about 1, and that of the last one, which
            counts them, about 0. Otherwise they claim amounts, and are scaled to matter alike.

    Source: Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2nd edition, section 7.10.
    """
    scales, centre = _as_times(claims) if are_times else _as_amounts(claims, ms)
    relative = claims * scales / ms[:, None]
    target = 1.0 - relative @ centre
    best: tuple[float, Correction, DoubleArray] | None = None
    for ridge in _RIDGES:
        inverse = np.linalg.inv(relative.T @ relative + ridge * np.eye(len(scales)))
        change = inverse @ (relative.T @ target)
        leverage = np.einsum("ij,jk,ik->i", relative, inverse, relative)
        errors = (target - relative @ change) / np.maximum(1.0 - leverage, 0.05)
        score = float(np.mean(np.minimum(np.abs(errors), 0.3)))
        if best is None or score < best[0]:
            weights = tuple((centre + change).tolist())
            correction = Correction(tuple(scales.tolist()), tuple(centre.tolist()), weights, ridge)
            best = score, correction, ms * np.maximum(1.0 - errors, _LEAST_SHARE)
    assert best is not None  # noqa: S101 - there is at least one strength
    return best[1], best[2]


def _as_times(claims: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    centre = np.ones(claims.shape[1])
    centre[-1] = 0.0
    return np.ones(claims.shape[1]), centre


def _as_amounts(claims: DoubleArray, ms: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Scale each part so that, where it occurs, it claims the whole network; then take the mean of them."""
    shares = claims / ms[:, None]
    occurs = shares > 0
    usual = [
        float(np.median(column[there])) if there.any() else 0.0
        for column, there in zip(shares.T, occurs.T, strict=True)
    ]
    scales = np.array([1.0 / share if share > 0 else 0.0 for share in usual])
    return scales, np.full(claims.shape[1], 1.0 / max(float(occurs.sum(axis=1).mean()), 1.0))
