"""`hwnas report`: a run as one page to show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import err_console, out_console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="report")(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run that was searched.")],
    samples: Annotated[
        int, typer.Option("--samples", min=0, max=20, help="Segmented samples to draw of each network.")
    ] = 2,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the path as JSON.")] = False,
) -> None:
    """Write RUN/report.html: front, hypervolume, classes, architectures, samples, settings."""
    from hwnas.report.build import build_report

    with err_console.status(f"Drawing {run}"):
        path = build_report(run, samples=samples)
    if as_json:
        print_json({"report": str(path)})
    else:
        out_console.print(str(path), markup=False, highlight=False, soft_wrap=True)
