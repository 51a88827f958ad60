from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hwnas.budget import Costs
from hwnas.config import FunnelSection, load_config
from hwnas.report.build import build_report
from hwnas.search.driver import search
from hwnas.search.foresight import Foresight
from hwnas.search.funnel.stage import LookStage
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.stage_costs import stage_costs
from hwnas.search.strategies import Limits
from hwnas.search.study import TrialSummary
from hwnas.search.warm_start import not_yet_judged
from hwnas.search_spaces.base import SearchSpace, make_search_space
from tests.search.conftest import run_settings, tiny_plugin, tiny_site  # noqa: F401 - fixtures
from tests.search.tiny_plugin import StripesTask

pytestmark = pytest.mark.usefixtures("tiny_plugin")


def _trial(space: SearchSpace, number: int, choices: dict, **changes) -> TrialSummary:
    values = {
        "number": number,
        "state": "COMPLETE",
        "architecture": space.decode(choices),
        "error": 0.5 - 0.01 * choices["channels"] * choices["depth"],
        "latency_ms": 0.1 * choices["channels"] * choices["depth"],
        "cost": 0.1 * choices["channels"] * choices["depth"],
        "figures": {},
        "duplicate_of": None,
        "reason": None,
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


def _stage(tmp_path: Path, space: SearchSpace, **changes) -> LookStage:
    run = RunDirectory(tmp_path)
    return LookStage(
        run,
        FunnelSection(**({"look": 100, "train_best": 4} | changes)),
        space=space,
        foresight=Foresight(None, space, Costs()),
        limits=Limits(None, 12),
        costs=Costs(),
        seed=0,
        log=RunLog(run),
    )


def test_the_chosen_are_new_and_stay_the_same(tmp_path: Path, space, trials) -> None:
    chosen = _stage(tmp_path, space).chosen(trials, lambda: False)
    assert chosen is not None
    assert len(chosen) == 4
    tried = {trial.architecture for trial in trials}
    assert not tried & {space.decode(choices) for choices in chosen}
    state = json.loads(RunDirectory(tmp_path).look.read_text())
    assert (state["looked"], state["trials_before"], state["trained_before"]) == (36, 12, 12)
    assert state["worth"]["agreement"]["networks"] == 12

    again = _stage(tmp_path, space)
    more = [*trials, _trial(space, 12, chosen[0]), _trial(space, 13, chosen[1], state="FAIL", reason=None)]
    assert again.chosen(more, lambda: False) == chosen, "a finished look is not repeated"
    assert again.wanted == 16
    assert not_yet_judged(space, chosen, more) == chosen[1:], "what was killed is tried again"
    failed = [*trials, _trial(space, 12, chosen[0], state="FAIL", reason="it exploded")]
    assert not_yet_judged(space, chosen, failed) == chosen[1:]

    anew = _stage(tmp_path, space, train_best=2)
    assert len(anew.chosen(more, lambda: False) or []) == 2, "other settings mean another look"
    assert anew.wanted == 15


def test_a_stopped_look_goes_on(tmp_path: Path, space, trials) -> None:
    assert _stage(tmp_path, space).chosen(trials, lambda: True) is None
    stopped = json.loads(RunDirectory(tmp_path).look.read_text())
    assert (stopped["is_finished"], stopped["kept"]["looked"]) == (False, 36)
    resumed = _stage(tmp_path, space).chosen(trials, lambda: False)
    other = tmp_path / "other"
    other.mkdir()
    assert resumed == _stage(other, space).chosen(trials, lambda: False)


@pytest.mark.slow
def test_a_search_with_a_funnel_trains_looks_and_trains_what_it_chose(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    settings = run_settings(search__trials=8, search__workers=2)
    settings["search"]["funnel"] = {"look": 100, "train_best": 3}
    path.write_text(yaml.safe_dump(settings))
    result = search(load_config(path), tmp_path / "out")
    assert result.to_json()["trained"] == 11
    run = RunDirectory(tmp_path / "out")
    state = json.loads(run.look.read_text())
    trials = [trial for trial in run.read_front()["trials"] if trial["number"] >= state["trials_before"]]
    trained = [dict(trial["architecture"]["genes"]) for trial in trials if trial["duplicate_of"] is None]
    assert sorted(map(str, map(sorted, (genes.items() for genes in trained)))) == sorted(
        map(str, map(sorted, (choices.items() for choices in state["chosen"])))
    )
    costs = stage_costs(run)
    assert [stage.stage for stage in costs] == [
        "candidates of the strategy",
        "look",
        "candidates chosen by the look",
        "total",
    ]
    assert [stage.networks for stage in costs[1:3]] == [36, 3]
    assert costs[-1].seconds == pytest.approx(sum(stage.seconds for stage in costs[:-1]))
    page = build_report(run.path).read_text()
    assert "candidates chosen by the look" in page

    # A driver that was killed while the chosen were trained goes on with those that are left.
    more = search(load_config(path), run.path, resume=True)
    assert more.to_json()["trained"] == 11
    assert "look" in [stage["stage"] for stage in more.to_json()["stages"]]
