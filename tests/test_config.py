from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.config import (
    FullRecipeSection,
    ProtocolSection,
    RecipeSection,
    RunConfig,
    load_config,
    parse_config,
    save_config,
)
from hwnas.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    return str(caught.value)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "")) == RunConfig()


def test_the_resolved_copy_reads_back_equal(tmp_path: Path) -> None:
    config = parse_config(
        {
            "task": {"name": "mine", "data": "/somewhere", "classes": ["a", "b"]},
            "space": {"choices": {"flag": [True, False], "width": [512, 1024], "rate": [0.5], "kind": ["x"]}},
            "budget": {"latency_ms": 12},
            "training": {"full": {"pick": 3}},
        }
    )
    save_config(config, tmp_path / "resolved.yaml")
    again = load_config(tmp_path / "resolved.yaml")
    assert again == config
    values = again.space.choices
    assert [type(value) for gene in values for value in values[gene]] == [bool, bool, int, int, float, str]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search:\n  trails: 5\n", r"run.yaml:2: unknown key 'search.trails'. Did you mean 'trials'\?"),
        ("serch: {}\n", r"run.yaml:1: unknown key 'serch'. Did you mean 'search'\? Valid in the top level"),
        ("training:\n  full:\n    stepz: 1\n", r"run.yaml:3: unknown key 'training.full.stepz'"),
        ("search:\n  seed: 1\n  trials: 0\n", r"run.yaml:3: `search.trials` is 0: .*greater than or equal"),
        ("budget: {latency_ms: .nan}\n", r"run.yaml:1: `budget.latency_ms` is nan"),
        ("training: {full: {pick: some}}\n", r"`training.full.pick` is 'some': .*'all' or 'knee'"),
        ("space:\n  choices:\n    width: [512, {}]\n", r"run.yaml:3: `space.choices.width.1` is {}"),
        ("space: {choices: {width: []}}\n", r"`space.choices.width` is \[\]"),
        ("search: {trials: 1}\nsearch: {seed: 1}\n", r"run.yaml:2: key 'search' was already given in line 1"),
        ("- a\n", "must hold a mapping"),
        ("a: [\n", "not valid YAML"),
        ("target: ' '\n", "a target looks like"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    import re

    assert re.search(expected, problem(tmp_path, text)), problem(tmp_path, text)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hwnas init"):
        load_config(tmp_path / "run.yaml")


def test_paths_of_the_task_count_from_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    text = "task: {data: scans, label_map: ../maps/x.yaml, other: scans, sensor: hdl-64e}\n"
    settings = load_config(write(tmp_path, text)).task.settings
    assert settings == {
        "data": str((tmp_path / "scans").resolve()),
        "label_map": str((tmp_path.parent / "maps" / "x.yaml").resolve()),
        "other": "scans",
        "sensor": "hdl-64e",
    }


def test_sections_mirror_what_they_configure() -> None:
    from hwnas.latency.protocol import MeasuringProtocol
    from hwnas.training.recipe import Recipe

    assert RecipeSection().recipe_fields() == Recipe.proxy().to_json()
    assert FullRecipeSection().recipe_fields() == Recipe.full().to_json()
    assert list(ProtocolSection.model_fields) == [f.name for f in dataclasses.fields(MeasuringProtocol)]


def test_init_writes_a_run_file_that_states_the_defaults(tmp_path: Path) -> None:
    import typer

    from hwnas.cli import init

    app = typer.Typer()
    init.register(app)
    result = CliRunner().invoke(app, [str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    written = load_config(tmp_path / "new" / "run.yaml").to_json()
    assert written.pop("task") == {
        "name": "lidar-segmentation",
        "data": str((tmp_path / "new" / "data").resolve()),
    }
    assert written == {key: value for key, value in RunConfig().to_json().items() if key != "task"}
    again = CliRunner().invoke(app, [str(tmp_path / "new")])
    assert isinstance(again.exception, ConfigError)


def test_an_estimator_is_a_name_or_a_section_whose_paths_count_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("search: {estimator: training}\n")
    assert load_config(path).search.estimator.name == "training"
    path.write_text("search: {estimator: {name: weight-sharing, supernet: ./net, limit: 3}}\n")
    estimator = load_config(path).search.estimator
    assert estimator.name == "weight-sharing"
    assert estimator.options == {"supernet": str(tmp_path.resolve() / "net"), "limit": 3}
    path.write_text(
        "search: {funnel: {}, first_estimator: {name: weight-sharing, supernet: ./net}, warm_start: [./a, /b]}\n"
    )
    search = load_config(path).search
    assert search.first_estimator.options == {"supernet": str(tmp_path.resolve() / "net")}
    assert search.warm_start == [str(tmp_path.resolve() / "a"), "/b"]


def test_final_figures_have_options_and_builds_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("measuring: {final: {max_s: 9, builds: 2, options: {optimization_level: 5}}}\n")
    final = load_config(path).measuring.final
    assert final.overrides() == {"max_s": 9.0}
    assert (final.builds, final.options) == (2, {"optimization_level": 5})
