from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from hwnas.architecture import Architecture
from hwnas.errors import StudyError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.pareto import fronts
from hwnas.search.prescreening.predictions import CandidatePredictor, Evaluated
from hwnas.search.prescreening.selection import CHUNK, Kept, Predictions, Prescreening
from hwnas.search.strategies import Limits
from hwnas.search_spaces.base import SearchSpace, encode_many, make_search_space, sample_choices

CONTRACT = NetworkContract(5, 32, (64, 128), dense_logits(4), cyclic_width=True)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return make_search_space("range-unet", CONTRACT)


def _cost(network: Architecture) -> float:
    return float(network.genes["stem_width"]) * float(network.genes["decoder_width"]) / 100.0


def _error(network: Architecture) -> float:
    return 0.9 - 0.05 * float(network.genes["num_stages"]) - 0.01 * _cost(network) ** 0.5


def _predict(networks: Sequence[Architecture]) -> Predictions:
    costs = np.array([_cost(network) for network in networks])
    noise = np.array([int(network.id[:4], 16) / 1e7 for network in networks])
    errors = np.array([_error(network) for network in networks])
    return Predictions(errors + noise, costs, costs < 100.0, np.ones(len(networks), bool))


def _prescreened(prescreening: Prescreening) -> Kept:
    kept = prescreening.nothing
    while kept.screened < prescreening.number:
        kept = prescreening.step(kept)
    return kept


def test_what_is_kept_is_the_first_layers_of_everything(space: SearchSpace) -> None:
    everything: list[np.ndarray] = []

    def recording(networks: Sequence[Architecture]) -> Predictions:
        found = _predict(networks)
        everything.append(np.column_stack([found.errors, found.costs])[found.are_allowed])
        return found

    kept = _prescreened(Prescreening(space, recording, number=CHUNK + 500, keep=40, seed=1))
    points = np.concatenate(everything)
    first = points[next(fronts(points))]
    assert kept.screened == CHUNK + 500
    assert kept.allowed == len(points)
    assert {tuple(point) for point in first} <= {tuple(point) for point in kept.points}
    assert 40 <= len(kept.points) < 250
    assert kept.points[:, 1].max() < 100.0, "nothing over the limit is kept"


def test_prescreening_goes_on_where_it_was_stopped(space: SearchSpace) -> None:
    prescreening = Prescreening(space, _predict, number=2 * CHUNK, keep=30, seed=5)
    first = prescreening.step(prescreening.nothing)
    read = Kept.from_json(json.loads(json.dumps(first.to_json())), first.genes.shape[1])
    resumed, straight = prescreening.step(read), _prescreened(prescreening)
    assert resumed.ids == straight.ids
    assert np.array_equal(resumed.points, straight.points)
    network = space.decode(prescreening.choices(straight.genes[0].tolist()))
    assert network.id == straight.ids[0]


def test_a_small_space_is_gone_through_whole() -> None:
    fixed = {gene: [values[0]] for gene, values in make_search_space("range-unet", CONTRACT).choices.items()}
    small = make_search_space(
        "range-unet", CONTRACT, fixed | {"stem_width": [8, 16, 24], "decoder_width": [16, 24]}
    )
    seen: list[str] = []

    def recording(networks: Sequence[Architecture]) -> Predictions:
        seen.extend(network.id for network in networks)
        return _predict(networks)

    kept = _prescreened(Prescreening(small, recording, number=10_000, keep=6, seed=0))
    assert len(seen) == len(set(seen)) == kept.screened == 6


def test_a_predictor_learns_errors_and_costs(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    networks = [space.decode(sample_choices(space, rng)) for _ in range(330)]
    evaluated = [Evaluated(network, _error(network), _cost(network)) for network in networks[:130]]
    predictor = CandidatePredictor(space, evaluated, Limits(None, 1, 20.0), None, is_latency=True)
    found = predictor(networks[130:])
    truth = np.array([_error(network) for network in networks[130:]])
    assert not predictor.uses_table
    assert predictor.report.rank_correlation.low > 0.5
    assert np.corrcoef(found.errors, truth)[0, 1] > 0.9
    assert np.array_equal(found.are_allowed, found.costs <= 20.0)


def test_networks_that_learn_nothing_hide_none_that_do(space: SearchSpace) -> None:
    rng = np.random.default_rng(3)
    networks = [space.decode(sample_choices(space, rng)) for _ in range(300)]
    truth = np.array([_error(network) for network in networks])
    fails = rng.random(300) < 0.1
    errors = np.where(fails, 40.0, truth)
    evaluated = [
        Evaluated(network, error, _cost(network))
        for network, error in zip(networks[:100], errors[:100], strict=True)
    ]
    found = CandidatePredictor(space, evaluated, Limits(None, 1), None, is_latency=True)(networks[100:])
    assert np.corrcoef(found.errors, truth[100:])[0, 1] > 0.8
    capped_error = 2 * np.quantile(errors[:100], 0.75) - errors[:100].min()
    assert found.errors.max() < capped_error + 0.1


def test_what_errs_more_than_most_is_not_worth_training_however_fast(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    networks = [space.decode(sample_choices(space, rng)) for _ in range(700)]
    evaluated = [Evaluated(network, _error(network), _cost(network)) for network in networks[:100]]
    predictor = CandidatePredictor(space, evaluated, Limits(None, 1, 50.0), None, is_latency=True)
    found = predictor(networks[100:])
    share = found.are_promising[found.are_allowed].mean()
    assert 0.5 < share < 0.7
    assert found.errors[found.are_promising].max() < found.errors[~found.are_promising].min()
    kept = _prescreened(Prescreening(space, predictor, number=CHUNK, keep=30, seed=2))
    assert kept.points[:, 0].max() <= found.errors[found.are_promising].max() + 0.02


def test_a_table_is_used_where_it_covers_the_space(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    networks = [space.decode(sample_choices(space, rng)) for _ in range(60)]
    evaluated = [Evaluated(network, _error(network), _cost(network)) for network in networks]

    def table(asked: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        ms = np.array([_cost(network) for network in asked])
        return ms, 0.9 * ms

    predictor = CandidatePredictor(space, evaluated, Limits(15.0, 1), table, is_latency=True)
    found = predictor(networks)
    assert predictor.uses_table
    assert np.allclose(found.costs, [_cost(network) for network in networks])
    assert np.array_equal(found.are_allowed, found.costs <= 15.0)
    uncovered = CandidatePredictor(space, evaluated, Limits(None, 1), lambda _asked: None, is_latency=True)
    assert not uncovered.uses_table


def test_too_few_trained_candidates_are_refused(space: SearchSpace) -> None:
    with pytest.raises(StudyError, match="at least 8 trained candidates"):
        CandidatePredictor(space, [], Limits(None, 1), None, is_latency=True)


def test_encoding_many_is_encoding_each(space: SearchSpace) -> None:
    rng = np.random.default_rng(7)
    for name in ("range-unet", "nas-cell"):
        one = make_search_space(name, CONTRACT)
        networks = [one.decode(sample_choices(one, rng)) for _ in range(25)]
        assert np.array_equal(
            encode_many(one, networks), np.stack([one.encode(network) for network in networks])
        )
