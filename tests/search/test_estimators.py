"""Searches whose candidates are evaluated by something else than a short training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.config import load_config
from hwnas.errors import HwnasError, StudyError
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import stage_costs
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import train_supernet

GOOD = {"behaviour": ["good"]}
pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


@pytest.mark.slow
def test_candidates_may_inherit_their_weights(write_run, tmp_path: Path) -> None:
    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, GOOD)
    recipe = Recipe(steps=4, batch_size=2, mixed_precision="no", average=0.0)
    train_supernet(task, space, recipe, seed=0, directory=tmp_path / "net")
    estimator = {"name": "weight-sharing", "supernet": str(tmp_path / "net")}
    run = RunDirectory(tmp_path / "out")
    config = load_config(write_run(search__estimator=estimator, search__trials=2, space__choices=GOOD))
    search(config, run.path)
    members = run.read_front()["members"]
    assert members
    record = run.read_trial(members[0]["trial"])
    assert 0 <= record["quality"]["value"] <= 1
    costs = {stage.stage: stage.seconds for stage in stage_costs(run)}
    assert costs["supernet"] > 0
    assert costs["total"] == pytest.approx(costs["supernet"] + costs["candidates of the strategy"])

    shutil.rmtree(tmp_path / "net")
    assert search(config, run.path, resume=True).front["members"] == members, "nothing is left to evaluate"
    other = replace(recipe, steps=5)
    train_supernet(task, space, other, seed=0, directory=tmp_path / "net")
    with pytest.raises(StudyError, match=r"estimator_inputs\.weight-sharing\.supernet: .* -> .*\nRestore"):
        search(config, run.path, resume=True)
    header = tmp_path / "net" / "supernet.json"
    header.write_text(header.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(
        StudyError, match=r"supernet\.json, which the run was prepared with, cannot be relied"
    ):
        stage_costs(run)


@pytest.mark.parametrize("name", ["synflow", "learned"])
def test_an_estimator_that_evaluates_nothing_is_refused(write_run, tmp_path: Path, name: str) -> None:
    config = load_config(write_run(search__estimator=name, search__trials=1))
    with pytest.raises(HwnasError, match="weight-sharing"):
        search(config, tmp_path / "out")
