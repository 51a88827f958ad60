"""From a supernet and a table to a search that draws from relaxed choices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli import relax as relax_command
from hwnas.config import load_config
from hwnas.errors import ConfigError, TrainingError
from hwnas.latency.measure.meter import open_meter
from hwnas.search.driver import search
from hwnas.search.relaxing import relax_run
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import stage_costs
from hwnas.search.strategies import Limits, StrategyContext, make_sampler
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.recipe import Recipe
from hwnas.training.relaxed_choices import RelaxedChoices
from hwnas.training.supernet import train_supernet
from tests.search.test_latency_filter import TARGET, made_up_table

GOOD = {"behaviour": ["good"]}
pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


@pytest.fixture
def supernet(tmp_path: Path) -> Path:
    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, GOOD)
    recipe = Recipe(steps=4, batch_size=2, mixed_precision="no", average=0.0)
    train_supernet(task, space, recipe, seed=0, directory=tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    meter = open_meter(TARGET)
    fingerprint = json.loads(json.dumps(dict(meter.fingerprint())))
    meter.close()
    made_up_table(fingerprint).save(tmp_path / "table.json")
    return tmp_path / "table.json"


def test_a_search_draws_from_what_the_command_relaxed(
    write_run, supernet: Path, table: Path, tmp_path: Path
) -> None:
    run_file = write_run(
        space__choices=GOOD,
        target=TARGET,
        measuring__table=str(table),
        search__trials=2,
        search__strategy={"name": "gradient", "relaxed": "./relaxed"},
    )
    app = typer.Typer()
    relax_command.register(app)
    out = run_file.parent / "relaxed"
    arguments = [str(run_file), "--supernet", str(supernet), "--out", str(out), "--steps", "20", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--weights", "1,2"])
    assert result.exit_code == 0, result.output
    reported = json.loads(result.stdout)
    assert reported["weights"] == [1.0, 2.0]
    # Networks of 8 channels are said to take a quarter of an hour a layer.
    assert 8 not in reported["likeliest"]["channels"]
    shown = CliRunner().invoke(app, [*arguments[:-1], "--weights", "1,2"])
    assert shown.exit_code == 0, shown.output
    assert "channels" in shown.output
    run = RunDirectory(tmp_path / "out")
    search(load_config(run_file), run.path)
    assert len(run.read_front()["trials"]) >= 2
    assert "relaxed choices" in {stage.stage for stage in stage_costs(run)}


def test_what_is_missing_is_said(write_run, supernet: Path, tmp_path: Path) -> None:
    config = load_config(write_run(space__choices=GOOD, target=TARGET, measuring__table=None))
    with pytest.raises(ConfigError, match="hwnas profile"):
        relax_run(config, supernet, tmp_path / "relaxed", steps=1)
    with pytest.raises(TrainingError, match="hwnas supernet"):
        relax_run(config, tmp_path / "nowhere", tmp_path / "relaxed", steps=1)
    app = typer.Typer()
    relax_command.register(app)
    run_file = write_run(space__choices=GOOD, target=TARGET)
    for weights in ("a,b", "-1", "nan"):
        arguments = [str(run_file), "--supernet", str(supernet), "--out", str(tmp_path / "r")]
        result = CliRunner().invoke(app, [*arguments, "--weights", weights])
        assert isinstance(result.exception, ConfigError)


def test_options_that_a_strategy_does_not_have_are_refused(tmp_path: Path) -> None:
    space = make_search_space("tiny-space", make_task("tiny-stripes", {}).contract, GOOD)
    context = StrategyContext(space, None, Limits(None, 1), 0)
    with pytest.raises(ConfigError, match="no options"):
        make_sampler("random", context, {"relaxed": "x"})
    with pytest.raises(ConfigError, match="relaxed"):
        make_sampler("gradient", context)
    with pytest.raises(TrainingError, match="hwnas relax"):
        make_sampler("gradient", context, {"relaxed": str(tmp_path)})


def test_draws_follow_the_probabilities(tmp_path: Path) -> None:
    space = make_search_space("tiny-space", make_task("tiny-stripes", {}).contract, GOOD)
    probabilities = {
        gene: np.stack([np.eye(len(values))[0], np.eye(len(values))[-1]])
        for gene, values in space.choices.items()
    }
    plain = {"name": space.name, "choices": {gene: list(values) for gene, values in space.choices.items()}}
    RelaxedChoices(plain, (0.1, 0.2), probabilities, {}, "stripes-1").save(tmp_path)
    sampler = make_sampler(
        "gradient", StrategyContext(space, None, Limits(None, 1), 0), {"relaxed": str(tmp_path)}
    )
    rng = np.random.default_rng(0)
    sizes = tuple(len(values) - 1 for values in space.choices.values())
    assert sampler.propose(0, rng) == (0,) * len(sizes)  # type: ignore[attr-defined]
    assert sampler.propose(1, rng) == sizes  # type: ignore[attr-defined]
