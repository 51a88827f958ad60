"""`hwnas supernet`: one set of weights for all networks of a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.arguments import run_of_file
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="supernet")(supernet)


def supernet(
    run_file: Annotated[
        Path, typer.Argument(metavar="RUN.yaml", help="Run file with task and space; one input width.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Output directory; resumes what was interrupted in it.")
    ],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps, four networks each.")] = 1000,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Peak learning rate; that of training.proxy if not given."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Train weights that all networks of a space share, to evaluate any of them in about a second.

    If it is interrupted, run the same command again to resume. The estimator `weight-sharing` uses the
    directory.
    """
    from hwnas.run.progress import shown_steps

    with shown_steps("supernet", err_console) as listener:
        summary = run_of_file(run_file).train_supernet(
            out, steps=steps, learning_rate=learning_rate, progress=listener
        )
    reported = summary.to_json()
    if as_json:
        print_json(reported)
        return
    out_console.say(
        f"{out}: {reported['parameters']} shared parameters, {steps} steps in {reported['seconds']} s."
    )
