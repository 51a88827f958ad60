"""`hwnas init`: a run file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import out_console
from hwnas.text import argument


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="init")(init)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where run.yaml goes; made if missing.")],
) -> None:
    """Write a commented run.yaml."""
    from hwnas.config.template import write_run_file

    path = write_run_file(directory)
    out_console.say(f"Wrote {path}. Set task.data in it, then: hwnas search {argument(path)}")
