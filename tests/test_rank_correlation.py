from __future__ import annotations

import json

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.estimators.report import EstimatorReport, report_on
from hwnas.rank_correlation import (
    MIN_NETWORKS,
    bootstrapped_taus,
    check_columns,
    kendall_tau,
    rank_correlation_from,
    rank_correlation_of,
    spearman_rho,
)

RNG = np.random.default_rng(1)
ERRORS = RNG.uniform(0.2, 0.8, 40)
NOISE = RNG.normal(size=(3, 40))


def report_of(scores: np.ndarray, *, macs: np.ndarray = NOISE[0], resamples: int = 200) -> EstimatorReport:
    return report_on("probe", scores, ERRORS, macs=macs, parameters=NOISE[1], cost_s=2.0, resamples=resamples)


def pairwise_tau_b(first: list[float], second: list[float]) -> float:
    concordance, untied = 0.0, [0, 0]
    for i in range(len(first)):
        for j in range(i):
            a, b = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
            concordance += a * b
            untied[0] += a != 0
            untied[1] += b != 0
    return concordance / float(np.sqrt(untied[0] * untied[1]))


def test_tau_counts_pairs() -> None:
    first, second = [1.0, 2.0, 2.0, 4.0, 5.0], [2.0, 1.0, 3.0, 3.0, 9.0]
    assert kendall_tau(np.array(first), np.array(second)) == pytest.approx(pairwise_tau_b(first, second))


def test_the_errors_themselves_are_a_perfect_estimator() -> None:
    report = report_of(ERRORS)
    assert [
        report.rank_correlation.tau,
        report.rank_correlation.low,
        report.rank_correlation.high,
    ] == pytest.approx([1.0] * 3)
    assert report.gain_low > 0
    assert report.warnings == ()


def test_noise_and_constants_are_warned_of() -> None:
    assert any("no better than chance" in text for text in report_of(NOISE[2]).warnings)
    constant = report_of(np.ones(40))
    assert constant.rank_correlation.tau == 0.0
    assert any("no better than chance" in text for text in constant.warnings)


def test_no_better_than_flops_is_warned_of() -> None:
    report = report_of(ERRORS + 0.1 * NOISE[2], macs=-ERRORS)
    assert report.macs.tau == pytest.approx(1.0)
    assert report.rank_correlation.low > 0
    assert any("no better than counting FLOPs" in text for text in report.warnings)
    assert report.gain_low < 0


def test_few_networks_are_warned_of() -> None:
    few = slice(0, 10)
    report = report_on(
        "probe",
        ERRORS[few],
        ERRORS[few],
        macs=NOISE[0][few],
        parameters=NOISE[1][few],
        cost_s=0.0,
        resamples=50,
    )
    assert any("rests on 10 networks" in text for text in report.warnings)


def test_the_interval_holds_tau_and_repeats() -> None:
    report = report_of(ERRORS + 0.1 * NOISE[2])
    assert report.rank_correlation.low < report.rank_correlation.tau < report.rank_correlation.high
    assert report_of(ERRORS + 0.1 * NOISE[2]) == report


def test_json_round_trip() -> None:
    report = report_of(NOISE[2])
    assert EstimatorReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("scores", [ERRORS[:3], np.full(40, np.nan)])
def test_unusable_columns_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        report_of(scores)


def test_rho_is_the_correlation_of_ranks() -> None:
    first, second = [1.0, 20.0, 3.0, 4.0, 50.0], [2.0, 1.0, 9.0, 3.0, 700.0]
    ranks = np.argsort(np.argsort([first, second], axis=1), axis=1)
    assert spearman_rho(first, second) == pytest.approx(np.corrcoef(ranks)[0, 1])


@pytest.mark.parametrize("correlation", [kendall_tau, spearman_rho])
def test_a_constant_orders_nothing_without_a_warning(correlation, recwarn: pytest.WarningsRecorder) -> None:
    assert correlation([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]) == 0.0
    assert correlation([1.0, 2.0, 3.0, 4.0], [5.0] * 4) == 0.0
    assert not recwarn.list


def test_the_interval_leaves_out_a_fortieth_at_each_end() -> None:
    values = np.arange(5.0)
    found = rank_correlation_from(values, -values, np.linspace(-1.0, 1.0, 81)[::-1])
    assert (found.tau, found.low, found.high, found.networks) == pytest.approx((-1.0, -0.95, 0.95, 5))
    assert str(found) == "-1.00 [-0.95, 0.95]"


def test_a_bootstrap_draws_pairs() -> None:
    picks = np.array([[0, 1, 2, 3], [3, 3, 0, 1]])
    values, truth = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    expected = [kendall_tau(values[pick], truth[pick]) for pick in picks.tolist()]
    assert bootstrapped_taus(values, truth, picks).tolist() == expected


def test_a_thousand_draws_of_a_seed_make_the_interval() -> None:
    said = ERRORS + 0.3 * NOISE[1]
    found = rank_correlation_of(said, ERRORS)
    assert found == rank_correlation_of(said, ERRORS, resamples=1000, seed=0)
    other = rank_correlation_of(said, ERRORS, seed=1)
    assert other.tau == found.tau
    assert (other.low, other.high) != (found.low, found.high)
    assert (other.low, other.high) == pytest.approx((found.low, found.high), abs=0.05)


def test_four_finite_networks_are_enough_and_three_are_not() -> None:
    assert MIN_NETWORKS == 4
    check_columns([np.arange(4.0), np.arange(4.0)])
    for wrong in ([np.arange(3.0)] * 2, [np.arange(4.0), np.arange(5.0)], [np.arange(5.0), np.arange(4.0)]):
        with pytest.raises(ConfigError, match="of the same architectures, at least 4"):
            check_columns(wrong)
    with pytest.raises(ConfigError, match="Expected finite"):
        check_columns([np.arange(4.0), np.array([1.0, 2.0, np.inf, 3.0])])
