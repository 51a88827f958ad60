"""What samples of a latency say about its median, tails and steadiness.

No sample is ever clipped or dropped: tails are what a vehicle meets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

# Fewest samples before a tail may be stated: MLPerf's early-stopping rule with one query above the tail, 99 %
# confidence and no tolerance, that is the smallest n with P(Binomial(n, 1 - tail) <= 1) <= 1 %.
MIN_SAMPLES_OF_TAIL = {"p90": 64, "p95": 130, "p99": 662}
_RESAMPLES = 1000
_PIECE = 100
_MAX_DRAWN = 20_000_000


def median_interval(
    samples: NDArray[np.float64], confidence: float, *, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the confidence interval of the median of all samples.

    One process: the order-statistic interval, see `order_statistic_interval`. Several: see `_bootstrap`.

    Args:
        samples: positive, [processes, rounds, samples of a block].
        confidence: between 0 and 1.
        resamples: bootstrap repetitions.
        seed: of the bootstrap; equal samples give equal intervals.
    """
    if len(samples) == 1:
        return order_statistic_interval(samples.ravel(), confidence)

    def medians(processes: NDArray[np.int64], rounds: NDArray[np.int64]) -> NDArray[np.float64]:
        # In pieces, since all resamples at once would take resamples x samples x 8 bytes.
        size = max(1, min(_PIECE, _MAX_DRAWN // samples.size))
        pieces = range(0, len(processes), size)
        drawn = (samples[processes[i : i + size], rounds[i : i + size]] for i in pieces)
        return np.concatenate([np.median(piece.reshape(len(piece), -1), axis=1) for piece in drawn])

    return _bootstrap(
        medians, np.median(samples, axis=2), float(np.median(samples)), confidence, resamples, seed
    )


def round_ratios(samples: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much slower a model is than the reference, for each process and round: [processes, rounds].

    Both were clocked within a second of each other, so that heat and clock drift cancel.

    Args:
        samples: of the model, [processes, rounds, samples of a block].
        reference: of the reference, [processes, rounds, samples of its blocks].
    """
    ratios: NDArray[np.float64] = np.median(samples, axis=2) / np.median(reference, axis=2)
    return ratios


def ratio_interval(
    ratios: NDArray[np.float64], confidence: float, *, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the confidence interval of the median of ratios, see `_bootstrap`.

    With one process it says nothing about how processes differ.

    Args:
        ratios: positive, [processes, rounds], see `round_ratios`; two of them at least.
        confidence: between 0 and 1.
        resamples: bootstrap repetitions.
        seed: of the bootstrap; equal ratios give equal intervals.
    """

    def medians(processes: NDArray[np.int64], rounds: NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.median(ratios[processes, rounds], axis=(1, 2))
        return found

    return _bootstrap(medians, ratios, float(np.median(ratios)), confidence, resamples, seed)


def _bootstrap(
    medians: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]],
    blocks: NDArray[np.float64],
    centre: float,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the interval of a median by a two-stage block bootstrap.

    Processes are drawn with replacement, then rounds within each (Davison & Hinkley, Bootstrap Methods and
    their Application, 1997, section 3.8); the median is taken anew each time. Few processes make such an
    interval too narrow. It is widened, in the logarithm, by sqrt(P / (P - 1)) for P processes and by the
    ratio of Student's to the normal quantile (Hesterberg, "What Teachers Should Know About the Bootstrap",
    The American Statistician 69(4), 2015, section 4.2), the degrees of freedom after Satterthwaite
    (Biometrics Bulletin 2(6), 1946) from the spread between processes and within. With three to five
    processes a 95 % interval covers the truth 89 to 99 % of the time in simulation (normal samples, one in
    ten of them five times as far off), least where processes differ twice as much as rounds.

    Args:
        medians: gives one median a resample from indices [resamples, P, 1] and [resamples, P, rounds].
        blocks: the median of each block, positive, [P, rounds].
        centre: the median itself.
        confidence: between 0 and 1.
        resamples: bootstrap repetitions.
        seed: of the bootstrap.
    """
    processes, rounds = blocks.shape
    generator = np.random.default_rng(seed)
    drawn = generator.integers(processes, size=(resamples, processes, 1))
    found = medians(drawn, generator.integers(rounds, size=(resamples, processes, rounds)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail))
    widening = _widening(np.log(blocks), confidence)
    return (
        min(centre, centre * (float(low) / centre) ** widening),
        max(centre, centre * (float(high) / centre) ** widening),
    )


def _widening(blocks: NDArray[np.float64], confidence: float) -> float:
    """Return the factor by which a bootstrap over few processes and rounds is too narrow."""
    processes, rounds = blocks.shape
    between = float(blocks.mean(axis=1).var(ddof=1)) / processes if processes > 1 else 0.0
    within = float(blocks.var(axis=1, ddof=1).mean()) / (processes * rounds) if rounds > 1 else 0.0
    few = processes if processes > 1 else rounds
    if between + within == 0:
        return 1.0
    uncertainty = 0.0
    if processes > 1:
        uncertainty += between**2 / (processes - 1)
    if rounds > 1:
        uncertainty += within**2 / (processes * (rounds - 1))
    freedom = (between + within) ** 2 / uncertainty
    normal = NormalDist().inv_cdf((1 + confidence) / 2)
    return math.sqrt(few / (few - 1)) * student_quantile(confidence, freedom) / normal


def student_quantile(confidence: float, freedom: float) -> float:
    """Return t for which a Student variable lies in -t..t with probability `confidence`.

    With t = sqrt(f) tan(a) the density for f degrees of freedom becomes cos(a)^(f - 1), summed here in steps.
    """
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (max(freedom, 1.0) - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = float(np.interp(confidence * below[-1], below, angles))
    return math.sqrt(max(freedom, 1.0)) * math.tan(angle)


def order_statistic_interval(samples: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the distribution-free interval of the median of independent samples.

    The interval runs from the k-th smallest to the k-th largest sample, k the largest rank for which
    2 P(Binomial(n, 1/2) < k) <= 1 - confidence (David & Nagaraja, Order Statistics, 3rd ed., section 7.1).
    Fewer than six samples reach no 95 %; they give the smallest and the largest. Samples that follow one
    another resemble each other, so this is optimistic for a clock.
    """
    ordered = np.sort(samples)
    count = len(ordered)
    # Of the 2^n ways in which samples lie below or above the median: those with `rank` below, and with at
    # most this many.
    ways = at_most = 1
    rank = 0
    while 2 * at_most / (1 << count) <= 1 - confidence:
        rank += 1
        ways = ways * (count - rank + 1) // rank
        at_most += ways
    index = max(rank - 1, 0)
    return float(ordered[index]), float(ordered[count - 1 - index])


def relative_half_width(median: float, interval: tuple[float, float]) -> float:
    """Return the longer arm of an interval as a share of the median."""
    return max(median - interval[0], interval[1] - median) / median


def percentiles(samples: NDArray[np.float64]) -> dict[str, float | None]:
    """Return p90, p95 and p99 as plain order statistics (nearest rank), None where samples are too few."""
    ordered = np.sort(samples.ravel())
    tails: dict[str, float | None] = {}
    for name, minimum in MIN_SAMPLES_OF_TAIL.items():
        rank = math.ceil(len(ordered) * int(name[1:]) / 100)
        tails[name] = float(ordered[rank - 1]) if len(ordered) >= minimum else None
    return tails


def robust_spread(samples: Sequence[NDArray[np.float64]]) -> float:
    """Return the largest relative spread within one process: 1.4826 x median absolute deviation / median.

    For normal samples it equals the coefficient of variation (Rousseeuw & Croux, "Alternatives to the Median
    Absolute Deviation", JASA 88(424), 1993), but single outliers, common on shared machines, do not move it.
    """
    return max(_spread(process) for process in samples)


def slow_share(samples: NDArray[np.float64]) -> float:
    """Return the share of samples slower than 1.5 medians; `robust_spread` overlooks up to half."""
    return float(np.mean(samples > 1.5 * np.median(samples)))


def _spread(samples: NDArray[np.float64]) -> float:
    median = float(np.median(samples))
    return 1.4826 * float(np.median(np.abs(samples - median))) / median
