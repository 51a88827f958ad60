"""What `--help` shows is what was written: Rich takes `[words]` and `:words:` for markup, and drops them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from hwnas.cli.main import make_app

_FRAME = re.compile(r"[\u2500-\u257f]")
_WIDE = 10_000  # columns: no help text is broken over lines


def commands_of(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, (*path, name))


def lost_texts(app: typer.Typer, path: tuple[str, ...], command: click.Command) -> list[str]:
    """Return what was written for a command and its options, and is not shown."""
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": str(_WIDE)})
    assert result.exit_code == 0
    shown = words(_FRAME.sub(" ", result.output))
    written = [command.help or "", command.epilog or ""]
    for parameter in command.params:
        default = getattr(parameter, "show_default", None)
        written += [getattr(parameter, "help", None) or "", default if isinstance(default, str) else ""]
        written.append(parameter.metavar or "")
    return [text for text in written if words(text) not in shown]


def words(text: str) -> str:
    return " ".join(text.split())


APP = make_app()
COMMANDS = dict(commands_of(get_command(APP)))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "hwnas")
def test_nothing_that_is_written_for_help_is_lost(path: tuple[str, ...]) -> None:
    assert lost_texts(APP, path, COMMANDS[path]) == []


def test_what_rich_takes_for_markup_would_be_found() -> None:
    app = typer.Typer(rich_markup_mode="rich")

    @app.command()
    def command(
        one: str = typer.Option("x", help="Of all files [the oldest]."),
        other: str = typer.Option("x", help="Whole.", show_default="what [it] needs"),
        more: str = typer.Option("x", help="Shown :warning: as a picture."),
    ) -> None:
        """Write a file [or two]."""

    lost = lost_texts(app, (), get_command(app))
    assert lost[0] == "Write a file [or two]."
    assert {"Of all files [the oldest].", "Shown :warning: as a picture."} <= set(lost)
    assert "Whole." not in lost


def test_every_command_that_writes_takes_the_short_option() -> None:
    outs = [each for command in COMMANDS.values() for each in command.params if "--out" in each.opts]
    assert len(outs) >= 13
    assert [each.opts for each in outs if "-o" not in each.opts] == []
