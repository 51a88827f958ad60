"""Searches with several lengths of training: who is promoted, what it costs, and what a kill leaves."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import BaseSampler
from typer.testing import CliRunner

from hwnas.architecture import Architecture
from hwnas.cli.main import make_app
from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.io_spec import dense_logits
from hwnas.pareto import fronts
from hwnas.search.driver import search
from hwnas.search.failure import ABANDONED
from hwnas.search.fidelities import Fidelities, Rung
from hwnas.search.front import objectives_of_front
from hwnas.search.recorder import Candidate
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import stage_costs
from hwnas.search.strategies.surrogate.sampler import SurrogateSampler
from hwnas.search.study import SearchStudy
from hwnas.search.trial_summary import TrialSummary
from tests.search.reference_front import build_front
from tests.search.test_killing import events, start, wait_for

pytestmark = pytest.mark.usefixtures("forked_workers")

GOOD = {"behaviour": ["good"]}
SHORT = {"steps": [2, 4], "reduction_factor": 3}


def made_up(number: int, error: float, cost: float) -> TrialSummary:
    architecture = Architecture("made-up", {"number": number}, (1, 8, 8), dense_logits(2))
    return TrialSummary(
        number, "COMPLETE", architecture, error, cost, cost, {}, None, None, 1.0, float(number)
    )


class MadeUpRecorder:
    """As much of a `TrialRecorder` as fidelities look at."""

    def __init__(self) -> None:
        self.study: Any = None
        self.trials: list[TrialSummary] = []
        self.pareto_front = SimpleNamespace(history=SimpleNamespace(trained=self.trials))

    @property
    def num_trained(self) -> int:
        return len(self.trials)


@given(seed=st.integers(0, 2**32 - 1), reduction_factor=st.integers(2, 4), workers=st.integers(1, 6))
def test_one_of_every_few_is_promoted_and_nobody_waits(
    seed: int, reduction_factor: int, workers: int
) -> None:
    rng = random.Random(seed)
    recorders = [MadeUpRecorder() for _ in range(3)]
    fidelities = Fidelities(
        [Rung(recorder, steps) for recorder, steps in zip(recorders, (1, 3, 9), strict=True)],
        reduction_factor=reduction_factor,
    )
    running: list[Candidate] = []
    asked, lost = 0, 0
    while asked < 40 or running or fidelities.next_promotion():
        while len(running) < workers and (asked < 40 or fidelities.next_promotion()):
            found = fidelities.next_promotion()
            number, below = found or (0, made_up(asked, rng.random(), rng.random()))
            asked += found is None
            candidate = Candidate(below, below.architecture, {}, rung=number)  # type: ignore[arg-type]
            if found:
                best = len(recorders[number - 1].trials) // reduction_factor + fidelities.rungs[number].lost
                points = np.array([(one.error, one.cost) for one in recorders[number - 1].trials])
                better, layer = 0, next(i for i, t in enumerate(recorders[number - 1].trials) if t is below)
                for positions in fronts(points):
                    if layer in positions:
                        break
                    better += len(positions)
                assert better < best, (
                    "layers above that of a promoted network hold fewer than may be promoted"
                )
                fidelities.of(candidate).taken.add(candidate.architecture)
            running.append(candidate)
        done = running.pop(rng.randrange(len(running)))
        if done.rung and rng.random() < 0.1 and lost < 3:
            lost += 1
            fidelities.failed(done)
        else:
            recorders[done.rung].trials.append(done.trial)  # type: ignore[arg-type]
        for below, above in pairwise(recorders):
            assert above.num_trained <= below.num_trained // reduction_factor
            names = [one.number for one in above.trials]
            assert len(names) == len(set(names))
            assert set(names) <= {one.number for one in below.trials}
    # A rung may lack what its failures cost only if nobody is left to be promoted in their place.
    assert fidelities.heights == [40, 40 // reduction_factor, 40 // reduction_factor // reduction_factor]


class MadeUpChooser(BaseSampler):
    """Names the network with the largest number, of even rungs only."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[int]]] = []

    def promote(self, rung: int, waiting: Sequence[int]) -> int | None:
        self.asked.append((rung, list(waiting)))
        return max(waiting) if rung % 2 == 0 else None

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        raise NotImplementedError

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        raise NotImplementedError

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        raise NotImplementedError


