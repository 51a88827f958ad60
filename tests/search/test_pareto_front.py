"""The front that grows trial by trial says what one reading of the whole study says."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.files import write_checked_json
from hwnas.search.front import build_front
from hwnas.search.pareto_front import ParetoFront, ParetoHistory
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from tests.search.test_front import objectives_within, trial

# Few values, so that points repeat and dominate each other.
ERRORS = st.sampled_from([0.1, 0.2, 0.3, 0.4])
LATENCIES = st.sampled_from([1.0, 2.0, 5.0, 9.0])
STATES = st.sampled_from(["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "RUNNING"])
ORDER = st.sampled_from([0.0, 1.0, 2.0])


def run_with_records(directory: str, count: int) -> RunDirectory:
    run = RunDirectory(Path(directory))
    run.make()
    for number in range(count):
        run.trial(number).mkdir(parents=True)
        record = {"architecture": {"n": number}, "quality": {"ä": 1}, "latency": {}}
        write_checked_json(run.trial_record(number), {"schema_version": SCHEMA_VERSION, **record})
    return run


@settings(deadline=None, max_examples=60)
@given(st.data(), st.lists(st.tuples(STATES, ERRORS, LATENCIES, ORDER), max_size=12), st.none() | LATENCIES)
def test_it_is_the_front_of_the_study_at_every_moment(data, drawn, limit_ms) -> None:
    trials = [
        trial(number, *(error, latency) if state == "COMPLETE" else (None, None), state=state, elapsed_s=when)
        for number, (state, error, latency, when) in enumerate(drawn)
    ]
    order = data.draw(st.permutations(range(len(trials))))
    objectives = objectives_within(limit_ms)
    with TemporaryDirectory() as directory:
        run = run_with_records(directory, len(trials))
        pareto_front = ParetoFront(run, objectives)
        for known in range(len(trials) + 1):
            reported = set(order[:known])
            seen = [
                each if number in reported else trial(number, None, None, state="RUNNING")
                for number, each in enumerate(trials)
            ]
            pareto_front.update(seen)
            pareto_front.write(seen)
            front = build_front(seen, run.read_trial, objectives)
            assert run.read_front() == pareto_front.content == json.loads(json.dumps(front))
            assert pareto_front.trained == sum(each.is_trained for each in seen)
            assert pareto_front.num_finished == sum(each.state != "RUNNING" for each in seen)


def test_large_studies_are_written_seldom() -> None:
    with TemporaryDirectory() as directory:
        run = run_with_records(directory, 1)
        pareto_front = ParetoFront(run, objectives_within(None))
        trials = [trial(0, 0.1, 1.0), *(trial(n, None, None, state="FAIL") for n in range(1, 2499))]
        pareto_front.update(trials)
        pareto_front.write(trials)
        numbers = []
        for number in range(2499, 2506):
            trials.append(trial(number, None, None, state="FAIL"))
            pareto_front.update(trials)
            if pareto_front.is_due:
                pareto_front.write(trials)
            numbers.append(len(run.read_front()["trials"]))
        assert numbers == [2499] * 5 + [2505] * 2
        assert pareto_front.failed == 2505


class CountingHistory(ParetoHistory):
    steps = 0

    def _step(self, trial) -> None:
        self.steps += 1
        super()._step(trial)


@pytest.mark.parametrize(
    ("limit", "reported", "steps"),
    [
        (5.0, [(0.5, 3.0), (0.4, 9.0), (0.3, 3.0), (0.3, 3.0)], 4),
        (None, [(0.5, 3.0), (0.4, 2.0), (0.3, 3.0), (0.6, 1.0)], 4),
        (None, [(0.5, 3.0), (0.4, 4.0), (0.3, 4.0)], 1 + 2 + 1),  # the second one is a new worst corner
    ],
)
def test_an_update_costs_as_much_as_the_trials_that_are_new(limit, reported, steps) -> None:
    history = CountingHistory(limit)
    for number, point in enumerate(reported):
        history.add([trial(number, *point)])
        history.add([])
    assert history.steps == steps


def test_trials_told_out_of_order_are_gone_through_again() -> None:
    history = CountingHistory(5.0)
    history.add([trial(1, 0.4, 3.0, elapsed_s=2.0)])
    history.add([trial(0, 0.5, 2.0, elapsed_s=1.0), trial(2, 0.3, 4.0, elapsed_s=2.0)])
    assert history.steps == 1 + 3
    assert [entry[:2] for entry in history.entries] == [(0, 1.0), (1, 2.0), (2, 2.0)]
    assert [each.number for each in history.trained] == [0, 1, 2]
    assert history.hypervolume == history.entries[-1][2] == pytest.approx(0.5 * 3 + 0.1 * 2 + 0.1 * 1)


def test_only_what_is_not_dominated_changes_the_front(monkeypatch) -> None:
    sizes: list[int] = []

    def recorded(points, reference) -> float:
        sizes.append(len(points))
        return 1.0

    monkeypatch.setattr("hwnas.search.pareto_front.hypervolume", recorded)
    history = ParetoHistory(5.0)
    points = [(0.5, 3.0), (0.5, 3.0), (0.5, 4.0), (0.6, 3.0), (0.4, 3.0), (0.6, 2.0), (0.7, 1.0)]
    history.add([trial(number, *point) for number, point in enumerate(points)])
    assert sizes == [1, 1, 2, 3]
    assert [entry[2] for entry in history.entries] == [1.0] * 7


def test_trials_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    front = ParetoFront(run_with_records(str(tmp_path / "run"), 9), objectives_within(None))
    reported = [
        trial(0, 0.5, 3.0),
        trial(1, None, 9.0, state="PRUNED"),
        trial(2, None, None, state="FAIL"),
        trial(3, 0.4, 4.0),
        trial(4, 0.5, 3.0, duplicate_of=0, architecture=trial(0, 0.5, 3.0).architecture),
        trial(5, None, None, state="PRUNED", architecture=None),
        trial(6, None, 2.0, state="FAIL"),
        trial(7, None, None, state="PRUNED"),
        trial(8, None, None, state="WAITING"),
    ]
    front.update(reported)
    front.update(reported)
    assert (front.trained, front.infeasible, front.failed, front.num_finished) == (2, 3, 2, 8)
    found = [front.evaluated(each.architecture) for each in reported if each.architecture is not None]
    assert [each and each.number for each in found] == [0, 1, None, 3, 0, None, None, None]
