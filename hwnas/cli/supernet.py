"""`hwnas supernet`: one set of weights for all networks of a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.run_files import run_of_file


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="supernet")(supernet)


def supernet(
    run_file: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="Task and space; one input width.")],
    out: Annotated[Path, typer.Option("--out", help="Directory; goes on with what it holds.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps, four networks each.")] = 1000,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Peak; that of training.proxy if not given.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train weights that all networks of a space share, to evaluate any of them in about a second.

    Interrupted, the same command goes on from the last checkpoint. The estimator `weight-sharing` uses the
    directory.
    """
    from hwnas.run.progress import shown_steps

    with shown_steps("supernet", err_console) as listener:
        summary = run_of_file(run_file).train_supernet(
            out, steps=steps, learning_rate=learning_rate, progress=listener
        )
    told = summary.to_json()
    if as_json:
        print_json(told)
        return
    out_console.print(
        f"{out}: {told['parameters']} shared parameters, {steps} steps in {told['seconds']} s.",
        soft_wrap=True,
        highlight=False,
    )