def test_a_strategy_may_choose_who_is_promoted(tmp_path: Path) -> None:
    recorders = [MadeUpRecorder() for _ in range(3)]
    recorders[0].study = SearchStudy(tmp_path / "journal")
    fidelities = Fidelities(
        [Rung(recorder, steps) for recorder, steps in zip(recorders, (1, 3, 9), strict=True)],
        reduction_factor=2,
    )
    recorders[0].trials += [made_up(number, 0.1 * number, 1.0) for number in range(8)]
    recorders[1].trials += [made_up(number, 0.1 * number, 1.0) for number in range(4)]
    fidelities.rungs[1].taken |= {trial.architecture for trial in recorders[1].trials if trial.architecture}
    by_layers = fidelities.next_promotion()
    assert by_layers is not None
    assert (by_layers[0], by_layers[1].number) == (2, 0)

    chooser = MadeUpChooser()
    fidelities.follow(chooser)
    assert recorders[0].study.optuna_study.sampler is chooser
    assert fidelities.may_promote()
    assert chooser.asked == [], "whether somebody may be promoted is known without asking who"
    chosen = fidelities.next_promotion()
    assert chosen is not None
    assert (chosen[0], chosen[1].number) == (2, 3)
    assert chooser.asked == [(2, [0, 1, 2, 3])]

    # Without an opinion of the strategy, front layers decide; whoever was taken is not asked for again.
    fidelities.rungs[2].taken |= {
        trial.architecture for trial in recorders[1].trials[:2] if trial.architecture
    }
    recorders[0].trials += [made_up(number, 0.05, 0.5) for number in (8, 9)]
    chosen = fidelities.next_promotion()
    assert chosen is not None
    assert (chosen[0], chosen[1].number) == (1, 8)
    assert chooser.asked[-1] == (1, [4, 5, 6, 7, 8, 9])
    recorders[0].study.close()


def test_few_are_promoted_early() -> None:
    recorders = [MadeUpRecorder() for _ in range(2)]
    fidelities = Fidelities(
        [Rung(recorder, steps) for recorder, steps in zip(recorders, (1, 3), strict=True)], reduction_factor=2
    )
    promoted = []
    for number in range(40):
        recorders[0].trials.append(made_up(number, 1.0 / (1 + number), float(number)))
        while found := fidelities.next_promotion((number + 1) / 40):
            fidelities.rungs[1].taken.add(found[1].architecture)
        promoted.append(len(fidelities.rungs[1].taken))
    assert promoted[19] == 1
    assert promoted[29] == 6
    assert promoted[39] == 20
    assert not fidelities.may_promote()


def test_fidelities_need_rungs() -> None:
    with pytest.raises(ValueError, match="reduction_factor"):
        Fidelities([])
    with pytest.raises(ValueError, match="reduction_factor"):
        Fidelities([Rung(MadeUpRecorder(), 1), Rung(MadeUpRecorder(), 3)], reduction_factor=1)


