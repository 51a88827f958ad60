from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from rich.console import ColorSystem
from typer.testing import CliRunner

from hwnas.cli import estimate as estimate_command
from hwnas.cli import search as search_command
from hwnas.errors import ConfigError
from hwnas.estimators.comparison import (
    REPORT_FILE,
    RESULT_FILES,
    Compared,
    EstimateStatus,
    EstimatorBenchmark,
    read_estimator_report,
)
from hwnas.estimators.comparison_result import EstimatorComparison
from hwnas.estimators.report import EstimatorReport
from hwnas.files import read_checked_json, write_checked_json
from hwnas.plain_console import PlainConsole
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import train_supernet

pytestmark = pytest.mark.usefixtures("tiny_plugin")

FULL = {"steps": 4, "batch_size": 2, "mixed_precision": "no"}
PROXY = {"steps": 1, "batch_size": 2, "mixed_precision": "no"}
GOOD = {"behaviour": ["good"]}


def comparison(**changes: Any) -> EstimatorBenchmark:
    settings: dict[str, Any] = {
        "task": {"name": "tiny-stripes", "settings": {}},
        "space": {"name": "tiny-space", "choices": GOOD},
        "full": FULL,
        "estimators": (Compared("brief", "training", PROXY), Compared("macs", "macs")),
        "networks": 5,
        **changes,
    }
    return EstimatorBenchmark(**settings)


def test_estimators_are_compared_with_full_training(tmp_path: Path) -> None:
    reported: list[EstimateStatus] = []
    found = comparison().run(tmp_path, workers=1, progress=reported.append).to_json()
    assert [(one.finished, one.wanted) for one in reported] == [(number, 15) for number in range(1, 16)]
    assert len(set(found["networks"])) == len(found["full"]["errors"]) == 5
    assert set(found["estimators"]) == {"brief", "macs"}
    # Counting MACs is as good as counting MACs.
    report = found["estimators"]["macs"]["report"]
    assert report["rank_correlation"]["tau"] == report["macs"]["tau"]
    assert any("30 or more" in warning for warning in report["warnings"])
    # What is there is not done again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*-*.json")}
    assert len(before) == 15
    again = comparison().run(tmp_path, workers=1, progress=reported.append).to_json()
    assert len(reported) == 15
    assert again == found
    assert {path: path.stat().st_mtime_ns for path in before} == before

    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, GOOD)
    context: dict[str, Any] = {"space": space, "task": task.fingerprint()}
    read = read_estimator_report(tmp_path, estimator="training", settings=PROXY, **context)
    assert read.to_json() == found["estimators"]["brief"]["report"]
    with pytest.raises(ConfigError, match="says how well"):
        read_estimator_report(tmp_path, estimator="training", settings=FULL, **context)
    with pytest.raises(ConfigError, match="another task"):
        read_estimator_report(tmp_path, estimator="training", settings=PROXY, space=space, task="other")
    edited = (tmp_path / REPORT_FILE).read_text().replace('"tau": ', '"tau": 0')
    for damaged, words in (("{}", "no checksum"), (edited, "damaged or edited"), (edited[:90], "cut off")):
        (tmp_path / REPORT_FILE).write_text(damaged)
        with pytest.raises(ConfigError, match=f"{words}.*hwnas estimate"):
            read_estimator_report(tmp_path, estimator="training", settings=PROXY, **context)


