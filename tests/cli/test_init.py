"""The run file that `hwnas init` writes names every setting, with its default, and its examples are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.config import RunConfig, load_config, parse_config
from hwnas.config.template import TEMPLATE
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.lidar_settings import LidarSettings, parse_settings
from hwnas.yaml_files.reading import parse_yaml

VALUE: dict[str, Any] = parse_yaml(TEMPLATE, "run.yaml").value


def names_of(section: BaseModel) -> set[str]:
    return set(type(section).model_fields)


def test_a_written_run_file_loads(tmp_path: Path) -> None:
    result = CliRunner().invoke(make_app(), ["init", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "new" / "run.yaml").task.name == "lidar-segmentation"


@pytest.mark.parametrize("name", ["run of today", "proj[v2]", "it's", "$HOME"])
def test_the_command_that_comes_next_can_be_pasted(tmp_path: Path, name: str) -> None:
    said = CliRunner().invoke(make_app(), ["init", str(tmp_path / name)]).output.replace("\n", "")
    command = said.partition("then: ")[2]
    assert shlex.split(command) == ["hwnas", "search", str(tmp_path / name / "run.yaml")]


def test_what_stands_there_are_the_defaults() -> None:
    assert parse_config({**VALUE, "task": {}}) == RunConfig()
    settings = {key: value for key, value in VALUE["task"].items() if key != "name"}
    assert parse_settings(settings) == LidarSettings(data="./data")


def test_every_setting_stands_there() -> None:
    config = RunConfig()
    assert names_of(config) <= set(VALUE)
    for name in ("task", "space", "budget", "search", "training", "measuring"):
        assert names_of(getattr(config, name)) <= set(VALUE[name]), name
    assert set(LidarSettings.model_fields) <= set(VALUE["task"])
    assert set(type(config.training.proxy).model_fields) <= set(VALUE["training"]["proxy"])


EXAMPLES = re.findall(r"`choices: (\{.*?\})`", TEMPLATE.replace("\n", " "))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_restrictions_fit_the_space(example: str) -> None:
    choices = parse_yaml(example, "example").value
    contract = NetworkContract(5, 64, tuple(VALUE["task"]["widths"]), dense_logits(20))
    space = make_search_space(VALUE["space"]["name"], contract, choices)
    assert {gene: list(space.choices[gene]) for gene in choices} == choices


def test_there_are_examples() -> None:
    assert EXAMPLES
    for line in TEMPLATE.splitlines():
        if found := re.search(r"or (\{(?:networks|steps): .*?\})", line):
            key = "prescreening" if "networks" in found[1] else "fidelities"
            parse_config({"search": {key: parse_yaml(found[1], "example").value}})
