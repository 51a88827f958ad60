"""Predicts the latency of any network of a space from what was measured of some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray
from hwnas.kernel_graph.kernels import KINDS
from hwnas.latency.predict.correction import Correction
from hwnas.latency.predict.decomposition import Decomposition, summed
from hwnas.latency.predict.kernel_times import KernelTimes
from hwnas.one_thread import one_thread

_PROFILER_MS = 0.005
"""Scale of the part that stands for what a kernel costs beside its work."""
_OFFSET_SPREAD = 0.03
_BETWEEN_SESSIONS = 0.0125
"""Standard deviation of what all networks together are off by in another session, after correction for the
speed of the machine; measured, see docs/results/latency_prediction.md."""
_MIN_SPREAD = 0.005
_NEIGHBOURS_MS = 0.35
"""Networks whose shares differ by less than this, roughly, err alike."""
_MAX_POINTS = 300


@dataclass(frozen=True)
class Prediction:
    """Latencies of n networks.

    Attributes:
        latency_ms: most likely, [n].
        low_ms: lower end of the interval, [n].
        high_ms: upper end, [n].
        confidence: share of networks whose latency lies in their interval.
    """

    latency_ms: DoubleArray
    low_ms: DoubleArray
    high_ms: DoubleArray
    confidence: float


class LatencyPredictor:
    """A sum of parts, corrected by whole networks; `correct` adds networks while it is in use."""

    def __init__(
        self,
        decomposition: Decomposition,
        times: KernelTimes | None,
        correction: Correction,
        log_errors: Sequence[float],
        confidence: float = 0.9,
    ) -> None:
        """Put together what was fitted.

        Args:
            decomposition: of the space.
            times: of kernels; None where only whole networks were measured.
            correction: from parts to networks.
            log_errors: logarithms of measured over predicted, for networks that were left out.
            confidence: of intervals.
        """
        self._decomposition = decomposition
        self._times = times
        self._correction = correction
        self._log_errors = np.asarray(log_errors, np.float64)
        self._confidence = confidence
        self._met: dict[str, tuple[DoubleArray, float]] = {}
        self._surprises: list[float] = []

    @property
    def confidence(self) -> float:
        """Share of networks whose latency lies in their predicted interval."""
        return self._confidence

    def predict(self, architectures: Sequence[Architecture]) -> Prediction:
        """Return the latencies of networks, in their order."""
        if not architectures:
            nothing = np.zeros(0)
            return Prediction(nothing, nothing, nothing, self._confidence)
        with one_thread():
            claims = self.claims(architectures)
        ms = self._correction.apply(claims) * np.exp(self._shift(_place(claims)))
        factor = math.exp(self._half_width())
        return Prediction(ms, ms / factor, ms * factor, self._confidence)

    def correct(self, architecture: Architecture, measured_ms: float) -> None:
        """Learn from a network that was measured.

        Raises:
            ValueError: if the latency is not positive.
        """
        if not measured_ms > 0:
            raise ValueError(f"A latency must be positive, but is {measured_ms!r}.")
        claims = self.claims([architecture])
        error = math.log(measured_ms / float(self._correction.apply(claims)[0]))
        place = _place(claims)
        if architecture.id not in self._met:
            self._surprises.append(error - float(self._shift(place)[0]))
        self._met[architecture.id] = place[0], error

    def claims(self, architectures: Sequence[Architecture]) -> DoubleArray:
        """Return what the parts of each network claim to take, in ms where kernels were timed, [n, parts]."""
        rows, owners = self._decomposition.rows(architectures)
        return claims_of(self._decomposition, self._times, rows, owners, len(architectures))

    def _shift(self, places: DoubleArray) -> DoubleArray:
        """Return by how much networks there err, in the logarithm, after those met in use.

        A Gaussian process: one offset that all share (another day, another clock), and what is alike among
        networks with like shares of parts.
        """
        recent = list(self._met.values())[-_MAX_POINTS:]
        if not recent:
            return np.zeros(len(places))
        known = np.stack([place for place, _ in recent])
        errors = np.array([error for _, error in recent])
        spread = max(float(np.std(self._log_errors)) if len(self._log_errors) else 0.05, _MIN_SPREAD)
        common, local, noise = max(_OFFSET_SPREAD, spread) ** 2, 0.5 * spread**2, 0.5 * spread**2
        covariance = common + local * _likeness(known, known)
        covariance[np.diag_indices_from(covariance)] += noise
        weights = np.linalg.solve(covariance, errors)
        return np.asarray((common + local * _likeness(places, known)) @ weights)

    def _half_width(self) -> float:
        """Return the half width of intervals in the logarithm: a quantile of errors on networks not seen.

        Source: Vovk et al., "Algorithmic Learning in a Random World", 2005; with n errors the quantile is the
        one of rank (n + 1) * confidence. Errors of a table's own networks are of one session; until networks
        are met in use, which tell the offset of this one, its spread comes on top.
        """
        surprises = self._surprises[-_MAX_POINTS:]
        errors = np.sort(np.abs(np.concatenate([self._log_errors, surprises])))
        if not len(errors):
            return math.log(2.0)
        rank = math.ceil((len(errors) + 1) * self._confidence)
        # Too few errors to say: twice the worst of them.
        width = float(errors[rank - 1]) if rank <= len(errors) else 2.0 * float(errors[-1])
        offset = 0.0 if self._met else NormalDist().inv_cdf((1 + self._confidence) / 2) * _BETWEEN_SESSIONS
        return math.hypot(width, offset)


def claims_of(
    decomposition: Decomposition, times: KernelTimes | None, rows: Any, owners: Any, networks: int
) -> DoubleArray:
    """Return what parts claim: ms by kind and a count where kernels were timed, plain amounts elsewhere."""
    if times is not None:
        count = np.bincount(owners, minlength=networks) * _PROFILER_MS
        return np.column_stack([times.by_kind(rows, owners, networks), count])
    kinds = len(KINDS) if decomposition.are_kernels else max(len(decomposition.kinds), 1)
    return summed(rows, owners, networks, kinds)


def _place(claims: DoubleArray) -> DoubleArray:
    """Return where networks lie for measuring likeness: roots of the shares of parts, and the size."""
    total = np.maximum(claims.sum(axis=1, keepdims=True), 1e-9)
    return np.concatenate([np.sqrt(np.maximum(claims, 0.0) / total), 0.1 * np.log2(total)], axis=1)


def _likeness(left: DoubleArray, right: DoubleArray) -> DoubleArray:
    squares = ((left[:, None, :] - right[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * squares / _NEIGHBOURS_MS**2))
