"""What a surrogate makes of trainings of several lengths."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.search.strategies import Limits, StrategyContext, SupportsPromotion, make_sampler
from hwnas.search.strategies.surrogate.fidelities import LongerTraining
from hwnas.search.strategies.surrogate.model import GaussianProcess, Scale
from hwnas.testing.strategy_suite import GridSpace, error_of, latency_of, predict

WIDTH = 6
ALL = [dict(zip(GridSpace.choices, values, strict=True)) for values in product(*GridSpace.choices.values())]


def _short(encodings: np.ndarray) -> np.ndarray:
    return np.sin(encodings[:, 0]) + 0.3 * encodings[:, 1]


def _long(encodings: np.ndarray) -> np.ndarray:
    return 0.7 * _short(encodings) - 0.4 + 0.2 * encodings[:, 2]


def _models(num_short: int, num_long: int, seed: int = 0) -> tuple[GaussianProcess, LongerTraining, Any]:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(num_short, WIDTH))
    scale = Scale.of(encodings, (WIDTH,))
    shorter = GaussianProcess(encodings, _short(encodings), scale)
    known = encodings[:num_long]
    return shorter, LongerTraining.learned(shorter, known, _long(known), scale), (encodings, scale)


@pytest.mark.parametrize("seed", range(4))
def test_short_and_long_trainings_say_more_together_than_either_alone(seed: int) -> None:
    shorter, together, (encodings, scale) = _models(150, 12, seed)
    others = np.random.default_rng(100 + seed).normal(size=(300, WIDTH))
    truth = _long(others)

    def miss(mean: np.ndarray) -> float:
        return float(np.sqrt(np.square(mean - truth).mean()))

    alone = GaussianProcess(encodings[:12], _long(encodings[:12]), scale)
    short = shorter.predict(others)[0]
    line = np.polyfit(shorter.predict(encodings[:12])[0], _long(encodings[:12]), 1)
    assert miss(together.predict(others)[0]) < 0.8 * miss(alone.predict(others)[0])
    assert miss(together.predict(others)[0]) < miss(short)
    assert miss(together.predict(others)[0]) < 1.05 * miss(np.polyval(line, short))


@given(slope=st.floats(0.3, 2.0), offset=st.floats(-2, 2), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_line_is_found_and_stays_near_its_prior_with_few_networks(
    slope: float, offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(60, WIDTH))
    scale = Scale.of(encodings, (WIDTH,))
    shorter = GaussianProcess(encodings, _short(encodings), scale)
    believed = shorter.predict(encodings)[0]
    noise = rng.normal(0, 0.02, 60)
    many = LongerTraining.learned(shorter, encodings, slope * believed + offset + noise, scale)
    assert many.slope == pytest.approx(slope, abs=0.05)
    assert many.offset == pytest.approx(offset, abs=0.05)
    # Three networks whose long errors say nothing: the line is what it was believed to be.
    apart = rng.normal(0, 3, 3)
    few = LongerTraining.learned(shorter, encodings[:3], apart, scale)
    assert abs(few.slope - 1) < 1.0
    middle = few.offset + few.slope * believed[:3].mean()
    assert middle == pytest.approx(apart.mean())


def test_the_prediction_is_the_sum_of_its_parts() -> None:
    shorter, together, _ = _models(40, 10)
    others = np.random.default_rng(5).normal(size=(20, WIDTH))
    mean, spread = together.predict(others)
    short, short_spread = shorter.predict(others)
    rest, rest_spread = together.rest.predict(others)
    assert mean == pytest.approx(together.slope * short + together.offset + rest)
    assert np.square(spread) == pytest.approx(
        together.slope**2 * np.square(short_spread) + np.square(rest_spread)
    )


def test_believing_keeps_the_mean_and_narrows_the_spread() -> None:
    _, together, _ = _models(40, 10)
    others = np.random.default_rng(5).normal(size=(4, WIDTH))
    before, spread_before = together.predict(others)
    after, spread_after = together.believing(others).predict(others)
    assert after == pytest.approx(before, abs=0.05 * float(np.ptp(before)))
    assert (spread_after < spread_before).all()


def test_conditioning_is_being_told_from_the_start() -> None:
    rng = np.random.default_rng(1)
    encodings, values = rng.normal(size=(30, WIDTH)), rng.normal(size=30)
    scale = Scale.of(encodings, (WIDTH,))
    first = GaussianProcess(encodings[:20], values[:20], scale)
    later = first.conditioned(encodings[20:], values[20:])
    whole = GaussianProcess(encodings, values, scale, first.covariance)
    others = rng.normal(size=(10, WIDTH))
    for one, other in zip(later.predict(others), whole.predict(others), strict=True):
        assert one == pytest.approx(other)


class _Rungs:
    """Two studies on the grid, and the sampler that proposes into the first."""

    def __init__(self, seed: int = 0, trials: int = 25) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = GridSpace()
        self.studies = [optuna.create_study(directions=["minimize"] * 2) for _ in range(2)]
        context = StrategyContext(self.space, predict, Limits(None, trials), seed, rungs=self.studies)
        self.sampler = make_sampler("surrogate", context)
        assert isinstance(self.sampler, SupportsPromotion)
        self.distributions = {
            gene: optuna.distributions.CategoricalDistribution(values)
            for gene, values in GridSpace.choices.items()
        }

    def train(self, rung: int, choices: dict[str, Any], error: float) -> int:
        trial = optuna.trial.create_trial(
            params=choices, distributions=self.distributions, values=[error, latency_of(choices)]
        )
        self.studies[rung].add_trial(trial)
        return len(self.studies[rung].trials) - 1

    def choices_of(self, number: int) -> dict[str, Any]:
        return dict(self.studies[0].trials[number].params)


def _long_error_of(choices: dict[str, Any]) -> float:
    """After longer training the gene `b`, which short trainings say nothing about, decides."""
    return error_of(choices) - (0.3 if choices["b"] == 1.5 else 0.0)


def test_few_long_trainings_leave_the_choice_to_front_layers() -> None:
    rungs = _Rungs()
    numbers = [rungs.train(0, choices, error_of(choices)) for choices in ALL]
    assert rungs.sampler.promote(1, numbers) is None
    for choices in ALL[:2]:
        rungs.train(1, choices, error_of(choices))
    assert rungs.sampler.promote(1, numbers) is None


@pytest.mark.parametrize("seed", range(3))
def test_what_long_trainings_say_decides_who_is_promoted(seed: int) -> None:
    rungs, rng = _Rungs(seed), random.Random(seed)
    shown = rng.sample(ALL, len(ALL))
    numbers = [rungs.train(0, choices, error_of(choices)) for choices in shown]
    taken = rng.sample(numbers, 10)
    for number in taken:
        rungs.train(1, rungs.choices_of(number), _long_error_of(rungs.choices_of(number)))
    waiting = [number for number in numbers if number not in taken]
    promoted = []
    for _ in range(4):
        chosen = rungs.sampler.promote(1, waiting)
        assert chosen in waiting
        promoted.append(rungs.choices_of(chosen))
        waiting.remove(chosen)
        rungs.train(1, promoted[-1], _long_error_of(promoted[-1]))
    share = sum(choices["b"] == 1.5 for choices in promoted) / len(promoted)
    assert share >= 0.75, "half of the networks have it, and it cannot be seen in short trainings"


def test_proposals_aim_at_long_trainings() -> None:
    shares = []
    for long_error in (error_of, _long_error_of):
        hits = 0
        for seed in range(6):
            rungs, rng = _Rungs(seed), random.Random(seed)
            shown = rng.sample(ALL, 16)
            for choices in shown:
                rungs.train(0, choices, error_of(choices))
            for choices in shown[:10]:
                rungs.train(1, choices, long_error(choices))
            rungs.studies[0].sampler = rungs.sampler
            trial = rungs.studies[0].ask(dict(rungs.distributions))
            assert trial.params not in shown
            hits += trial.params["b"] == 1.5
        shares.append(hits / 6)
    assert shares[1] > shares[0]


def test_a_choice_is_the_same_after_a_resume() -> None:
    chosen = []
    for _ in range(2):
        rungs = _Rungs(3)
        numbers = [rungs.train(0, choices, error_of(choices)) for choices in ALL[:20]]
        for choices in ALL[:6]:
            rungs.train(1, choices, _long_error_of(choices))
        chosen.append([rungs.sampler.promote(1, numbers[6:]) for _ in range(2)])
    assert chosen[0] == chosen[1]
    assert chosen[0][0] == chosen[0][1]
