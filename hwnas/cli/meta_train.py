"""`hwnas meta-train`: initial weights that are learned over a family of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.text import argument, counted

if TYPE_CHECKING:
    from hwnas.training.meta.initialisation import Initialisation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("meta-train")(meta_train)


def meta_train(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory with trained networks.")],
    family: Annotated[
        Path,
        typer.Option(metavar="FAMILY.yaml", help="Synthetic sensors and places, sequences, or data sets."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Directory of the initial weights; resumes what is in it.")
    ],
    pick: Annotated[
        str, typer.Option(help="Which network: knee, latency<=MS, error<=SHARE, an architecture id; one.")
    ] = "knee",
    method: Annotated[
        str, typer.Option(help="fomaml, reptile, maml or anil; the last two need more memory.")
    ] = "fomaml",
    steps: Annotated[int, typer.Option(min=1, help="Of the outer loop.")] = 300,
    shots: Annotated[
        int, typer.Option(min=1, help="Scans that a task is adapted to; the loss is that of as many others.")
    ] = 2,
    inner_steps: Annotated[int, typer.Option(min=1, help="Of gradient descent on a task.")] = 3,
    inner_learning_rate: Annotated[float, typer.Option(help="Their step size.")] = 0.05,
    learning_rate: Annotated[float, typer.Option(help="Of the outer loop.")] = 1e-3,
    tasks_per_step: Annotated[int, typer.Option(min=1, help="Members of the family in a step.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is random.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw synthetic scans.")] = 1,
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with fresh weights, not with the run's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn initial weights of a trained network over a family of sensors, places or data sets.

    `hwnas adapt BUNDLE --start DIR` adapts from them. Interrupted, the same command goes on from the last
    checkpoint.
    """
    from hwnas.run.progress import shown_meta_training
    from hwnas.run.run import Run

    with shown_meta_training(err_console) as listener:
        found = Run.open(run).meta_train(
            family,
            out,
            pick=pick,
            method=method,
            steps=steps,
            shots=shots,
            inner_steps=inner_steps,
            inner_learning_rate=inner_learning_rate,
            learning_rate=learning_rate,
            tasks_per_step=tasks_per_step,
            fresh=fresh,
            seed=seed,
            workers=workers,
            progress=listener,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: Initialisation) -> None:
    table = Table(title="Loss after adaptation, members that learning never saw", title_justify="left")
    for heading, justify in (("member", "left"), ("from the first weights", "right"), ("learned", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for name, before in found.before.items():
        table.add_row(name, f"{before:.4f}", f"{found.after[name]:.4f}")
    out_console.print(table)
    if not found.is_better:
        err_console.warn(
            "On the mean of the held-out members, adaptation from the learned weights is no better than from "
            "the first ones. Try more --steps, another --learning-rate, or more members."
        )
    out_console.say(
        f"{found.settings.method}, {counted(found.settings.steps, 'step')}, {found.train_s:.0f} s. "
        f"`hwnas adapt BUNDLE --start {argument(found.directory)}` adapts from {found.directory}."
    )
