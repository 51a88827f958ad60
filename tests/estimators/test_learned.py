from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.estimators.learned import ErrorPredictor, validated_predictor


def _problem(count: int, seed: int = 0, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 2, (count, 12)).astype(np.float64)
    values = features @ np.linspace(-0.1, 0.1, 12) + 0.1 * features[:, 0] * features[:, 5]
    return features, values + rng.normal(0, noise, count)


def test_it_predicts_networks_that_it_has_not_seen() -> None:
    features, values = _problem(160)
    unseen, truth = _problem(300, seed=1, noise=0.0)
    said = ErrorPredictor(features, values).predict(unseen)
    assert np.corrcoef(said, truth)[0, 1] > 0.97
    assert np.abs(said - truth).mean() < 0.3 * np.abs(truth - truth.mean()).mean()


def test_cross_validation_states_how_well_it_ranks() -> None:
    _, good = validated_predictor(*_problem(100))
    assert 0.6 < good.rank_correlation.low <= good.rank_correlation.tau <= good.rank_correlation.high <= 1
    assert good.rank_correlation.networks == 100
    features, _ = _problem(100)
    _, useless = validated_predictor(features, np.random.default_rng(2).normal(size=100))
    assert useless.rank_correlation.low < 0.1, "noise must not look predictable"
    assert useless.rank_correlation.tau < 0.25


def test_the_scale_of_values_does_not_matter() -> None:
    features, values = _problem(60)
    small = ErrorPredictor(features, values).predict(features)
    large = ErrorPredictor(features, 1000 * values + 7).predict(features)
    assert np.allclose(large, 1000 * small + 7, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_networks_are_refused(count: int) -> None:
    features, values = _problem(20)
    with pytest.raises(ConfigError, match="at least 8"):
        ErrorPredictor(features[:count], values[:count])


def test_numbers_that_are_none_are_refused() -> None:
    features, values = _problem(20)
    values[3] = np.nan
    with pytest.raises(ConfigError, match="finite"):
        validated_predictor(features, values)


def test_equal_values_are_predicted() -> None:
    features, values = _problem(20)
    assert np.allclose(ErrorPredictor(features, np.full_like(values, 0.4)).predict(features), 0.4)
