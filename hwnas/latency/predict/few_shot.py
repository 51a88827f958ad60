"""Latency on a new device from a few measurements, given latencies of the same networks on other devices.

A Gaussian process over networks: two of them are alike if other devices take alike long for them, if they
have the same operations in the same numbers, and if they differ in few places. Which of these tells most is
learnt from the known devices: each is predicted from the others, with as few measurements as the new one has.
The networks to be measured are those after which the least is left unknown.

Compare: Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning", NeurIPS
2021; Akhauri & Abdelfattah, "On Latency Predictors for Neural Architecture Search", MLSys 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import linalg

from hwnas.arrays import DoubleArray
from hwnas.errors import LatencyTableError
from hwnas.rank_correlation import spearman_rho

Index = npt.NDArray[np.intp]

_CLIPPED = (1.0, 99.0)
_CONSTANT = 10.0
"""Variance of a shift of all latencies, in their own variance: the mean of a few is no good guess."""
_MAX_CANDIDATES = 400
_OUTLIER = 2.0
_SUSPICION = 30.0
_ROUNDS = 5
_FOLDS_PER_DEVICE = 2


@dataclass(frozen=True)
class Likeness:
    """How much each kind of likeness counts: variances, in that of the measured latencies.

    Attributes:
        mean: mean of the standardised latencies on other devices.
        devices: those latencies, each device by itself.
        features: amounts, such as numbers of operations.
        choices: equal choices, falling off with the number of unequal ones.
        noise: of one measurement.
    """

    mean: float = 1.0
    devices: float = 0.1
    features: float = 1.0
    choices: float = 0.1
    noise: float = 0.03


TRIED = tuple(
    replace(Likeness(), devices=devices, features=features, choices=choices)
    for devices in (0.1, 0.3, 1.0)
    for features in (0.0, 0.1, 1.0)
    for choices in (0.0, 0.1)
)


@dataclass(frozen=True, eq=False)
class NetworkPool:
    """Networks and what is known of them.

    Attributes:
        known_ms: latencies on other devices, [networks, devices], positive and finite.
        features: amounts that latency may grow with, [networks, features]; none if there are no columns.
        choices: categories, [networks, places]; none if there are no columns.

    Raises:
        LatencyTableError: if shapes do not fit or a latency is no latency.
    """

    known_ms: DoubleArray
    features: DoubleArray
    choices: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        networks = len(self.known_ms)
        if self.known_ms.ndim != 2 or not self.known_ms.shape[1]:
            raise LatencyTableError(f"Latencies must be [networks, devices], but are {self.known_ms.shape}.")
        if len(self.features) != networks or len(self.choices) != networks:
            raise LatencyTableError(
                f"There are latencies of {networks} networks, but features of {len(self.features)} and "
                f"choices of {len(self.choices)}."
            )
        if not (np.isfinite(self.known_ms).all() and (self.known_ms > 0).all()):
            raise LatencyTableError(
                "Latencies of other devices must be finite and positive; leave out networks without one."
            )

    @cached_property
    def devices(self) -> DoubleArray:
        """Standardised logarithms of the latencies, without extremes, which often are no inference at all."""
        return _standardised(np.log(self.known_ms))

    @cached_property
    def amounts(self) -> DoubleArray:
        """Standardised features."""
        return _standardised(self.features)

    def without(self, device: int) -> NetworkPool:
        """Return what is known when one of the devices is not."""
        return NetworkPool(np.delete(self.known_ms, device, axis=1), self.features, self.choices)

    def covariance(self, left: Index, right: Index, likeness: Likeness) -> DoubleArray:
        """Return how alike networks are, [left, right]."""
        a, b = self.devices[left], self.devices[right]
        found = likeness.mean * np.outer(a.mean(axis=1), b.mean(axis=1))
        found += likeness.devices / a.shape[1] * (a @ b.T)
        if self.amounts.shape[1]:
            found += likeness.features / self.amounts.shape[1] * (self.amounts[left] @ self.amounts[right].T)
        if self.choices.shape[1]:
            unequal = (self.choices[left][:, None, :] != self.choices[right][None, :, :]).sum(axis=2)
            found += likeness.choices * np.exp(-3.0 * unequal / self.choices.shape[1])
        return np.asarray(found, np.float64)


def choose_samples(
    pool: NetworkPool,
    candidates: Index,
    count: int,
    rng: np.random.Generator,
    likeness: Likeness | None = None,
) -> Index:
    """Return the networks to measure, [count]: one by one, that after which the others are known best.

    Args:
        pool: all networks.
        candidates: those that may be measured; of many, some are looked at.
        count: how many to choose.
        rng: decides which candidates are looked at.
        likeness: see `learn_likeness`; the usual one if None.

    Raises:
        LatencyTableError: if there are fewer candidates.
    """
    if len(candidates) < count:
        raise LatencyTableError(f"There are {len(candidates)} networks to choose {count} from.")
    likeness = likeness or Likeness()
    looked_at = rng.permutation(candidates)[: max(_MAX_CANDIDATES, count)]
    left = pool.covariance(looked_at, looked_at, likeness)
    chosen: list[int] = []
    for _ in range(count):
        gain = np.square(left).sum(axis=1) / (np.diag(left) + likeness.noise)
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        left = left - np.outer(left[:, best], left[best]) / (left[best, best] + likeness.noise)
    return looked_at[chosen]


@dataclass(frozen=True)
class FewShotPrediction:
    """Latencies on the new device.

    Attributes:
        latency_ms: of the networks asked for, [n].
        left_out_ms: of the measured networks, each predicted from the other ones, [m].
        suspects: measured networks, by position, that contradict all others; they count little.
    """

    latency_ms: DoubleArray
    left_out_ms: DoubleArray
    suspects: tuple[int, ...]


def predict(
    pool: NetworkPool,
    measured: Index,
    measured_ms: DoubleArray,
    wanted: Index,
    likeness: Likeness | None = None,
) -> FewShotPrediction:
    """Predict networks on the new device.

    The square root of the latency is predicted: between the sum of parts, which the latency is, and relative
    errors, which matter.

    Args:
        pool: all networks.
        measured: those that were measured, [m], at least 3.
        measured_ms: their latencies, [m].
        wanted: those to predict, [n].
        likeness: see `learn_likeness`; the usual one if None.

    Raises:
        LatencyTableError: if too few were measured, or a latency is no latency.
    """
    if len(measured) < 3 or len(measured) != len(measured_ms):
        raise LatencyTableError(
            f"At least 3 measured networks with a latency each are needed, but there are {len(measured)} and "
            f"{len(measured_ms)}."
        )
    if not (np.isfinite(measured_ms).all() and (measured_ms > 0).all()):
        raise LatencyTableError("Measured latencies must be finite and positive. Measure again.")
    likeness = likeness or Likeness()
    roots = np.sqrt(measured_ms)
    centre, spread = float(roots.mean()), max(float(roots.std()), 1e-9 * float(roots.mean()))
    values = (roots - centre) / spread
    covariance = pool.covariance(measured, measured, likeness) + _CONSTANT
    noise = _noise_of(covariance, values, likeness.noise)
    inverse = linalg.inv(covariance + np.diag(noise))
    weights = inverse @ values
    found = (pool.covariance(wanted, measured, likeness) + _CONSTANT) @ weights
    left_out = values - weights / np.diag(inverse)
    suspects = tuple(np.flatnonzero(noise > likeness.noise * _SUSPICION).tolist())
    smallest = 0.1 * float(measured_ms.min())
    latency_ms, left_out_ms = (
        np.maximum(np.square(np.maximum(centre + spread * each, 0.0)), smallest) for each in (found, left_out)
    )
    return FewShotPrediction(latency_ms, left_out_ms, suspects)


def learn_likeness(
    pool: NetworkPool,
    candidates: Index,
    count: int,
    rng: np.random.Generator,
    tried: Sequence[Likeness] = TRIED,
) -> Likeness:
    """Return the likeness with which the known devices predict each other best, by mean rank correlation.

    With fewer than three devices there is too little to learn from, and the usual one is returned.

    Args:
        pool: all networks.
        candidates: networks to choose samples from and to evaluate on.
        count: measurements that the new device will get.
        rng: for the choice.
        tried: to choose from.
    """
    devices = pool.known_ms.shape[1]
    if devices < 3:
        return Likeness()
    scores = np.zeros(len(tried))
    for device in range(devices):
        others = pool.without(device)
        for _ in range(_FOLDS_PER_DEVICE):
            looked_at = rng.permutation(candidates)[:_MAX_CANDIDATES]
            for number, likeness in enumerate(tried):
                samples = choose_samples(others, looked_at, count, rng, likeness)
                truth_ms = pool.known_ms[:, device]
                found = predict(others, samples, truth_ms[samples], looked_at, likeness)
                scores[number] += spearman_rho(found.latency_ms, truth_ms[looked_at])
    return tried[int(np.argmax(scores))]


def _noise_of(covariance: DoubleArray, values: DoubleArray, noise: float) -> DoubleArray:
    """Return the noise of each measurement: much of those that contradict all others, [m].

    One interrupted measurement in ten would spoil the rest. Iteratively reweighted: the noise of a point
    grows with the square of how unlikely the others find it (a redescending M-estimator, see Huber and
    Ronchetti, "Robust Statistics", 2nd edition, 2009, section 4.8, with a jump so that a clear outlier hardly
    counts).
    """
    own = np.full(len(values), noise)
    for _ in range(_ROUNDS):
        inverse = linalg.inv(covariance + np.diag(own))
        variance = 1.0 / np.diag(inverse)
        deviation = np.abs(inverse @ values) * variance / np.sqrt(variance - own + noise)
        usual = max(1.0, float(np.median(deviation)) / 0.6745)
        relative = deviation / usual / _OUTLIER
        wanted = np.where(relative > 1.0, noise * _SUSPICION * np.square(relative), noise)
        if np.allclose(wanted, own):
            break
        own = 0.5 * (own + wanted)
    return own


def _standardised(values: DoubleArray) -> DoubleArray:
    if not values.shape[1]:
        return values
    low, high = np.percentile(values, _CLIPPED, axis=0)
    clipped = np.clip(values, low, high)
    spread = clipped.std(axis=0)
    return np.asarray((clipped - clipped.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0))
