"""`hwnas train`: members of the front at full budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.interruption import Interrupted
from hwnas.cli.measurement_tables import latency_cells, objective_heading, print_remarks, print_scope
from hwnas.cli.options import PICK_HELP, AsJson, Device, TrainingSteps
from hwnas.text import figure

if TYPE_CHECKING:
    from hwnas.run.front import FrontMember
    from hwnas.run.results import TrainingSummary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="train")(train)


def train(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run that was searched.")],
    pick: Annotated[
        str | None,
        typer.Option("--pick", help=f"{PICK_HELP} If not given, the run file's choice."),
    ] = None,
    steps: TrainingSteps = None,
    device: Device = None,
    log_dir: Annotated[
        Path | None,
        typer.Option("--log-dir", metavar="DIR", help="Write events for TensorBoard there, by network."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Train members of the front at full budget and measure them with the final protocol.

    Ctrl-C saves a checkpoint of every network under way first; the same command goes on from there.
    """
    from hwnas.run.progress import shown_training
    from hwnas.run.run import Run

    with shown_training(err_console) as listener:
        summary = Run.open(run).train(pick, steps=steps, device=device, log_dir=log_dir, progress=listener)
    if as_json:
        print_json(summary.to_json())
    elif summary.networks or not summary.is_interrupted:
        show_members(summary)
    if summary.is_interrupted:
        raise Interrupted


def _build_line(member: FrontMember) -> str:
    builds = member.builds
    assert builds is not None  # noqa: S101 - asked for where there are some
    return (
        f"{member.id}: the slowest of {builds.made} builds takes {builds.spread:.1%} longer than the "
        "fastest, which is kept."
    )


def show_members(summary: TrainingSummary) -> None:
    """Print the members at full budget."""
    front = summary.front
    table = Table(title="Members at full budget", title_justify="left")
    networks = sorted(summary.networks, key=lambda member: member.latency_ms or 0.0)
    metric = networks[0].quality.metric if networks else "metric"
    objective = objective_heading(front)
    for heading in ("architecture id", metric, *objective, "latency ms", "interval ms", "on front"):
        table.add_column(heading, justify="right")
    on_front = {member.id for member in front}
    for member in networks:
        table.add_row(
            member.id,
            f"{member.quality.value:.4f}",
            *("n/a" if member.objective is None else figure(member.objective) for _ in objective),
            *latency_cells(member.latency),
            "yes" if member.id in on_front else ", ".join(["no", *member.exceeds]),
        )
    out_console.print(table)
    print_scope(member.quality for member in networks)
    ranks = summary.latency_ranks
    if ranks is not None:
        out_console.print(
            f"The search ranked the latencies of {ranks.networks} members like this measurement with "
            f"Kendall tau {ranks.kendall:.2f} (Spearman {ranks.spearman:.2f}).",
            highlight=False,
        )
    for member in networks:
        if member.builds is not None:
            out_console.print(_build_line(member), highlight=False)
    print_remarks({member.id: member.latency for member in networks})