@pytest.mark.long
@pytest.mark.usefixtures("tiny_plugin")
def test_a_search_of_three_lengths(write_run, tmp_path: Path) -> None:
    path = write_run(search__trials=9, search__workers=2, search__fidelities=SHORT, space__choices=GOOD)
    seen = []
    result = search(load_config(path), tmp_path / "out", progress=seen.append)
    run = RunDirectory(tmp_path / "out")
    assert [(rung["steps"], rung["trained"]) for rung in result.rungs] == [(2, 9), (4, 3), (6, 1)]
    assert result.to_json()["rungs"] == result.rungs
    assert (seen[-1].trained, seen[-1].wanted, seen[-1].promoted) == (9, 9, (3, 1))

    # The front is that of the longest training, and every rung keeps its own.
    study = SearchStudy(run.study_journal, read_only=True)
    rungs = [(study.beside("rung-1"), run.rung(1)), (study.beside("rung-2"), run.rung(2)), (study, run)]
    below: set[Architecture] | None = None
    for (one, where), steps in zip(rungs, (2, 4, 6), strict=True):
        front = where.read_front()
        summaries = one.summaries()
        implied = build_front(summaries, where.read_trial, objectives_of_front(front))
        assert front == json.loads(json.dumps(implied))
        records = [where.read_trial(trial.number) for trial in summaries if trial.is_trained]
        assert {record["estimator"] for record in records} == {f"training-{steps}-steps"}
        architectures = {trial.architecture for trial in summaries if trial.is_trained}
        assert below is None or architectures < below
        below = architectures
    study.close()

    # What is promoted is not measured anew: its latency is the one measured at the start.
    member = run.read_front()["members"][0]
    started = [
        trial
        for trial in run.rung(1).read_front()["trials"]
        if trial["architecture"] == member["architecture"] and trial["duplicate_of"] is None
    ]
    assert [trial["latency_ms"] for trial in started] == [member["latency_ms"]]

    stages = {stage.stage: stage for stage in stage_costs(run)}
    assert [name for name in stages if name.startswith("rung")] == [
        "rung 1, 2 steps",
        "rung 2, 4 steps",
        "rung 3, 6 steps",
    ]
    assert stages["rung 2, 4 steps"].networks == 3
    assert stages["total"].seconds == pytest.approx(
        sum(stage.seconds for name, stage in stages.items() if name != "total")
    )

    # Going on with more candidates promotes more of them; other lengths are refused.
    changed = load_config(write_run(search__fidelities={"steps": [2, 5]}, search__trials=9))
    with pytest.raises(StudyError, match="fidelities"):
        search(changed, run.path, resume=True)
    path = write_run(search__trials=12, search__workers=2, search__fidelities=SHORT, space__choices=GOOD)
    more = search(load_config(path), run.path, resume=True)
    assert [rung["trained"] for rung in more.rungs] == [12, 4, 1]
    assert CliRunner().invoke(make_app(), ["report", str(run.path)]).exit_code == 0
    assert "rung 2, 4 steps" in run.report.read_text()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_the_surrogate_chooses_who_is_trained_longer(write_run, tmp_path: Path, monkeypatch) -> None:
    chosen: list[tuple[int, list[int], int | None]] = []
    own = SurrogateSampler.promote

    def watched(self: SurrogateSampler, rung: int, waiting: Sequence[int]) -> int | None:
        result = own(self, rung, waiting)
        chosen.append((rung, list(waiting), result))
        return result

    monkeypatch.setattr(SurrogateSampler, "promote", watched)
    settings = {"search__strategy": "surrogate", "search__workers": 2, "space__choices": GOOD}
    settings["search__fidelities"] = {"steps": [2], "reduction_factor": 3}
    path = write_run(search__trials=15, **settings)
    result = search(load_config(path), tmp_path / "out")
    assert [rung["trained"] for rung in result.rungs] == [15, 5]
    assert len(chosen) == 5
    own_choices = [number for _, _, number in chosen if number is not None]
    assert own_choices, "with three long trainings and more, the surrogate has a say"
    assert all(number in waiting for _, waiting, number in chosen if number is not None)
    run = RunDirectory(tmp_path / "out")
    started = {trial["number"]: trial["architecture"] for trial in run.rung(1).read_front()["trials"]}
    finished = [trial["architecture"] for trial in run.read_front()["trials"]]
    assert all(started[number] in finished for number in own_choices)

    more = search(load_config(write_run(search__trials=21, **settings)), run.path, resume=True)
    assert [rung["trained"] for rung in more.rungs] == [21, 7]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_promotion_survives_a_killed_driver(write_run, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "out")
    path = write_run(
        search__trials=9,
        search__workers=2,
        search__fidelities=SHORT,
        space__choices=GOOD,
        task__delay_s=0.1,
    )
    process = start(path, "--out", run.path)
    wait_for(lambda: any(event.get("rung") == "rung 2" for event in events(run, "trained")), process)
    time.sleep(random.uniform(0, 1))
    process.kill()
    process.wait()
    process = start(run.path, "--resume")
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert [rung["trained"] for rung in json.loads(output[0])["rungs"]] == [9, 3, 1]
    for where in (run.rung(1), run.rung(2), run):
        trials = where.read_front()["trials"]
        counted = Counter(
            json.dumps(trial["architecture"], sort_keys=True)
            for trial in trials
            if trial["state"] == "COMPLETE" and trial["duplicate_of"] is None
        )
        assert set(counted.values()) == {1}, "a network was trained twice on a rung"
        reasons = [trial["reason"] for trial in trials if trial["state"] == "FAIL"]
        assert set(reasons) <= {ABANDONED.reason}
        assert "RUNNING" not in {trial["state"] for trial in trials}


@pytest.mark.parametrize(
    ("changes", "reported"),
    [
        ({"search__fidelities": {"steps": [4, 2]}}, "must grow"),
        ({"search__fidelities": {"steps": [2, 6]}}, "training.proxy.steps"),
        ({"search__fidelities": {"steps": []}}, "at least 1"),
        ({"search__fidelities": {"steps": [2], "reduction_factor": 1}}, "greater than or equal to 2"),
        ({"search__fidelities": {"steps": [2], "reduction_facto": 4}}, "Did you mean 'reduction_factor'"),
        ({"search__fidelities": {"steps": [2, 4]}, "search__trials": 8}, "one of 9 is promoted"),
        ({"search__fidelities": {"steps": [2]}, "search__prescreening": {}}, "prescreening"),
        ({"search__fidelities": {"steps": [2]}, "search__estimator": "weight-sharing"}, "training"),
        (
            {"search__fidelities": {"steps": [2]}, "training__proxy": {"steps": 6, "pretraining_steps": 3}},
            "pretraining_steps",
        ),
    ],
)
def test_lengths_that_do_not_go_together_are_refused(write_run, changes: dict, reported: str) -> None:
    with pytest.raises(ConfigError, match=reported):
        load_config(write_run(**{"search__trials": 9, **changes}))


@pytest.mark.parametrize(
    ("options", "reported"),
    [(["--fidelities", "2,x"], "whole numbers"), (["--reduction-factor", "3"], "`fidelities=`")],
)
def test_the_command_line_is_checked(write_run, tmp_path: Path, options: list[str], reported: str) -> None:
    path = write_run(search__trials=9, space__choices=GOOD)
    result = CliRunner().invoke(make_app(), ["search", str(path), "--out", str(tmp_path / "out"), *options])
    assert isinstance(result.exception, ConfigError)
    assert reported in str(result.exception)
    assert not (tmp_path / "out").exists()
