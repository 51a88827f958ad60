from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from hwnas.config import PrescreeningSection, load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.objectives import Objectives
from hwnas.report.build import build_report
from hwnas.search.driver import search
from hwnas.search.failure import ABANDONED, SUPERSEDED, Failure
from hwnas.search.latency_filter import LatencyFilter
from hwnas.search.prescreening.stage import PrescreeningStage
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.stage_costs import stage_costs
from hwnas.search.strategies import Limits
from hwnas.search.trial_summary import TrialSummary
from hwnas.search.warm_start import not_yet_evaluated
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import make_task
from hwnas.testing.tiny_plugin import StripesTask
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import train_supernet
from tests.search.conftest import run_settings, tiny_plugin, tiny_site  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


def _trial(space: SearchSpace, number: int, choices: dict, **changes) -> TrialSummary:
    values = {
        "number": number,
        "state": "COMPLETE",
        "architecture": space.decode(choices),
        "error": 0.5 - 0.01 * choices["channels"] * choices["depth"],
        "latency_ms": 0.1 * choices["channels"] * choices["depth"],
        "cost": 0.1 * choices["channels"] * choices["depth"],
        "measurements": {},
        "duplicate_of": None,
        "failure": None,
        "seconds": 2.0,
        "elapsed_s": 2.0 * number,
    }
    return TrialSummary(**(values | changes))


@pytest.fixture
def space() -> SearchSpace:
    return make_search_space("tiny-space", StripesTask.contract)


@pytest.fixture
def trials(space: SearchSpace) -> list[TrialSummary]:
    base = {"activation": "relu", "behaviour": "good"}
    genes = [(c, d, k) for c in (2, 4, 8) for d in (1, 2) for k in (1, 3)]
    return [
        _trial(space, number, {"channels": c, "depth": d, "kernel": k, **base})
        for number, (c, d, k) in enumerate(genes)
    ]


def _stage(tmp_path: Path, space: SearchSpace, **changes) -> PrescreeningStage:
    run = RunDirectory(tmp_path)
    return PrescreeningStage(
        run,
        PrescreeningSection(**({"networks": 100, "train_best": 4} | changes)),
        space=space,
        latency_filter=LatencyFilter(None, space, Objectives()),
        limits=Limits(None, 12),
        objectives=Objectives(),
        seed=0,
        log=RunLog(run),
    )


def test_the_chosen_are_new_and_stay_the_same(tmp_path: Path, space, trials) -> None:
    chosen = _stage(tmp_path, space).chosen(trials, trials, lambda: False)
    assert chosen is not None
    assert len(chosen) == 4
    tried = {trial.architecture for trial in trials}
    assert not tried & {space.decode(choices) for choices in chosen}
    state = json.loads(RunDirectory(tmp_path).prescreening.read_text())
    assert (state["screened"], state["trials_before"], state["trained_before"]) == (36, 12, 12)
    assert state["predictor"]["rank_correlation"]["networks"] == 12

    again = _stage(tmp_path, space)
    more = [
        *trials,
        _trial(space, 12, chosen[0]),
        _trial(space, 13, chosen[1], state="FAIL", failure=ABANDONED),
    ]
    assert again.chosen(more, more, lambda: False) == chosen, "finished prescreening is not repeated"
    assert again.wanted == 16
    assert not_yet_evaluated(space, chosen, more) == chosen[1:], "what was killed is tried again"
    failed = [*trials, _trial(space, 12, chosen[0], state="FAIL", failure=Failure("it exploded"))]
    assert not_yet_evaluated(space, chosen, failed) == chosen[1:]
    rebased = [*trials, _trial(space, 12, chosen[0], state="FAIL", failure=SUPERSEDED)]
    assert not_yet_evaluated(space, chosen, rebased) == chosen, "its limit was that of another target"

    anew = _stage(tmp_path, space, train_best=2)
    assert len(anew.chosen(more, more, lambda: False) or []) == 2, "other settings mean prescreening anew"
    assert anew.wanted == 15


def test_stopped_prescreening_goes_on(tmp_path: Path, space, trials) -> None:
    assert _stage(tmp_path, space).chosen(trials, trials, lambda: True) is None
    stopped = json.loads(RunDirectory(tmp_path).prescreening.read_text())
    assert (stopped["is_finished"], stopped["kept"]["screened"]) == (False, 36)
    resumed = _stage(tmp_path, space).chosen(trials, trials, lambda: False)
    other = tmp_path / "other"
    other.mkdir()
    assert resumed == _stage(other, space).chosen(trials, trials, lambda: False)


