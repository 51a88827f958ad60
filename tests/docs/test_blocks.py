"""What no reader can run on every machine is right as far as that can be told: options, settings, imports."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from hwnas.cli.main import make_app
from hwnas.config import parse_config
from hwnas.data.datasets.dataset_config import DatasetConfig
from hwnas.data.label_maps import LabelMap
from hwnas.data.sensors import load_sensor
from hwnas.errors import ConfigError
from hwnas.latency.target import Target
from hwnas.tasks.families.family_file import FamilySettings
from hwnas.yaml_files.reading import parse_yaml
from tests.docs.blocks import DOCS, REPOSITORY, TUTORIAL, Block, blocks_of, pages

BLOCKS = [block for page in pages() for block in blocks_of(page)]
CODE = {"sh", "python", "yaml"}
PLAIN = {"text", "toml", "json", "cpp", "c", "cmake", "{toctree}", "{include}", "{eval-rst}"}
"""Blocks of these are neither run nor checked here: output, other formats, and words to Sphinx.

`tests/cpp_runtime` builds those of C, C++ and CMake."""


def of(*languages: str) -> list[Any]:
    return [pytest.param(block, id=block.name) for block in BLOCKS if block.language in languages]


def test_every_block_says_what_it_is() -> None:
    assert [block.name for block in BLOCKS if block.language not in CODE | PLAIN] == []


def test_what_is_not_run_says_why() -> None:
    reasons = [block.remarks["not run"] for block in BLOCKS if "not run" in block.remarks]
    assert len(reasons) > 10
    assert all(len(reason.split()) >= 2 for reason in reasons)


def test_the_tutorial_runs_but_for_two_blocks() -> None:
    blocks = [block for block in blocks_of(TUTORIAL) if block.language in {"sh", "python"}]
    assert sum(block.runs for block in blocks) >= len(blocks) - 2


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each call of hwnas in a block of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "hwnas":
            yield words[1:]


def check_command(words: list[str]) -> None:
    """Return if the command and its options exist, and targets can be read."""
    command: Any = typer.main.get_command(make_app())
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options["--help"] = None
    for number, word in enumerate(words):
        if not re.match(r"--?[a-z]", word):
            continue
        name, _, value = word.partition("=")
        assert name in options, f"{command.name} has no option {name}"
        if name == "--target":
            Target.parse(value or words[number + 1])


@pytest.mark.parametrize("block", of("sh"))
def test_commands_and_options_exist(block: Block) -> None:
    for words in commands(block.text):
        check_command(words)


def test_commands_of_the_readme_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = [words for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for words in commands(block)]
    assert len(found) >= 5
    for words in found:
        check_command(words)


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="search has no option --loook"):
        check_command(["search", "run.yaml", "--loook", "3"])
    with pytest.raises(ConfigError, match="unknown"):
        check_command(["bench", "model.onnx", "--target", "local?thread=1"])


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles_and_its_imports_resolve(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hwnas"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_what_hwnas_reads(block: Block, tmp_path: Path) -> None:
    kind = block.remarks.get("yaml") or Path(block.remarks.get("file", "run.yaml")).name
    value = parse_yaml(block.text, kind).value
    if kind == "dataset.yaml":
        DatasetConfig.model_validate(value)
    elif kind == "classes.yaml":
        LabelMap.from_json(value)
    elif kind == "sensor.yaml":
        (tmp_path / kind).write_text(block.text, encoding="utf-8")
        load_sensor(tmp_path / kind)
    elif kind == "family.yaml":
        FamilySettings.model_validate(value)
    else:
        assert kind == "run.yaml", f"{block.name}: nothing reads {kind}"
        parse_config({"task": {"data": "./data"}, **value})


def test_links_to_pictures_and_pages_resolve() -> None:
    """So does the site's builder; this needs none, and sees the README, too."""
    broken = []
    for path in [*DOCS.rglob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]:
        text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            name = target.partition("#")[0]
            if name and not re.match(r"[a-z]+:", target) and not (path.parent / name).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
