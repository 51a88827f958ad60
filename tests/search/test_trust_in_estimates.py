from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from hwnas.cli import estimate as estimate_command
from hwnas.errors import ConfigError
from hwnas.estimators.comparison import WORTH_FILE, Compared, Comparison, read_worth
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task

pytestmark = pytest.mark.usefixtures("tiny_plugin")

FULL = {"steps": 4, "batch_size": 2, "mixed_precision": "no"}
PROXY = {"steps": 1, "batch_size": 2, "mixed_precision": "no"}
GOOD = {"behaviour": ["good"]}


def comparison(**changes: Any) -> Comparison:
    settings: dict[str, Any] = {
        "task": {"name": "tiny-stripes", "settings": {}},
        "space": {"name": "tiny-space", "choices": GOOD},
        "full": FULL,
        "estimators": (Compared("brief", "training", PROXY), Compared("macs", "macs")),
        "networks": 5,
        **changes,
    }
    return Comparison(**settings)


def test_estimators_are_compared_with_full_training(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    found = comparison().run(tmp_path, workers=1, told=lambda *what: told.append(what))
    assert [one[:2] for one in told] == [(number, 15) for number in range(1, 16)]
    assert len(set(found["networks"])) == len(found["full"]["errors"]) == 5
    assert set(found["estimators"]) == {"brief", "macs"}
    # Counting MACs is as good as counting MACs.
    worth = found["estimators"]["macs"]["worth"]
    assert worth["agreement"]["tau"] == worth["macs"]["tau"]
    assert any("30 or more" in warning for warning in worth["warnings"])
    # What is there is not done again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*-*.json")}
    assert len(before) == 15
    again = comparison().run(tmp_path, workers=1, told=lambda *what: told.append(what))
    assert len(told) == 15
    assert again == found
    assert {path: path.stat().st_mtime_ns for path in before} == before

    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, GOOD)
    context: dict[str, Any] = {"space": space, "task": task.fingerprint()}
    read = read_worth(tmp_path, estimator="training", settings=PROXY, **context)
    assert read.to_json() == found["estimators"]["brief"]["worth"]
    with pytest.raises(ConfigError, match="says what"):
        read_worth(tmp_path, estimator="training", settings=FULL, **context)
    with pytest.raises(ConfigError, match="another task"):
        read_worth(tmp_path, estimator="training", settings=PROXY, space=space, task="other")
    (tmp_path / WORTH_FILE).write_text("{}")
    with pytest.raises(ConfigError, match="hwnas estimate"):
        read_worth(tmp_path, estimator="training", settings=PROXY, **context)


def test_a_second_full_training_tells_how_well_two_agree(tmp_path: Path) -> None:
    same = Compared("the same", "training", FULL)
    other = Compared("another seed", "training", FULL, other_seed=100)
    found = comparison(estimators=(same, other)).run(tmp_path, workers=1)
    assert found["estimators"]["the same"]["worth"]["agreement"]["tau"] == pytest.approx(1.0)
    scores = {
        int(path.name.split("-")[1]): json.loads(path.read_text())["score"]
        for path in tmp_path.glob("*-training-*.json")
    }
    assert set(scores) == {*range(5), *range(100, 105)}
    assert any(scores[number] != scores[100 + number] for number in range(5))


def test_what_cannot_be_compared_is_refused_before_training(tmp_path: Path) -> None:
    twice = (Compared("one", "macs"), Compared("one", "synflow"))
    with pytest.raises(ConfigError, match="labels"):
        comparison(estimators=twice).run(tmp_path)
    with pytest.raises(ConfigError, match="but found"):
        comparison(networks=5000).run(tmp_path)
    with pytest.raises(ConfigError, match="but got 'stepps'"):
        comparison(estimators=(Compared("one", "training", {"stepps": 3}),)).run(tmp_path)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_a_search_states_what_its_estimator_is_worth(write_run, tmp_path: Path) -> None:
    from hwnas.cli import search as search_command

    run_file = write_run(
        space__choices=GOOD,
        search__trials=2,
        search__worth="./worth",
        training__full={**FULL, "average": 0.0},
    )
    app = typer.Typer()
    estimate_command.register(app)
    search_command.register(app)
    out = run_file.parent / "worth"
    arguments = ["estimate", str(run_file), "--out", str(out), "--networks", "4", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--estimators", "parameters", "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["estimators"]) == {"training (of the search)", "parameters"}
    shown = CliRunner().invoke(app, [*arguments, "--estimators", "parameters"])
    assert "Kendall" in shown.output
    assert "WARNING" in shown.output
    searched = CliRunner().invoke(app, ["search", str(run_file), "--out", str(tmp_path / "out")])
    assert searched.exit_code == 0, searched.output
    assert "Worth of training (of the search): Kendall tau" in searched.output
    assert "WARNING" in searched.output
    assert "rests on 4 networks" in " ".join(searched.output.split())
    assert "worth of the estimator" in searched.output
    other = yaml.safe_load(run_file.read_text())
    other["training"]["proxy"] = {**other.get("training", {}).get("proxy", {}), "steps": 3}
    run_file.write_text(yaml.safe_dump(other))
    refused = CliRunner().invoke(app, ["search", str(run_file), "--out", str(tmp_path / "other")])
    assert isinstance(refused.exception, ConfigError)
