"""Messages of the library name arguments of functions; the command line shows them as its options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hwnas
from hwnas.cli.main import make_app
from hwnas.cli.option_names import with_options
from hwnas.errors import ConfigError
from tests.cli.commands import commands

PACKAGE = Path(hwnas.__file__).parent
OF_PYTHON_ALONE = {"intensity", "ring", "time"}
"""Arguments of `Runner`, which no command has: `hwnas infer` reads files."""
ARGUMENT = re.compile(r"`(\w+)=")
OPTION = re.compile(r"(?:^|[\s(`'])--[a-z]")


@cache
def texts() -> list[tuple[str, str]]:
    """File and text of every literal that is part of an error raised outside of the command line."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "cli") or path.is_relative_to(PACKAGE / "testing"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                found += [(str(path.relative_to(PACKAGE)), text) for text in literals(node.exc)]
    return found


def literals(node: ast.AST) -> Iterator[str]:
    """Texts in an expression; what is filled in stands as `{}`."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    else:
        for child in ast.iter_child_nodes(node):
            yield from literals(child)


def options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


COMMANDS = commands()
SPANS = re.compile(r"`([^`]*)`(?! in Python)")
NAMED = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
WHOLE = re.compile(r"hwnas ((?:data|ros) \w+|[a-z]+)((?: (?!hwnas)[^\s`')]+)*)")


@pytest.mark.parametrize(
    ("command", "said", "shown"),
    [
        ("infer", "Give `force=True`, or `out=`.", "Give `--force`, or `--out`."),
        ("estimate", "`max_gmac=3`, `budget_s=60`", "`--max-gmac 3`, `budget_s=60` in Python"),
        ("profile", "`budget_s=60`", "`--budget 60`"),
        ("export", "`integrations=triton`", "`--for triton`"),
        ("bench", "`inputs=['a=1x3', 'b=2']`", "`--input a=1x3 --input b=2`"),
        ("bench", "`inputs=['a,b=1x3', \"it's=2\"]`", "`--input a,b=1x3 --input it's=2`"),
        ("bench", r"`inputs=['a\x0ab=1x3']`", r"`--input a\x0ab=1x3`"),
        ("bench", "`inputs=['a`, `b=2']`", "`--input ['a`, `b=2']` in Python"),
        ("compare", "`networks=x`", "`--with x`"),
        ("infer", "(`check_scans=False` lets it.)", "(`--no-check-scans` lets it.)"),
        ("ros replay", "(`check_scans=False` lets it.)", "(`--no-check-scans` lets it.)"),
        ("infer", "`check_scans=True`", "`check_scans=True` in Python"),
        ("export", "(`check_scans=False` lets it.)", "(`check_scans=False` in Python lets it.)"),
        ("infer", "a`b.onnx: give `force=True`", "a`b.onnx: give `--force`"),
        ("infer", "with `columns=` of `Bundle.infer`", "with `columns=` of `Bundle.infer`"),
        ("data info", "Give `ring=`.", "Give `ring=` in Python."),
        (
            "infer",
            "`local?backend=x&threads=1`, `schema_version`",
            "`local?backend=x&threads=1`, `schema_version`",
        ),
    ],
)
def test_arguments_become_options_of_the_command_that_runs(command: str, said: str, shown: str) -> None:
    assert with_options(said, COMMANDS[command]) == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_is_told_of_an_option_that_it_does_not_have(command: str) -> None:
    known = set(options(COMMANDS[command]))
    for path, text in texts():
        if ARGUMENT.search(text) and "hwnas " not in text:
            for span in SPANS.findall(with_options(text, COMMANDS[command])):
                assert set(NAMED.findall(span)) <= known, f"{path}: {text!r}"


def test_every_argument_that_a_message_names_is_an_option_of_a_command() -> None:
    found = {name for _, text in texts() for name in ARGUMENT.findall(text)} - OF_PYTHON_ALONE
    assert len(found) > 10
    for name in found:
        shown = {
            with_options(f"`{name}={value}`", one) for one in COMMANDS.values() for value in ("", "False")
        }
        assert any(one.startswith("`--") for one in shown), name


def test_options_of_whole_commands_exist() -> None:
    seen = 0
    for path in PACKAGE.rglob("*.py"):
        for text in literals(ast.parse(path.read_text(encoding="utf-8"))):
            for command, rest in WHOLE.findall(text):
                given = NAMED.findall(rest)
                if given:
                    assert command in COMMANDS, f"{path.name}: {text!r}"
                    assert set(given) <= set(options(COMMANDS[command])), f"{path.name}: {text!r}"
                    seen += len(given)
    assert seen > 20


def test_messages_are_for_the_command_that_ran(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    found = CliRunner().invoke(make_app(), ["quickstart", "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, ConfigError)
    assert "`out=`" in str(found.exception)
    assert "`--out`" in with_options(str(found.exception))


def test_no_message_names_an_option_but_within_a_whole_command() -> None:
    plain = [
        (path, text)
        for path, text in texts()
        if "hwnas " not in text and "`ray start" not in text and "trtexec" not in path
    ]
    assert len(plain) > 100
    for path, text in plain:
        assert not OPTION.search(text), f"{path}: {text!r}"
