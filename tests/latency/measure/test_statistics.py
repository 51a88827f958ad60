from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hwnas.latency.measure.statistics import (
    MIN_SAMPLES_OF_TAIL,
    median_interval,
    order_statistic_interval,
    percentiles,
    ratio_interval,
    relative_half_width,
    robust_spread,
    round_ratios,
    student_quantile,
)

LATENCIES = st.floats(0.01, 1000)


@pytest.mark.parametrize("count", [6, 7, 30, 101, 2000, 5000])
def test_order_statistic_ranks_agree_with_the_binomial(count: int) -> None:
    low, high = order_statistic_interval(np.arange(1.0, count + 1), 0.95)
    rank = int(low)
    assert high == count + 1 - rank
    assert 2 * stats.binom.cdf(rank - 1, count, 0.5) <= 0.05 < 2 * stats.binom.cdf(rank, count, 0.5)


def test_order_statistic_interval_covers_as_stated() -> None:
    samples = np.random.default_rng(0).lognormal(3.0, 0.3, (1000, 60))
    intervals = [order_statistic_interval(row, 0.95) for row in samples]
    coverage = np.mean([low <= math.exp(3.0) <= high for low, high in intervals])
    assert 0.935 <= coverage <= 0.99


def coverage_of_bootstrap(processes: int, rounds: int, between: float, repetitions: int = 150) -> float:
    generator = np.random.default_rng(1)
    hits = 0
    for seed in range(repetitions):
        centres = 20 * np.exp(generator.normal(0, between, (processes, 1, 1)))
        samples = centres * np.exp(generator.normal(0, 0.02, (processes, rounds, 10)))
        low, high = median_interval(samples, 0.95, resamples=300, seed=seed)
        hits += low <= 20 <= high
    return hits / repetitions


@pytest.mark.parametrize(
    ("processes", "rounds", "between", "least"),
    [(4, 5, 0.0, 0.95), (3, 3, 0.0, 0.95), (4, 5, 0.02, 0.9), (3, 3, 0.02, 0.88), (2, 3, 0.02, 0.88)],
)
def test_bootstrap_coverage(processes: int, rounds: int, between: float, least: float) -> None:
    assert coverage_of_bootstrap(processes, rounds, between) >= least


def ratios_on_a_shared_machine(
    generator: np.random.Generator, processes: int, rounds: int, between: float
) -> np.ndarray:
    """Ratios whose truth is 2, from latencies with drift, differing processes and disturbed rounds."""
    drift = np.exp(np.cumsum(generator.normal(0, 0.05, (1, rounds, 1)), axis=1))
    offset = np.exp(generator.normal(0, between, (processes, 1, 1)))
    disturbed = np.where(generator.random((processes, rounds, 1)) < 0.1, 1.1, 1.0)

    def samples(median_ms: float, count: int) -> np.ndarray:
        noise = np.exp(generator.normal(0, 0.02, (processes, rounds, count)))
        return median_ms * drift * noise

    return round_ratios(samples(10.0, 8) * offset * disturbed, samples(5.0, 6) * 1.0)


@pytest.mark.parametrize("between", [0.0, 0.005, 0.02])
@pytest.mark.parametrize(("processes", "rounds"), [(3, 3), (3, 8), (5, 5)])
def test_interval_of_the_ratio_covers_the_truth(processes: int, rounds: int, between: float) -> None:
    generator = np.random.default_rng(7)
    hits = 0
    for seed in range(200):
        ratios = ratios_on_a_shared_machine(generator, processes, rounds, between)
        low, high = ratio_interval(ratios, 0.95, resamples=200, seed=seed)
        hits += low <= 2.0 <= high
    assert hits / 200 >= 0.88


def test_the_ratio_cancels_drift() -> None:
    generator = np.random.default_rng(8)
    ratios = ratios_on_a_shared_machine(generator, 3, 200, 0.0)
    assert np.median(ratios) == pytest.approx(2.0, rel=0.01)
    low, high = ratio_interval(ratios, 0.95)
    assert high - low < 0.03


@pytest.mark.parametrize("freedom", [1.0, 1.5, 2.0, 3.7, 30.0, 1000.0])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_student_quantile(freedom: float, confidence: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, freedom)
    assert student_quantile(confidence, freedom) == pytest.approx(expected, rel=1e-4)


def test_interval_spans_processes_that_differ() -> None:
    samples = np.array([10.0, 11.0])[:, None, None] * np.ones((2, 5, 8))
    low, high = median_interval(samples, 0.95)
    assert low <= 10.0
    assert high >= 11.0


def test_equal_samples_give_equal_intervals() -> None:
    samples = np.random.default_rng(2).lognormal(0, 0.1, (3, 4, 5))
    assert median_interval(samples, 0.95) == median_interval(samples, 0.95)


@given(arrays(float, (3, 2, 4), elements=LATENCIES), st.sampled_from([0.5, 0.9, 0.99]))
def test_interval_is_positive_and_holds_the_median(samples: np.ndarray, confidence: float) -> None:
    low, high = median_interval(samples, confidence, resamples=50)
    assert 0 < low <= np.median(samples) <= high < math.inf


@given(arrays(float, (1, 1, 9), elements=LATENCIES))
def test_interval_of_one_process_lies_within_its_samples(samples: np.ndarray) -> None:
    low, high = median_interval(samples, 0.95)
    assert samples.min() <= low <= np.median(samples) <= high <= samples.max()


def test_minimum_counts_follow_their_rule() -> None:
    for name, minimum in MIN_SAMPLES_OF_TAIL.items():
        above = 1 - int(name[1:]) / 100
        assert stats.binom.cdf(1, minimum, above) <= 0.01 < stats.binom.cdf(1, minimum - 1, above)


def test_percentiles_appear_at_their_minimum_count() -> None:
    assert percentiles(np.arange(1.0, 64.0)) == {"p90": None, "p95": None, "p99": None}
    assert percentiles(np.arange(1.0, 65.0)) == {"p90": 58.0, "p95": None, "p99": None}
    assert percentiles(np.arange(1.0, 1001.0)) == {"p90": 900.0, "p95": 950.0, "p99": 990.0}


def test_robust_spread_is_the_coefficient_of_variation_of_normal_samples() -> None:
    samples = np.random.default_rng(3).normal(100, 5, 20_000)
    assert robust_spread([samples]) == pytest.approx(0.05, rel=0.03)
    samples[:200] = 1e6
    assert robust_spread([samples]) == pytest.approx(0.05, rel=0.05)


def test_relative_half_width_is_the_longer_arm() -> None:
    assert relative_half_width(10.0, (9.9, 10.3)) == pytest.approx(0.03)
