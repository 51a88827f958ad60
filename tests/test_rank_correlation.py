from __future__ import annotations

import json

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.estimators.report import EstimatorReport, report_on
from hwnas.rank_correlation import kendall_tau

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
