"""The front that grows trial by trial says what one reading of the whole study says."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.files import write_checked_json
from hwnas.search.front import build_front
from hwnas.search.pareto_front import ParetoFront
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
            told = set(order[:known])
            seen = [
                each if number in told else trial(number, None, None, state="RUNNING")
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
