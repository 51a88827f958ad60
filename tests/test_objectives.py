from __future__ import annotations

import pytest

from hwnas.errors import ConfigError
from hwnas.objectives import Constraint, Metric, Objectives


@pytest.mark.parametrize(
    ("text", "canonical", "unit"),
    [
        ("latency_ms", "latency_ms", "ms"),
        ("p99_ms@10hz", "p99_ms@10hz", "ms"),
        (" P99_ms @ 10.0 Hz ", "p99_ms@10hz", "ms"),
        ("median_ms@12.5hz", "median_ms@12.5hz", "ms"),
        ("peak_memory_mb", "peak_memory_mb", "MiB"),
        ("parameters_m", "parameters_m", "million"),
        ("gmacs", "gmacs", "GMAC"),
        ("p90_ms@1000hz", "p90_ms@1000hz", "ms"),
        ("p95_ms@0.5hz", "p95_ms@0.5hz", "ms"),
        ("energy_mj", "energy_mj", "mJ"),
    ],
)
def test_metrics_have_one_canonical_form(text: str, canonical: str, unit: str) -> None:
    metric = Metric.parse(text)
    assert (str(metric), metric.unit) == (canonical, unit)
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "Did you mean 'latency_ms'"),
        ("p99_ms", "needs a rate, such as p99_ms@10hz"),
        ("latency_ms@10hz", "has no rate; write latency_ms"),
        ("p99_ms@0hz", "above 0"),
        ("p99_ms@1000.1hz", "up to 1000 Hz"),
        ("p99_ms@1.2.3hz", "number of Hz"),
        ("p99_ms@10", "no metric"),
        ("", "no metric"),
    ],
)
def test_metrics_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Metric.parse(text)


def test_limits() -> None:
    limit = Constraint.parse("p99_ms@10hz<=40")
    assert limit == Constraint(Metric("p99_ms", 10.0), 40.0)
    assert str(limit) == "p99_ms@10hz <= 40"
    for text in (
        "latency_ms < 40",
        "latency_ms <= fast",
        "latency_ms <= -1",
        "latency_ms <= nan",
        "<= 4",
        "latency_ms <= 0",
        "latency_ms <= inf",
    ):
        with pytest.raises(ConfigError):
            Constraint.parse(text)


def test_the_worst_limit_says_how_far_off_a_network_is() -> None:
    limits = (Constraint.parse("latency_ms <= 10"), Constraint.parse("p99_ms@10hz <= 40"))
    measured = {"latency_ms": 25.0, "p99_ms@10hz": 44.0}
    assert Objectives(constraints=limits).worst_factor(measured) == 2.5
    assert Objectives().worst_factor(measured) == 0.0


def test_costs_measure_each_metric_once_and_the_network_alone_always() -> None:
    objectives = Objectives(
        Metric("e2e_ms"), (Constraint.parse("e2e_ms <= 60"), Constraint.parse("model_size_mb <= 5"))
    )
    assert [str(metric) for metric in objectives.metrics] == ["latency_ms", "e2e_ms", "model_size_mb"]
    assert objectives.upper(Metric("e2e_ms")) == 60
    assert objectives.upper(Metric("latency_ms")) is None
    measurements = {"latency_ms": 100.0, "e2e_ms": 61.0, "model_size_mb": 5.0}
    assert objectives.excess(measurements) == {"e2e_ms": 1.0, "model_size_mb": 0.0}
    assert [str(constraint) for constraint in objectives.exceeded(measurements)] == ["e2e_ms <= 60"]
    with pytest.raises(ConfigError, match="e2e_ms has more"):
        Objectives(constraints=(Constraint.parse("e2e_ms <= 60"), Constraint.parse("e2e_ms <= 50")))


def test_limits_of_different_rates_are_limits_of_different_metrics() -> None:
    limits = (Constraint.parse("p99_ms@10hz <= 40"), Constraint.parse("p99_ms@20hz <= 30"))
    objectives = Objectives(constraints=limits)
    assert objectives.upper(Metric("p99_ms", 20.0)) == 30
    measurements = {"latency_ms": 1.0, "p99_ms@10hz": 40.0, "p99_ms@20hz": 30.5}
    assert objectives.exceeded(measurements) == [limits[1]], "a limit that is met just so is not exceeded"
    assert objectives.excess(measurements) == {"p99_ms@10hz": 0.0, "p99_ms@20hz": 0.5}
