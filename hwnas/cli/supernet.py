"""`hwnas supernet`: one set of weights for all networks of a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.files import refuse_foreign_directory
from hwnas.plain_console import PlainTextColumn


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
    import time
    from dataclasses import replace

    from hwnas.config import load_config
    from hwnas.search_spaces.base import make_search_space
    from hwnas.tasks.base import make_task
    from hwnas.training.checkpoint import STATE_FILE
    from hwnas.training.recipe import Recipe
    from hwnas.training.supernet import HEADER_FILE, train_supernet

    config = load_config(run_file, must_exist=("task",))
    refuse_foreign_directory(out, "a supernet", [HEADER_FILE, STATE_FILE])
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    recipe = replace(Recipe(**config.training.proxy.recipe_fields()), steps=steps, average=0.0)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
    started = time.monotonic()
    columns = (
        PlainTextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=err_console) as bar:
        shown = bar.add_task("supernet", total=steps)

        def progress(step: int, _of: int, loss: float) -> None:
            bar.update(shown, completed=step, description=f"supernet, loss {loss:.3f}")

        shared = train_supernet(
            task, space, recipe, seed=config.search.seed, directory=out, progress=progress
        )
    told = {
        "directory": str(out),
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in shared.parameters()),
        "seconds": round(time.monotonic() - started, 1),
    }
    if as_json:
        print_json(told)
        return
    out_console.print(
        f"{out}: {told['parameters']} shared parameters, {steps} steps in {told['seconds']} s.",
        soft_wrap=True,
        highlight=False,
    )
