"""`hwnas compare`: the trained front beside hand-crafted networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hwnas.cli.arguments import counts_of, numbers_of
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import print_scope
from hwnas.cli.options import AsJson, Device, TrainingSteps
from hwnas.text import figure, with_interval

if TYPE_CHECKING:
    from hwnas.search.comparison import BaselineComparison


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="compare")(compare)


def compare(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run with trained networks.")],
    networks: Annotated[
        str,
        typer.Option("--with", metavar="NAMES", help="salsanext, fidnet34, cenet34, rangenet21, rangenet53."),
    ] = "salsanext,fidnet34",
    width_multipliers: Annotated[
        str,
        typer.Option(
            "--width-multipliers",
            metavar="LIST",
            help="Channel multipliers, separated by commas; 1 is the published width.",
        ),
    ] = "0.25,0.5",
    input_widths: Annotated[
        str | None,
        typer.Option(
            "--input-widths", metavar="LIST", help="Columns of their image; if not given, the front's."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Trainings of each network, the front's included.")
    ] = 1,
    steps: TrainingSteps = None,
    device: Device = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare the trained front with hand-crafted networks: same data, recipe and device.

    Trains the hand-crafted networks like the front, then measures all in one session. `hwnas report` shows
    what was found. Ctrl-C saves checkpoints; the same command goes on from there.
    """
    from hwnas.run.progress import shown_training
    from hwnas.run.run import Run

    multipliers = numbers_of(width_multipliers, "--width-multipliers")
    columns = None if input_widths is None else counts_of(input_widths, "--input-widths")
    with shown_training(err_console) as listener:
        found = Run.open(run).compare(
            networks,
            width_multipliers=multipliers,
            input_widths=columns,
            seeds=seeds,
            steps=steps,
            device=device,
            progress=listener,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: BaselineComparison) -> None:
    table = Table(title="The front and hand-crafted networks", title_justify="left")
    per_seed = [f"{found.metric}, seed {seed}" for seed in found.seeds] if len(found.seeds) > 1 else []
    objective = [] if found.objective == "latency_ms" else [found.objective]
    for heading in ("network", found.metric, *per_seed, *objective, "latency ms", "interval ms"):
        table.add_column(heading, justify="right")
    for network in found.networks:
        median, low, high = with_interval(network.latency.latency_ms, network.latency.interval_ms)
        table.add_row(
            network.name,
            network.shown_value,
            *(f"{quality.value:.4f}" for quality in network.qualities if per_seed),
            *(figure(network.objective) for _ in objective),
            median,
            f"{low} to {high}",
        )
    out_console.print(table)
    print_scope(quality for network in found.networks for quality in network.qualities)
    for text in found.warnings:
        err_console.warn(text)
    for text in found.sentences:
        out_console.print(text, highlight=False)
    if len(found.seeds) == 1 and found.sentences:
        out_console.print(
            "One training of each: how far chance moves these figures is not known; --seeds 3 shows it.",
            highlight=False,
        )
