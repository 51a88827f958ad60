"""Commands say warnings in their own words, each once, and leave Python's warnings as they were."""

from __future__ import annotations

import warnings

import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.cli.running import NotedCommand, note_commands
from hwnas.scan import DataWarning


def make_warning_app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def command(*, force: bool = False) -> None:
        for number in range(4):
            with warnings.catch_warnings():  # forgets what was shown before
                warnings.simplefilter("default")
                warnings.warn(f"Odd scans [{number % 2}]; give `force=True`.", DataWarning, stacklevel=1)

    note_commands(app)
    return app


def test_each_text_is_said_once_without_a_place_in_the_code() -> None:
    result = CliRunner().invoke(make_warning_app(), env={"COLUMNS": "40"})
    assert result.exit_code == 0
    said = [f"Warning: Odd scans [{number}]; give `--force`." for number in (0, 1)]
    assert result.stderr.splitlines() == said
    assert result.stdout == ""
    assert CliRunner().invoke(make_warning_app()).stderr.splitlines() == said, (
        "the next command says it again"
    )


def test_filters_stay_as_they_were() -> None:
    before = (list(warnings.filters), warnings.showwarning)
    CliRunner().invoke(make_warning_app())
    assert (list(warnings.filters), warnings.showwarning) == before


def test_filters_of_the_caller_hold() -> None:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        warnings.warn("odd", DataWarning, stacklevel=1)

    note_commands(app)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert CliRunner().invoke(app).stderr == ""


@pytest.mark.parametrize("command", ["search", "train", "export", "verify"])
def test_commands_are_such(command: str) -> None:
    group = typer.main.get_command(make_app())
    assert isinstance(group.commands[command], NotedCommand)  # type: ignore[attr-defined]
