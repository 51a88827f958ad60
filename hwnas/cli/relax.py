"""`hwnas relax`: choices moved by gradients, for the strategy `gradient`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.files import refuse_foreign_directory
from hwnas.plain_console import PlainTextColumn


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="relax")(relax)


def relax(
    run_file: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="Task, space and target.")],
    supernet: Annotated[Path, typer.Option("--supernet", help="What `hwnas supernet` trained.")],
    out: Annotated[Path, typer.Option("--out", help="Directory; goes on with what it holds.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps; each moves every set.")] = 100,
    weights: Annotated[
        str, typer.Option("--weights", help="Of the logarithm of the latency; a set of choices for each.")
    ] = "0.01,0.03,0.06,0.12,0.25",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find likely choices by gradients through shared weights, with latencies of a table in the loss.

    The strategy `gradient` draws from them: strategy: {name: gradient, relaxed: DIR}. Interrupted, the same
    command goes on from the last checkpoint. Needs a latency table for target and space (`hwnas profile`).
    """
    from hwnas.config import load_config
    from hwnas.search.relaxing import relax_run
    from hwnas.training.checkpoint import STATE_FILE
    from hwnas.training.relaxed_choices import FILE

    config = load_config(run_file, must_exist=("task",))
    refuse_foreign_directory(out, "relaxed choices", [FILE, STATE_FILE])
    columns = (
        PlainTextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=err_console) as bar:
        shown = bar.add_task("relaxing", total=steps)

        def progress(step: int, _of: int, loss: float) -> None:
            bar.update(shown, completed=step, description=f"relaxing, loss {loss:.3f}")

        found = relax_run(config, supernet, out, steps=steps, weights=_numbers(weights), progress=progress)
    likeliest = {
        gene: [values[int(row.argmax())] for row in found.probabilities[gene]]
        for gene, values in found.space["choices"].items()
    }
    if as_json:
        print_json(
            {
                "directory": str(out),
                "weights": list(found.weights),
                "likeliest": likeliest,
                "provenance": dict(found.provenance),
            }
        )
        return
    table = Table("gene", *(f"{weight:g}" for weight in found.weights), title="likeliest choice by weight")
    for gene, values in likeliest.items():
        if len(found.space["choices"][gene]) > 1:
            rows = found.probabilities[gene]
            cells = [f"{value} ({row.max():.0%})" for value, row in zip(values, rows, strict=True)]
            table.add_row(gene, *cells)
    out_console.print(table)
    out_console.print(
        f"{out}: {found.provenance['steps']} steps in {found.provenance['seconds']} s.",
        soft_wrap=True,
        highlight=False,
    )


def _numbers(text: str) -> tuple[float, ...]:
    import math

    from hwnas.errors import ConfigError

    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--weights takes numbers joined by commas, but got {text!r}.") from error
    if any(not math.isfinite(weight) or weight < 0 for weight in found):
        raise ConfigError(f"--weights takes numbers from 0 on, but got {text!r}.")
    if len(set(found)) < len(found):
        raise ConfigError(f"--weights takes each number once, but got {text!r}.")
    return found