@pytest.mark.slow
def test_a_search_with_prescreening_trains_prescreens_and_trains_what_it_chose(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    settings = run_settings(search__trials=8, search__workers=2)
    settings["search"]["prescreening"] = {"networks": 100, "train_best": 3}
    path.write_text(yaml.safe_dump(settings))
    result = search(load_config(path), tmp_path / "out")
    assert result.to_json()["trained"] == 11
    run = RunDirectory(tmp_path / "out")
    state = json.loads(run.prescreening.read_text())
    trials = [trial for trial in run.read_front()["trials"] if trial["number"] >= state["trials_before"]]
    trained = [dict(trial["architecture"]["genes"]) for trial in trials if trial["duplicate_of"] is None]
    assert sorted(map(str, map(sorted, (genes.items() for genes in trained)))) == sorted(
        map(str, map(sorted, (choices.items() for choices in state["chosen"])))
    )
    costs = stage_costs(run)
    assert [stage.stage for stage in costs] == [
        "candidates of the strategy",
        "prescreening",
        "candidates chosen by prescreening",
        "total",
    ]
    assert [stage.networks for stage in costs[1:3]] == [36, 3]
    assert costs[-1].seconds == pytest.approx(sum(stage.seconds for stage in costs[:-1]))
    page = build_report(run.path).read_text()
    assert "candidates chosen by prescreening" in page

    # A driver that was killed while the chosen were trained goes on with those that are left.
    more = search(load_config(path), run.path, resume=True)
    assert more.to_json()["trained"] == 11
    assert "prescreening" in [stage["stage"] for stage in more.to_json()["stages"]]


@pytest.mark.long
def test_what_prescreening_learns_from_may_be_evaluated_by_another_estimator(tmp_path: Path) -> None:
    path, run = tmp_path / "run.yaml", RunDirectory(tmp_path / "out")
    settings = run_settings(search__trials=9, search__workers=2, space__choices={"behaviour": ["good"]})
    settings["search"] |= {
        "prescreening": {"networks": 100, "train_best": 3},
        "first_estimator": {"name": "training", "steps": 2},
    }
    path.write_text(yaml.safe_dump(settings))
    result = search(load_config(path), run.path)
    assert [(rung["steps"], rung["trained"]) for rung in result.rungs] == [(2, 9), (6, 3)]
    records = [run.rung(1).read_trial(trial.number) for trial in _complete(run.rung(1))]
    assert {record["estimator"] for record in records} == {"training-2-steps"}
    chosen = [run.read_trial(trial.number) for trial in _complete(run)]
    assert {record["estimator"] for record in chosen} == {"training-6-steps"}
    state = json.loads(run.prescreening.read_text())
    assert (state["learned_from"], state["trials_before"]) == (len(run.rung(1).read_front()["trials"]), 0)
    assert state["predictor"]["rank_correlation"]["networks"] == 9
    assert sorted(str(sorted(record["choices"].items())) for record in chosen) == sorted(
        str(sorted(choices.items())) for choices in state["chosen"]
    )
    costs = stage_costs(run)
    assert [(stage.stage, stage.networks) for stage in costs] == [
        ("candidates that prescreening learns from", 9),
        ("prescreening", state["screened"]),
        ("candidates chosen by prescreening", 3),
        ("total", 0),
    ]
    members = {member["trial"] for member in run.read_front()["members"]}
    assert members <= {trial.number for trial in _complete(run)}, (
        "the front holds what was chosen and trained"
    )
    assert "candidates that prescreening learns from" in build_report(run.path).read_text()

    more = search(load_config(path), run.path, resume=True)
    assert [rung["trained"] for rung in more.rungs] == [9, 3], "nothing is done twice"
    settings["search"]["first_estimator"]["steps"] = 3
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(StudyError, match="first_estimator"):
        search(load_config(path), run.path, resume=True)


def _complete(run: RunDirectory) -> list[SimpleNamespace]:
    trials = run.read_front()["trials"]
    own = [trial for trial in trials if trial["state"] == "COMPLETE" and trial["duplicate_of"] is None]
    return [SimpleNamespace(number=trial["number"]) for trial in own]


@pytest.mark.slow
def test_prescreening_may_learn_from_shared_weights(tmp_path: Path) -> None:
    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, {"behaviour": ["good"]})
    recipe = Recipe(steps=4, batch_size=2, mixed_precision="no", average=0.0)
    train_supernet(task, space, recipe, seed=0, directory=tmp_path / "net")
    path, run = tmp_path / "run.yaml", RunDirectory(tmp_path / "out")
    settings = run_settings(search__trials=8, space__choices={"behaviour": ["good"]})
    settings["search"] |= {
        "prescreening": {"networks": 100, "train_best": 2},
        "first_estimator": {"name": "weight-sharing", "supernet": str(tmp_path / "net")},
    }
    path.write_text(yaml.safe_dump(settings))
    result = search(load_config(path), run.path)
    assert [rung["estimator"] for rung in result.rungs] == ["weight-sharing", "training"]
    assert {run.read_trial(trial.number)["estimator"] for trial in _complete(run)} == {"training-6-steps"}
    costs = {stage.stage: stage.seconds for stage in stage_costs(run)}
    assert costs["supernet"] > 0, "weights that only the first candidates share are part of the cost"


def test_a_first_estimator_needs_prescreening(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run_settings(search__first_estimator="training")))
    with pytest.raises(ConfigError, match=r"add search\.prescreening"):
        load_config(path)
    settings = run_settings(search__first_estimator="training")
    settings["search"] |= {"prescreening": {}, "fidelities": {"steps": [2]}}
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match=r"search\.prescreening has stages of its own"):
        load_config(path)
