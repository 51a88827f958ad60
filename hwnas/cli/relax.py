"""`hwnas relax`: choices moved by gradients, for the strategy `gradient`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hwnas.cli.arguments import numbers_of, run_of_file
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="relax")(relax)


def relax(
    run_file: Annotated[
        Path, typer.Argument(metavar="RUN.yaml", help="Run file with task, space and target.")
    ],
    supernet: Annotated[Path, typer.Option("--supernet", help="What `hwnas supernet` trained.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Output directory; resumes what was interrupted in it.")
    ],
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Steps; each updates the choices for every weight.")
    ] = 100,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            help="Weights of log latency in the loss, separated by commas; choices are optimised for each.",
        ),
    ] = "0.01,0.03,0.06,0.12,0.25",
    *,
    as_json: AsJson = False,
) -> None:
    """Optimise choices by gradients through shared weights, with latencies from a table in the loss.

    The strategy `gradient` draws from them: strategy: {name: gradient, relaxed: DIR}. Needs a latency table
    for target and space (`hwnas profile`). If it is interrupted, run the same command again to resume.
    """
    from hwnas.run.progress import shown_steps

    with shown_steps("relaxing", err_console) as listener:
        found = run_of_file(run_file).relax(
            supernet, out, steps=steps, weights=numbers_of(weights, "--weights"), progress=listener
        )
    if as_json:
        print_json(found.to_json())
        return
    table = Table("gene", *(f"{weight:g}" for weight in found.weights), title="likeliest choice by weight")
    for gene, values in found.likeliest.items():
        if len(found.values[gene]) > 1:
            rows = found.probabilities[gene]
            cells = [f"{value} ({row.max():.0%})" for value, row in zip(values, rows, strict=True)]
            table.add_row(gene, *cells)
    out_console.print(table)
    out_console.say(f"{out}: {found.steps} steps in {found.relax_s} s.")
