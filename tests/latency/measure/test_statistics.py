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
    slow_share,
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
    assert relative_half_width(10.0, (9.6, 10.3)) == pytest.approx(0.04)


def test_slow_samples_take_more_than_one_and_a_half_medians() -> None:
    assert slow_share(np.array([[10.0, 10.0], [15.0, 10.0]])) == 0.0
    assert slow_share(np.array([[10.0, 10.0], [15.1, 10.0]])) == 0.25


def test_the_spread_is_the_largest_within_a_process() -> None:
    calm, scattering = np.full((2, 5), 20.0), np.array([[9.0, 10.0, 11.0, 10.0, 8.0]])
    assert robust_spread([calm]) == 0.0
    assert robust_spread([calm, scattering]) == pytest.approx(1.4826 * 1.0 / 10.0)


@pytest.mark.parametrize(
    ("count", "confidence", "rank"),
    # Of 4 samples all lie above the median with probability 1/16, one at most below with 5/16.
    [(4, 0.874, 1), (4, 0.876, 1), (4, 0.375, 2), (4, 0.376, 1), (1, 0.5, 1), (2, 0.5, 1), (5, 0.625, 2)],
)
def test_order_statistics_by_hand(count: int, confidence: float, rank: int) -> None:
    found = order_statistic_interval(np.arange(1.0, count + 1)[::-1], confidence)
    assert found == (rank, count + 1 - rank)


@given(st.integers(1, 300), st.sampled_from([0.1, 0.5, 0.8, 0.95, 0.99]))
def test_order_statistic_ranks_are_the_largest_allowed(count: int, confidence: float) -> None:
    rank = int(order_statistic_interval(np.arange(1.0, count + 1), confidence)[0])
    exact = 1e-9 * np.array([-1.0, 1.0])  # where the probability equals what is allowed, either rank will do
    allowed = 1 - confidence + exact
    assert rank == 1 or 2 * stats.binom.cdf(rank - 1, count, 0.5) <= allowed[1]
    assert 2 * stats.binom.cdf(rank, count, 0.5) > allowed[0]


def test_round_ratios_by_hand() -> None:
    samples = np.array([[[2.0, 3.0, 9.0], [4.0, 4.0, 1.0]], [[6.0, 6.0, 7.0], [8.0, 1.0, 9.0]]])
    reference = np.array([[[1.0, 2.0], [1.0, 1.0]], [[3.0, 3.0], [2.0, 2.0]]])
    np.testing.assert_allclose(round_ratios(samples, reference), [[2.0, 4.0], [2.0, 4.0]])


def bootstrapped(logs: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Medians of the two-stage bootstrap, one by one, from the same draws."""
    generator = np.random.default_rng(seed)
    processes, rounds = logs.shape
    drawn = generator.integers(processes, size=(resamples, processes, 1))
    within = generator.integers(rounds, size=(resamples, processes, rounds))
    return np.array(
        [
            np.median([logs[p[0], r] for p, rs in zip(ps, rounds_of, strict=True) for r in rs])
            for ps, rounds_of in zip(drawn, within, strict=True)
        ]
    )


def widened(logs: np.ndarray, factor: float, seed: int = 5, resamples: int = 400) -> list[float]:
    low, high = np.quantile(np.exp(bootstrapped(logs, seed, resamples)), [0.05, 0.95])
    centre = np.exp(np.median(logs))
    return [centre * (low / centre) ** factor, centre * (high / centre) ** factor]


LOGS = np.array([[0.00, 0.02, 0.01, 0.07, 0.03], [0.05, 0.04, 0.01, 0.02, 0.09], [0.3, 0.1, 0.2, 0.15, 0.11]])


def normal_t_ratio(freedom: float) -> float:
    """By how much Student's quantile exceeds the normal one, at 90 % confidence."""
    return float(stats.t.ppf(0.95, freedom) / stats.norm.ppf(0.95))


def test_rounds_of_one_process_have_one_degree_of_freedom_less() -> None:
    factor = math.sqrt(5 / 4) * normal_t_ratio(4)
    found = ratio_interval(np.exp(LOGS[:1]), 0.9, resamples=400, seed=5)
    assert found == pytest.approx(widened(LOGS[:1], factor), rel=1e-5)


def test_processes_of_one_round_have_one_degree_of_freedom_less() -> None:
    factor = math.sqrt(3 / 2) * normal_t_ratio(2)
    found = ratio_interval(np.exp(LOGS[:, :1]), 0.9, resamples=400, seed=5)
    assert found == pytest.approx(widened(LOGS[:, :1], factor), rel=1e-5)


def test_degrees_of_freedom_after_satterthwaite() -> None:
    """A variance of means, of 2 degrees of freedom, and one within, of 3 * 4."""
    between = stats.tvar(LOGS.mean(axis=1)) / 3
    within = np.mean([stats.tvar(row) for row in LOGS]) / (3 * 5)
    freedom = (between + within) ** 2 / (between**2 / 2 + within**2 / (3 * 4))
    factor = math.sqrt(3 / 2) * normal_t_ratio(freedom)
    found = ratio_interval(np.exp(LOGS), 0.9, resamples=400, seed=5)
    assert found == pytest.approx(widened(LOGS, factor), rel=1e-5)


def test_medians_of_blocks_of_one_sample_are_ratios_to_one() -> None:
    samples = np.exp(LOGS)
    expected = ratio_interval(samples, 0.9, resamples=250, seed=3)
    assert median_interval(samples[:, :, None], 0.9, resamples=250, seed=3) == expected
    one_draw = ratio_interval(samples, 0.9, resamples=1, seed=3)
    assert median_interval(samples[:, :, None], 0.9, resamples=1, seed=3) == one_draw


def test_many_samples_are_drawn_in_pieces_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(4).lognormal(0.0, 0.1, (3, 4, 50))
    whole = median_interval(samples, 0.95, resamples=90)
    drawn: list[int] = []
    median = np.median

    def recorded(values: np.ndarray, axis: int | None = None) -> np.ndarray:
        if axis == 1:
            drawn.append(values.size)
        return median(values, axis=axis)

    monkeypatch.setattr("hwnas.latency.measure.statistics._MAX_DRAWN", 7 * samples.size)
    monkeypatch.setattr("hwnas.latency.measure.statistics.np.median", recorded)
    assert median_interval(samples, 0.95, resamples=90) == whole
    assert max(drawn) == 7 * samples.size
    assert sum(drawn) == 90 * samples.size


def test_a_thousand_resamples_of_seed_0_make_an_interval() -> None:
    ratios = np.random.default_rng(6).lognormal(0.0, 0.1, (3, 40))
    for interval, values in ((ratio_interval, ratios), (median_interval, ratios[:, :, None])):
        assert interval(values, 0.9) == interval(values, 0.9, resamples=1000, seed=0)
        assert interval(values, 0.9) != interval(values, 0.9, seed=1)


def test_what_never_differs_has_no_width() -> None:
    assert ratio_interval(np.full((3, 4), 2.0), 0.95) == (2.0, 2.0)
    assert ratio_interval(np.full((1, 4), 2.0), 0.95) == (2.0, 2.0)
