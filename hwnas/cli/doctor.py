"""`hwnas doctor`: what can a target measure and build, and what is wrong with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.errors import MeasurementError

if TYPE_CHECKING:
    from hwnas.latency.doctor.checks import Diagnosis

_QUICK_S, _FULL_S = 3.0, 30.0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(doctor)


def doctor(
    target: Annotated[
        str, typer.Option(help="Target, such as local or ssh://user@board?backend=tensorrt.")
    ] = ("local"),
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Observe the noise for 3 s instead of 30 s.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a target can measure and build, what is wrong with it, and what to do about it."""
    from hwnas.latency.doctor.doctor import doctor as look_at

    with err_console.status(f"Looking at {target}"):
        diagnosis = look_at(target, noise_s=_QUICK_S if quick else _FULL_S)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        _print_findings(diagnosis)
    if not diagnosis.is_usable:
        raise MeasurementError(f"Nothing can be measured on {diagnosis.target!r}; see the problems above.")


def _print_findings(diagnosis: Diagnosis) -> None:
    """Print a line for each finding; lines, unlike tables, stay whole in logs of any width."""
    marks = {
        "ok": Text("ok      ", style="green"),
        "warn": Text("warning ", style="yellow"),
        "problem": Text("PROBLEM ", style="bold red"),
    }
    for finding in diagnosis.findings:
        out_console.print(marks[finding.level], end="")
        text = f"{finding.check}: {finding.found}"
        out_console.say(text)
        if finding.advice:
            out_console.say(f"        -> {finding.advice}")
