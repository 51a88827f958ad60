"""`hwnas report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import out_console, print_json
from hwnas.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="report")(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run that was searched.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write (default: RUN/report.html).")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a run's front, networks, figures and settings as one HTML file that opens offline."""
    from hwnas.run.run import Run

    written = Run.open(run).report(out)
    if as_json:
        print_json({"report": str(written)})
    else:
        out_console.say(str(written))
