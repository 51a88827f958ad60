"""What a surrogate makes of earlier studies, right ones and misleading ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits
from hwnas.pareto import hypervolume
from hwnas.search.strategies import (
    EarlierStudy,
    LatencyPrediction,
    Limits,
    StrategyContext,
    SupportsEarlierStudies,
    Transfer,
    distributions_of,
    make_sampler,
)
from hwnas.search.strategies.surrogate.earlier import (
    EarlierErrors,
    TransferredErrors,
    is_borne_out,
    usual_error,
)
from hwnas.search.strategies.surrogate.model import GaussianProcess, Scale


class StackSpace:
    """Six layers of four widths each; the width of one matters more where that before it is wide."""

    name = "stack"
    choices: ClassVar[dict[str, tuple[int, ...]]] = {f"layer{number}": (0, 1, 2, 3) for number in range(6)}

    def decode(self, choices: Mapping[str, Any]) -> Architecture:
        return Architecture(self.name, choices, (1, 8, 8), dense_logits(2))

    def encode(self, architecture: Architecture) -> np.ndarray:
        genes = [int(architecture.genes[gene]) for gene in self.choices]
        return np.array([gene == value for gene in genes for value in range(4)], np.float32)


def error_of(choices: Mapping[str, Any]) -> float:
    genes = [int(choices[gene]) for gene in StackSpace.choices]
    weights = (0.05, 0.01, 0.08, 0.02, 0.04, 0.03)
    gained = sum(weight * gene**0.5 for weight, gene in zip(weights, genes, strict=True))
    return 0.7 - gained - 0.01 * sum(one * other for one, other in pairwise(genes)) / 3


def latency_of(choices: Mapping[str, Any]) -> float:
    costs = (3.0, 1.0, 2.0, 2.0, 1.0, 3.0)
    return 1.0 + sum(cost * int(choices[gene]) for cost, gene in zip(costs, StackSpace.choices, strict=True))


def predict(architecture: Architecture) -> LatencyPrediction:
    latency_ms = latency_of(architecture.genes)
    return LatencyPrediction(latency_ms, (latency_ms, latency_ms))


SPACE = StackSpace()
ALL = [dict(zip(SPACE.choices, values, strict=True)) for values in product(range(4), repeat=6)][::5]
ENCODED = np.array([SPACE.encode(SPACE.decode(choices)) for choices in ALL], np.float64)
SCALE = Scale.of(ENCODED, (ENCODED.shape[1],))
ERRORS = np.array([error_of(choices) for choices in ALL])


ELSEWHERE = np.array([0.4 + 0.05 * (each["layer1"] == 2) + 0.05 * (each["layer5"] in (0, 3)) for each in ALL])
"""Errors of which nothing carries over."""


def study_of(number: int, seed: int, errors: np.ndarray = ERRORS, kind: str = "one") -> EarlierStudy:
    """An earlier study of some networks."""
    chosen = np.random.default_rng(seed).permutation(len(ALL))[:number]
    return EarlierStudy(
        f"run {seed}",
        kind,
        tuple(SPACE.decode(ALL[index]) for index in chosen),
        tuple(float(errors[index]) for index in chosen),
    )


def learned(*studies: EarlierStudy) -> EarlierErrors:
    found = EarlierErrors.learned(studies, SPACE, SCALE, 0)
    assert found is not None
    return found


def played(trials: int, seed: int, earlier: Sequence[EarlierStudy], *, table: bool = True) -> optuna.Study:
    """A study whose errors are other ones than those of earlier studies, though alike."""
    known = predict if table else None
    context = StrategyContext(SPACE, known, Limits(None, trials or 1), seed, earlier=earlier)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=make_sampler("surrogate", context))
    for _ in range(trials):
        trial = study.ask(dict(distributions_of(SPACE)))
        study.tell(trial, [0.3 + 0.5 * error_of(trial.params), latency_of(trial.params)])
    return study


def volume(study: optuna.Study) -> float:
    """Return the hypervolume of what is better than most networks are."""
    usual = 0.3 + 0.5 * float(np.quantile(ERRORS, 0.6))
    return hypervolume([(trial.values[0], trial.values[1]) for trial in study.trials], (usual, 40.0))


def test_errors_of_one_kind_are_one_model_and_predict_those_of_other_networks() -> None:
    two = learned(study_of(30, 1), study_of(30, 2))
    assert len(two.models) == 1
    mean, spread = two.predict(ENCODED)
    assert np.corrcoef(mean, ERRORS)[0, 1] > 0.8
    assert (spread > 0).all()
    assert len(learned(study_of(30, 1), study_of(30, 2, 0.1 + 0.2 * ERRORS, "other")).models) == 2


def test_the_scale_of_earlier_errors_does_not_matter() -> None:
    first, second = (
        learned(study_of(40, 1, scaled)).predict(ENCODED)[0] for scaled in (ERRORS, 0.2 * ERRORS)
    )
    assert second == pytest.approx(0.2 * first, rel=1e-3)


def test_features_beyond_the_encoding_are_not_looked_at() -> None:
    earlier = learned(study_of(40, 1))
    wider = np.column_stack([ENCODED, np.arange(len(ENCODED))])
    np.testing.assert_array_equal(earlier.predict(wider)[0], earlier.predict(ENCODED)[0])


def test_more_networks_than_a_model_takes_are_the_best_and_some_others() -> None:
    many = len(ALL)
    repeated = [EarlierStudy("many", "one", study_of(many, 1).architectures, study_of(many, 1).errors)] * 3
    model = learned(*repeated).models[0]
    assert len(model._observed[1]) == min(many, 400), "each network counts once"


@given(slope=st.floats(0.3, 2.0), offset=st.floats(-0.2, 0.5), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_line_over_earlier_errors_is_found_and_borne_out(slope: float, offset: float, seed: int) -> None:
    earlier = learned(study_of(60, seed))
    chosen = np.random.default_rng(seed).permutation(len(ALL))[:40]
    features, errors = ENCODED[chosen], slope * earlier.predict(ENCODED[chosen])[0] + offset
    found = TransferredErrors.learned(earlier, features, errors, SCALE)
    assert found.slope == pytest.approx(slope, rel=0.05)
    others = ENCODED[:50]
    expected = slope * earlier.predict(others)[0] + offset
    assert found.predict(others)[0] == pytest.approx(expected, abs=0.05 * float(np.ptp(ERRORS)))
    assert is_borne_out(earlier, features[:8], errors[:8], None, None)
    own = GaussianProcess(features, errors, SCALE)
    assert is_borne_out(earlier, features, errors, found.rest, own)


@pytest.mark.parametrize("seed", range(5))
def test_studies_that_do_not_tell_their_own_networks_apart_are_left_out(seed: int) -> None:
    noise = study_of(60, seed, np.random.default_rng(seed).permutation(ERRORS), "noise")
    assert EarlierErrors.learned([noise], SPACE, SCALE, 0) is None
    assert len(learned(noise, study_of(60, seed)).models) == 1
    assert EarlierErrors.learned([], SPACE, SCALE, 0) is None


@pytest.mark.parametrize("number", [1, 60])
def test_errors_that_are_all_the_same_tell_nothing_apart(number: int) -> None:
    flat = study_of(number, 1, np.full(len(ALL), 0.3), "flat")
    assert EarlierErrors.learned([flat], SPACE, SCALE, 0) is None
    assert len(learned(flat, study_of(60, 1)).models) == 1


def test_without_a_latency_table_networks_are_drawn_until_costs_are_known() -> None:
    cold, warm = (
        [trial.params for trial in played(4, 5, earlier, table=False).trials]
        for earlier in ((), [study_of(60, 1)])
    )
    assert warm[:3] == cold[:3]
    assert warm[3] != cold[3]
    beginning = played(0, 5, [study_of(60, 1)], table=False)
    running = [beginning.ask(dict(distributions_of(SPACE))).params for _ in range(3)]
    alone = played(0, 5, (), table=False)
    assert running == [alone.ask(dict(distributions_of(SPACE))).params for _ in range(3)]


@pytest.mark.parametrize("trials", [0, 2, 4])
def test_trials_that_run_at_once_are_kept_apart(trials: int) -> None:
    study = played(trials, 3, [study_of(60, 1)])
    context = StrategyContext(SPACE, predict, Limits(None, 30), 3, earlier=[study_of(60, 1)])
    study.sampler = make_sampler("surrogate", context)
    latencies = sorted(latency_of(study.ask(dict(distributions_of(SPACE))).params) for _ in range(5))
    assert len(set(latencies)) >= 4
    assert latencies[-1] > 1.5 * latencies[0], "they spread along the front"


@pytest.mark.parametrize("table", [False, True])
def test_few_trained_networks_are_not_said_to_speak_against_earlier_ones(table: bool) -> None:
    for trials in (0, 1, 2):
        study = played(trials, 0, [study_of(60, 1)], table=table)
        assert isinstance(study.sampler, SupportsEarlierStudies)
        told = study.sampler.transfer(study)
        assert told is not None
        assert told.is_used
        assert str(told).startswith("Too few networks were trained here")


def test_what_holds_elsewhere_is_not_borne_out() -> None:
    borne_out = {"here": 0, "elsewhere": 0}
    for seed in range(20):
        chosen = np.random.default_rng(seed).permutation(len(ALL))[:9]
        for name, errors in (("here", ERRORS), ("elsewhere", ELSEWHERE)):
            earlier = learned(study_of(60, seed, errors))
            borne_out[name] += is_borne_out(earlier, ENCODED[chosen], ERRORS[chosen], None, None)
    assert borne_out["here"] == 20
    assert borne_out["elsewhere"] < 15


def test_too_few_networks_bear_anything_out() -> None:
    earlier = learned(study_of(60, 1, 1 - ERRORS))
    assert is_borne_out(earlier, ENCODED[:4], ERRORS[:4], None, None)


def test_a_believer_is_surer_where_it_believes() -> None:
    earlier = learned(study_of(60, 1))
    model = TransferredErrors.learned(earlier, ENCODED[:12], ERRORS[:12] + 0.1 * np.arange(12), SCALE)
    running = ENCODED[40:41]
    before, after = model.predict(running), model.believing(running).predict(running)
    assert after[1][0] < before[1][0]
    assert after[0] == pytest.approx(before[0], abs=1e-3)
    assert earlier.believing(running) is earlier


def test_what_is_usual_does_not_hang_on_what_is_trained_first() -> None:
    earlier = learned(study_of(len(ALL), 1))
    best = np.argsort(ERRORS)[:10]
    usual = usual_error(earlier, ENCODED, ENCODED[best], ERRORS[best])
    assert usual > ERRORS[best].max()
    assert usual == pytest.approx(float(np.quantile(ERRORS, 0.75)), abs=0.2 * float(np.ptp(ERRORS)))
    nothing = usual_error(earlier, ENCODED, ENCODED[:0], ERRORS[:0])
    assert nothing == pytest.approx(float(np.quantile(ERRORS, 0.75)), abs=0.2 * float(np.ptp(ERRORS)))


def test_a_value_that_is_left_out_is_missed_as_by_the_others_alone() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=(25, 3))
    scale, values = Scale.of(known, (3,)), np.sin(known[:, 0]) + 0.1 * rng.normal(size=25)
    process = GaussianProcess(known, values, scale)
    # A hundredfold the same values so that mean and spread stay what they are without one.
    logs = np.array(process.covariance.logs)
    covariances = process._covariances(logs, process._products, process._squares)[0]
    covariances[np.diag_indices(25)] += np.exp(logs[-1]) + 1e-6
    scaled = (values - values.mean()) / values.std()
    for number, missed in enumerate(process.left_out()):
        others = np.arange(25) != number
        weights = np.linalg.solve(covariances[np.ix_(others, others)], scaled[others])
        predicted = covariances[number, others] @ weights
        assert missed == pytest.approx(values.std() * (scaled[number] - predicted), rel=1e-6, abs=1e-9)


def test_a_study_that_learns_finds_the_front_sooner() -> None:
    earlier = [study_of(60, 1), study_of(60, 2)]
    cold, warm = ([volume(played(8, seed, known)) for seed in range(3)] for known in ((), earlier))
    assert np.mean(warm) > np.mean(cold)


def test_without_a_table_costs_are_learned_first() -> None:
    study = played(8, 0, [study_of(60, 1)], table=False)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 8
    assert min(trial.values[0] for trial in study.trials[3:]) < min(
        trial.values[0] for trial in study.trials[:3]
    )


def test_misleading_studies_cost_a_few_trials() -> None:
    wrong = [study_of(60, 1, ELSEWHERE)]
    cold, misled = ([volume(played(24, seed, known)) for seed in range(2)] for known in ((), wrong))
    assert np.mean(misled) > 0.97 * np.mean(cold)


@pytest.mark.parametrize("trials", [0, 2, 4, 7, 14])
def test_a_resumed_study_proposes_what_it_would_have(trials: int) -> None:
    earlier = [study_of(40, 1)]
    study = played(trials, 3, earlier)
    context = StrategyContext(SPACE, predict, Limits(None, trials or 1), 3, earlier=earlier)
    samplers = [make_sampler("surrogate", context) for _ in range(2)]
    proposed = []
    for sampler in samplers:
        copy = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        for trial in study.trials:
            copy.add_trial(trial)
        proposed.append(copy.ask(dict(distributions_of(SPACE))).params)
    assert proposed[0] == proposed[1]


def test_what_was_learned_is_told() -> None:
    earlier = [study_of(60, 1), study_of(60, 2)]
    study = played(14, 0, earlier)
    assert isinstance(study.sampler, SupportsEarlierStudies)
    told = study.sampler.transfer(study)
    assert told is not None
    assert told.studies == ("run 1", "run 2")
    assert told.networks == len({one.id for each in earlier for one in each.architectures})
    assert told.rank_correlation is not None
    assert told.rank_correlation.tau > 0.5
    assert told.is_used
    assert "of 2 earlier runs" in str(told)
    assert "proposals rest on it" in str(told)
    assert Transfer.from_json(told.to_json()) == told
    few = played(2, 0, earlier)
    assert isinstance(few.sampler, SupportsEarlierStudies)
    early = few.sampler.transfer(few)
    assert early is not None
    assert early.rank_correlation is None
    assert "Too few" in str(early)
    assert Transfer.from_json(early.to_json()) == early
    noise = [study_of(60, 1, np.random.default_rng(1).permutation(ERRORS))]
    unused = played(6, 0, noise)
    assert isinstance(unused.sampler, SupportsEarlierStudies)
    without = unused.sampler.transfer(unused)
    assert without is not None
    assert "does not tell even these apart" in str(without)
    alone = played(6, 0, ())
    assert isinstance(alone.sampler, SupportsEarlierStudies)
    assert alone.sampler.transfer(alone) is None