def test_results_of_other_data_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only where a setting says that the data are others."""
    small: dict[str, Any] = {"full": PROXY, "estimators": (Compared("macs", "macs"),), "networks": 4}
    reported: list[EstimateStatus] = []

    def run() -> EstimatorComparison:
        reported.clear()
        return comparison(**small).run(tmp_path, workers=1, progress=reported.append)

    assert run().task == "stripes-1"
    assert len(reported) == 8
    monkeypatch.setattr(type(make_task("tiny-stripes", {})), "fingerprint", lambda _: "others")
    assert run().task == "others"
    assert len(reported) == 8, "all of them, and those of the other data are kept"
    assert len(list(tmp_path.glob(RESULT_FILES))) == 16
    run()
    assert not reported


def test_a_result_that_was_cut_or_edited_is_refused(tmp_path: Path) -> None:
    small: dict[str, Any] = {"full": PROXY, "estimators": (Compared("macs", "macs"),), "networks": 4}
    first = comparison(**small).run(tmp_path, workers=1)
    path = next(tmp_path.glob("*-training-*.json"))
    whole = path.read_text()
    for damaged in ('{"score": 0.9}', whole[:20], whole.replace("0.", "1.", 1), ""):
        path.write_text(damaged)
        with pytest.raises(ConfigError, match=rf"{path.name} should be.*Remove it, and the same command"):
            comparison(**small).run(tmp_path, workers=1)
        assert path.read_text() == damaged
    path.unlink()
    assert comparison(**small).run(tmp_path, workers=1).errors == first.errors


def test_a_report_is_of_the_very_supernet(tmp_path: Path) -> None:
    task = make_task("tiny-stripes", {})
    space = make_search_space("tiny-space", task.contract, GOOD)
    net = tmp_path / "net"

    def trained(steps: int) -> None:
        recipe = Recipe(steps=steps, batch_size=2, mixed_precision="no", average=0.0)
        shutil.rmtree(net, ignore_errors=True)
        train_supernet(task, space, recipe, seed=0, directory=net)

    settings = {"supernet": str(net)}
    shared = (Compared("shared", "weight-sharing", settings),)
    small: dict[str, Any] = {"full": PROXY, "estimators": shared, "networks": 4}
    context: dict[str, Any] = {"estimator": "weight-sharing", "space": space, "task": task.fingerprint()}
    trained(1)
    comparison(**small).run(tmp_path / "out", workers=1)
    moved = net.rename(tmp_path / "moved")
    assert read_estimator_report(tmp_path / "out", settings={"supernet": str(moved)}, **context)
    trained(2)
    with pytest.raises(ConfigError, match="nothing of 'weight-sharing'"):
        read_estimator_report(tmp_path / "out", settings=settings, **context)
    comparison(**small).run(tmp_path / "out", workers=1)
    assert len(list((tmp_path / "out").glob("*-weight-sharing-*.json"))) == 8
    assert read_estimator_report(tmp_path / "out", settings=settings, **context)


@pytest.mark.long
def test_a_second_full_training_tells_how_well_two_agree(tmp_path: Path) -> None:
    same = Compared("the same", "training", FULL)
    other = Compared("another seed", "training", FULL, other_seed=100)
    found = comparison(estimators=(same, other)).run(tmp_path, workers=1).to_json()
    assert found["estimators"]["the same"]["report"]["rank_correlation"]["tau"] == pytest.approx(1.0)
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
        comparison(networks=200).run(tmp_path)
    with pytest.raises(ConfigError, match="but got 'stepps'"):
        comparison(estimators=(Compared("one", "training", {"stepps": 3}),)).run(tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_an_estimate_replaces_nothing_of_others(write_run, tmp_path: Path) -> None:
    app = typer.Typer()
    estimate_command.register(app)
    run_file = write_run(space__choices=GOOD)

    def reported(directory: Path) -> str:
        result = CliRunner().invoke(app, [str(run_file), "--out", str(directory), "--networks", "4"])
        assert isinstance(result.exception, ConfigError)
        return str(result.exception)

    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "estimator_report.json").write_text('{"house": 1}')
    assert "there is a file that hwnas did not write" in reported(tmp_path / "notes")
    assert (tmp_path / "notes" / "estimator_report.json").read_text() == '{"house": 1}'
    (tmp_path / "notes" / "estimator_report.json").rename(tmp_path / "notes" / "other.json")
    assert "holds other things ('other.json' for one)" in reported(tmp_path / "notes")


@pytest.mark.slow
def test_a_search_states_how_well_its_estimator_ranks(write_run, tmp_path: Path) -> None:
    run_file = write_run(
        space__choices=GOOD,
        search__trials=2,
        search__estimator_report="./report",
        training__full={**FULL, "average": 0.0},
    )
    app = typer.Typer()
    estimate_command.register(app)
    search_command.register(app)
    out = run_file.parent / "report"
    arguments = ["estimate", str(run_file), "--out", str(out), "--networks", "4", "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--estimators", "parameters", "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["estimators"]) == {"training (of the search)", "parameters"}
    shown = CliRunner().invoke(app, [*arguments, "--estimators", "parameters"])
    assert "Kendall" in shown.output
    assert "WARNING" in shown.output
    searched = CliRunner().invoke(app, ["search", str(run_file), "--out", str(tmp_path / "out")])
    assert searched.exit_code == 0, searched.output
    assert "Estimator training (of the search): Kendall tau" in searched.output
    assert "WARNING" in searched.output
    assert "rests on 4 networks" in " ".join(searched.output.split())
    assert "estimator report" in searched.output
    other = yaml.safe_load(run_file.read_text())
    other["training"]["proxy"] = {**other.get("training", {}).get("proxy", {}), "steps": 3}
    run_file.write_text(yaml.safe_dump(other))
    refused = CliRunner().invoke(app, ["search", str(run_file), "--out", str(tmp_path / "other")])
    assert isinstance(refused.exception, ConfigError)


OWN = "training (of the search)"
CHANCE = f"WARNING: {OWN} may order architectures no better than chance"
NO_BETTER = f"WARNING: {OWN} is no better than counting FLOPs"
FEW = f"WARNING: The rank correlation of {OWN} rests on"


def rank_correlation(tau: float, low: float, high: float, networks: int = 40) -> dict[str, Any]:
    return {"tau": tau, "low": low, "high": high, "networks": networks}


TRUSTED, MACS = rank_correlation(0.7, 0.55, 0.8), rank_correlation(0.4, 0.2, 0.6)
DOUBTFUL, GOOD_MACS = rank_correlation(-0.1, -0.4, 0.2), rank_correlation(0.5, 0.2, 0.7)
PARAMETERS = rank_correlation(0.25, 0.05, 0.45)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing speaks against it": (TRUSTED, MACS, []),
    "barely above zero and barely better": (
        rank_correlation(0.3, 0.01, 0.6),
        rank_correlation(0.29, 0.0, 0.6),
        [],
    ),
    "the interval begins at zero": (
        rank_correlation(0.3, 0.0, 0.6),
        rank_correlation(0.1, -0.2, 0.4),
        [CHANCE],
    ),
    "the interval reaches below zero": (
        rank_correlation(0.2, -0.1, 0.5),
        rank_correlation(0.1, -0.2, 0.4),
        [CHANCE],
    ),
    "as good as MACs": (TRUSTED, rank_correlation(0.7, 0.5, 0.9), [NO_BETTER]),
    "worse than MACs": (TRUSTED, rank_correlation(0.75, 0.6, 0.9), [NO_BETTER]),
    "both": (DOUBTFUL, GOOD_MACS, [CHANCE, NO_BETTER]),
    "just enough networks": (rank_correlation(0.7, 0.5, 0.8, 30), rank_correlation(0.4, 0.2, 0.6, 30), []),
    "too few networks": (rank_correlation(0.7, 0.5, 0.8, 29), rank_correlation(0.4, 0.2, 0.6, 29), [FEW]),
}
"""Agreement of the estimator, that of MACs, and how the warnings begin that these call for."""


class Screen:
    """A terminal with colours in place of that of `hwnas search`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._written = io.StringIO()
        console = PlainConsole()
        console.file, console._width = self._written, 100
        console._force_terminal, console._color_system = True, ColorSystem.STANDARD
        monkeypatch.setattr(search_command, "out_console", console)

    @property
    def lines(self) -> list[str]:
        return self._written.getvalue().splitlines()

    def check(self, own: dict[str, Any], macs: dict[str, Any], warnings: list[str]) -> None:
        """All three agreements are told, and those warnings, each of them wholly in red."""
        texts = [f"{one['tau']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for one in (own, macs, PARAMETERS)]
        assert (
            f"Estimator {OWN}: Kendall tau with full training {texts[0]}, of MACs {texts[1]}, of parameters "
            f"{texts[2]}, from {own['networks']} networks."
        ) in self.lines
        shown = [line for line in self.lines if "WARNING" in line]
        assert len(shown) == len(warnings), shown
        for line, warning in zip(shown, warnings, strict=True):
            assert line.startswith(f"\x1b[1;31m{warning}")
            assert line.index("\x1b[0m") == len(line) - len("\x1b[0m")


@pytest.mark.parametrize("case", CASES)
def test_how_well_an_estimator_ranks_is_shown_beside_what_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    own, macs, warnings = CASES[case]
    numbers = {
        "rank_correlation": own,
        "macs": macs,
        "parameters": PARAMETERS,
        "cost_s": 1.0,
        "gain_low": 0.0,
    }
    screen = Screen(monkeypatch)
    report = EstimatorReport.from_json({"estimator": OWN, **numbers})
    search_command._show_estimator_report(report)
    screen.check(own, macs, warnings)
    assert len(screen.lines) == 1 + len(warnings)


def edited(found: Path, **numbers: Any) -> None:
    """Change what `hwnas estimate` wrote of the estimator of the search."""
    content = read_checked_json(found / REPORT_FILE)
    content["estimators"][OWN]["report"] |= numbers
    write_checked_json(found / REPORT_FILE, content)


@pytest.mark.long
def test_a_search_warns_in_red_where_its_estimator_may_rank_no_better_than_chance(
    write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = write_run(
        space__choices=GOOD,
        search__trials=1,
        search__estimator_report="./report",
        training__full={**FULL, "average": 0.0},
    )
    app = typer.Typer()
    estimate_command.register(app)
    search_command.register(app)
    found, run = run_file.parent / "report", tmp_path / "out"
    arguments = ["estimate", str(run_file), "--out", str(found), "--networks", "4", "--workers", "1"]
    estimated = CliRunner().invoke(app, [*arguments, "--estimators", "parameters", "--json"])
    assert estimated.exit_code == 0, estimated.output

    edited(found, rank_correlation=TRUSTED, macs=MACS, parameters=PARAMETERS)
    screen = Screen(monkeypatch)
    searched = CliRunner().invoke(app, ["search", str(run_file), "--out", str(run)])
    assert searched.exit_code == 0, searched.output
    screen.check(TRUSTED, MACS, [])

    # Nothing is left to train, and what is known by now is told.
    resume = ["search", str(run), "--resume"]
    edited(found, rank_correlation=DOUBTFUL, macs=GOOD_MACS)
    screen = Screen(monkeypatch)
    assert CliRunner().invoke(app, resume).exit_code == 0
    screen.check(DOUBTFUL, GOOD_MACS, [CHANCE, NO_BETTER])
    reported = CliRunner().invoke(app, [*resume, "--json"])
    report = json.loads(reported.stdout)["estimator_report"]
    assert [report[name] for name in ("rank_correlation", "macs", "parameters")] == [
        DOUBTFUL,
        GOOD_MACS,
        PARAMETERS,
    ]
    assert len(report["warnings"]) == 2
    assert reported.stderr.count("WARNING: ") == 2, "programs read the one, people the other"

    settings = yaml.safe_load((run / "run.yaml").read_text())
    settings["search"]["estimator_report"] = None
    (run / "run.yaml").write_text(yaml.safe_dump(settings))
    screen = Screen(monkeypatch)
    assert CliRunner().invoke(app, resume).exit_code == 0
    assert any("is not known: measure it with `hwnas estimate`" in line for line in screen.lines)
    assert not any("Kendall" in line or "WARNING" in line for line in screen.lines)
