"""Mechanics of the two strategies that learn from what was told, seen through what they propose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits
from hwnas.objectives import Constraint, Objectives
from hwnas.search.failure import Failure
from hwnas.search.strategies import Limits, StrategyContext, distributions_of, make_sampler
from hwnas.search.strategies.observations import Genes
from hwnas.search.strategies.proposing import ProposingSampler
from hwnas.search.study import SearchStudy

MOST_MS = 1000.0
OBJECTIVES = Objectives(constraints=(Constraint.parse(f"latency_ms <= {MOST_MS:g}"),))
POPULATION = 10
"""Of evolution, with 40 wanted trials."""
POLICIES = 5


class WideSpace:
    """Twelve genes of four values: two random networks share no more than a few of them."""

    name = "wide"
    choices: ClassVar[dict[str, tuple[int, ...]]] = {f"gene{number}": (0, 1, 2, 3) for number in range(12)}

    def decode(self, choices: dict[str, Any]) -> Architecture:
        return Architecture(self.name, choices, (1, 8, 8), dense_logits(2))


def sampler_of(strategy: str, seed: int = 0) -> ProposingSampler:
    context = StrategyContext(WideSpace(), None, Limits(None, 40), seed)
    sampler = make_sampler(strategy, context)
    assert isinstance(sampler, ProposingSampler)
    return sampler


def random_genes(count: int, seed: int = 1) -> list[Genes]:
    """Networks that differ in half of their genes at least, so that a mutant has one parent only."""
    rng = np.random.default_rng(seed)
    found: list[Genes] = []
    while len(found) < count:
        genes = tuple(int(value) for value in rng.integers(4, size=12))
        if all(changes(genes, other) >= 6 for other in found):
            found.append(genes)
    return found


def changes(one: Genes, other: Genes) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def choices_of(genes: Genes) -> dict[str, int]:
    return dict(zip(WideSpace.choices, genes, strict=True))


def opened(study: SearchStudy, genes: Genes | None = None) -> tuple[Any, Genes]:
    """Ask for a trial: of these genes, or of what the strategy proposes."""
    fixed = None if genes is None else choices_of(genes)
    trial, choices = study.ask(distributions_of(WideSpace()), fixed=fixed)
    study.describe(trial, WideSpace().decode(choices))
    return trial, tuple(choices.values())


def tell(study: SearchStudy, trial: Any, error: float, cost: float) -> None:
    """Tell a trial as trained, or as over the limit."""
    reported: dict[str, Any] = {
        "measurements": {"latency_ms": cost},
        "objectives": OBJECTIVES,
        "elapsed_s": float(trial.number),
    }
    if cost > MOST_MS:
        study.tell_infeasible(trial, **reported)
    else:
        study.tell_trained(trial, error=error, **reported)


def proposed(sampler: ProposingSampler, study: SearchStudy, count: int) -> list[Genes]:
    """What a strategy would propose for each of so many numbers of the next trial; nothing is asked."""
    sampler.observations.update(study.optuna_study)
    return [sampler.propose(number, sampler.rng_of(number)) for number in range(10_000, 10_000 + count)]


def parents_of(proposals: list[Genes], known: list[Genes]) -> Counter[int]:
    """How many proposals are each known network with one change; -1 stands for none of them."""
    return Counter(
        next((place for place, genes in enumerate(known) if changes(proposal, genes) == 1), -1)
        for proposal in proposals
    )


class TestEvolution:
    def test_only_the_latest_networks_are_parents(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        best, *others = random_genes(1 + POPULATION)
        trial, _ = opened(study, best)
        tell(study, trial, 0.01, 1.0)
        for place, genes in enumerate(others):
            before = parents_of(proposed(sampler, study, 200), [best])[0]
            trial, _ = opened(study, genes)
            tell(study, trial, 0.5 + place / 100, 10.0 + place)
        # With nine younger ones it won every sample of two that it was in; with ten it is too old.
        assert before > 20
        after = parents_of(proposed(sampler, study, 200), [best, *others])
        assert after[0] == 0
        assert sum(after[place] for place in range(1, 1 + POPULATION)) > 180

    def test_age_counts_from_telling(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        slow, *others = random_genes(1 + POPULATION)
        first, _ = opened(study, slow)
        for place, genes in enumerate(others):
            trial, _ = opened(study, genes)
            tell(study, trial, 0.5 + place / 100, 10.0 + place)
        assert parents_of(proposed(sampler, study, 200), [slow])[0] == 0
        tell(study, first, 0.01, 1.0)
        after = parents_of(proposed(sampler, study, 200), [slow, others[0]])
        assert after[0] > 20
        assert after[1] == 0, "the one told first is too old now"

    def test_networks_over_a_limit_and_failed_ones_neither_live_nor_age_others(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        genes = random_genes(3 * POPULATION)
        parents, infeasible, failed = (genes[start::3] for start in range(3))
        for place, own in enumerate(parents):
            trial, _ = opened(study, own)
            tell(study, trial, 0.5 + place / 100, 10.0 + place)
        before = proposed(sampler, study, 200)
        for own in infeasible:
            trial, _ = opened(study, own)
            tell(study, trial, 0.01, 2 * MOST_MS)
        for own in failed:
            trial, _ = opened(study, own)
            study.tell_failed(trial, Failure("it happens"), elapsed_s=0.0)
        assert proposed(sampler, study, 200) == before

    def test_a_proposal_is_the_better_of_a_sample_with_one_change(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        known = random_genes(POPULATION)
        for place in np.random.default_rng(2).permutation(POPULATION):
            trial, _ = opened(study, known[place])
            tell(study, trial, 0.1 + 0.05 * place, 1.0 + place)  # each is dominated by those before it
        found = parents_of(proposed(sampler, study, 600), known)
        assert 6 <= found[-1] <= 60, "one of twenty is drawn uniformly"
        # In a sample of two, place p of ten wins with probability (9 - p) / 45.
        times = [found[place] for place in range(POPULATION)]
        assert times[-1] == 0
        for place, often in enumerate(times):
            expected = 0.95 * 600 * (POPULATION - 1 - place) / 45
            assert abs(often - expected) <= 4 * max(1.0, expected) ** 0.5

    def test_both_objectives_choose_the_parent(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        known = random_genes(POPULATION)
        accurate, fast, *between = known
        for place, own in enumerate(between):
            trial, _ = opened(study, own)
            tell(study, trial, 0.5 + place / 100, 50.0 + place)
        for own, error, cost in ((accurate, 0.1, 100.0), (fast, 0.9, 1.0)):
            trial, _ = opened(study, own)
            tell(study, trial, error, cost)
        found = parents_of(proposed(sampler, study, 400), known)
        # Neither end is dominated by any: each wins half of the 80 samples of two that it is in. By the error
        # alone the fast one would win none of them, by the cost alone the accurate one.
        assert found[0] > 20
        assert found[1] > 20

    def test_at_first_draws_are_uniform(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        known = random_genes(POPULATION // 2)
        for number, genes in enumerate(known):
            assert parents_of(proposed(sampler, study, 100), known)[-1] == 100
            trial, _ = opened(study, genes)
            tell(study, trial, 0.5, 10.0 + number)
        assert parents_of(proposed(sampler, study, 100), known)[-1] < 20

    def test_asking_gives_such_a_mutant(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("evolution")
        study.set_sampler(sampler)
        known = random_genes(POPULATION)
        for place, genes in enumerate(known):
            trial, _ = opened(study, genes)
            tell(study, trial, 0.1 + 0.05 * place, 1.0 + place)
        asked = [opened(study)[1] for _ in range(20)]
        assert parents_of(asked, known)[-1] < 5
        assert len(set(asked)) == 20


def shares(sampler: ProposingSampler, study: SearchStudy, value: int) -> list[float]:
    """How often each policy takes a value for the first gene."""
    proposals = proposed(sampler, study, 400 * POLICIES)
    return [float(np.mean([genes[0] == value for genes in proposals[n::POLICIES]])) for n in range(POLICIES)]


def play(study: SearchStudy, rounds: int, error: Any, cost: Any) -> None:
    """Ask and tell, error and cost as the first gene decides."""
    for _ in range(rounds):
        trial, genes = opened(study)
        tell(study, trial, error(genes[0]), cost(genes[0]))


class TestReinforce:
    @pytest.mark.parametrize("good", [0, 2])
    def test_every_policy_moves_towards_what_is_rewarded(self, tmp_path: Path, good: int) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(sampler)
        course = [shares(sampler, study, good)]
        for _ in range(3):
            play(study, 30, lambda value: 0.1 if value == good else 0.6, lambda value: 1.0)
            course.append(shares(sampler, study, good))
        for policy in range(POLICIES):
            start, *later = (row[policy] for row in course)
            assert 0.18 < start < 0.32, "it begins uniformly"
            assert later[0] > start + 0.05
            assert later[-1] > max(0.7, later[0])

    def test_nothing_is_learned_before_the_targets_are_known(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(sampler)
        before = proposed(sampler, study, 100)
        play(study, 9, lambda value: value / 4, lambda value: 1.0)
        assert proposed(sampler, study, 100) == before
        play(study, 1, lambda value: value / 4, lambda value: 1.0)
        assert proposed(sampler, study, 100) != before, "the first ten are learned from as well"

    def test_over_its_target_a_network_is_worth_less(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(sampler)
        # The targets are quantiles of the costs of the first ten: 1, 1, 8, 8, and no bound.
        for place, genes in enumerate(random_genes(10, seed=3)):
            trial, _ = opened(study, (place % 2, *genes[1:]))
            tell(study, trial, 0.1, 8.0 if place % 2 else 1.0)
        # All networks err alike; those whose first gene is not 0 take eight times as long.
        play(study, 120, lambda value: 0.1, lambda value: 8.0 if value else 1.0)
        fast = shares(sampler, study, 0)
        assert min(fast[:2]) > 0.7
        assert max(fast[2:]) < 0.5, "within its target a network is not worth less for being slow"

    def test_the_tighter_target_gives_up_more_accuracy(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(sampler)
        for place, genes in enumerate(random_genes(10, seed=3)):
            trial, _ = opened(study, (place % 2, *genes[1:]))
            tell(study, trial, 0.1, 8.0 if place % 2 else 1.0)
        # Slow networks are the accurate ones: (1 - error) is 0.9 against 0.5, and 0.9 / 8 over the target.
        play(study, 150, lambda value: 0.1 if value == 1 else 0.5, lambda value: 8.0 if value == 1 else 1.0)
        accurate = shares(sampler, study, 1)
        assert max(accurate[:2]) < 0.2
        assert min(accurate[2:]) > 0.6

    def test_over_a_hard_limit_there_is_no_reward_at_all(self, tmp_path: Path) -> None:
        study, sampler = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(sampler)
        play(study, 120, lambda value: 0.1, lambda value: 2 * MOST_MS if value == 3 else 1.0)
        assert max(shares(sampler, study, 3)) < 0.1

    def test_replaying_gives_what_living_through_it_gave(self, tmp_path: Path) -> None:
        study, lived = SearchStudy(tmp_path / "j"), sampler_of("reinforce")
        study.set_sampler(lived)
        rng = np.random.default_rng(4)
        running: list[Any] = []
        for number in range(80):
            running.append(opened(study)[0])
            if len(running) < 3:
                continue
            trial = running.pop(int(rng.integers(3)))  # told in another order than asked
            if number % 9 == 8:
                study.tell_failed(trial, Failure("it happens"), elapsed_s=0.0)
            else:
                cost = 2 * MOST_MS if number % 7 == 6 else float(1 + trial.params["gene0"])
                tell(study, trial, 0.1 + 0.2 * trial.params["gene1"], cost)
        expected = proposed(lived, study, 500)
        study.close()
        again, replayed = SearchStudy(tmp_path / "j", read_only=True), sampler_of("reinforce")
        assert proposed(replayed, again, 500) == expected
        assert proposed(replayed, again, 500) == expected, "nothing is learned twice"
        nothing_told = SearchStudy(tmp_path / "empty")
        assert proposed(sampler_of("reinforce"), nothing_told, 500) != expected
