"""`hwnas train`: members of the front at full budget."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import cost_heading, mark, print_remarks
from hwnas.errors import ConfigError
from hwnas.text import visible

if TYPE_CHECKING:
    from hwnas.search.full_training import FullTrainingResult, TrainingListener, TrainingStatus

INTERRUPTED = 130
_LINE_EVERY_S = 30.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="train")(train)


def train(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run that was searched.")],
    pick: Annotated[
        str | None,
        typer.Option("--pick", help="all, knee, or how many candidates; the run file's choice if not given."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Training steps instead of the run file's.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N; the run file's choice if not given."),
    ] = None,
    log_dir: Annotated[
        Path | None,
        typer.Option("--log-dir", metavar="DIR", help="Write events for TensorBoard there, by network."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train members of the front at full budget and measure them with the final protocol.

    Ctrl-C saves a checkpoint of every network under way first; the same command goes on from there.
    """
    chosen = _parsed(pick)

    from hwnas.search.full_training import train_front

    if log_dir is not None:
        log_dir = log_dir.resolve()
    with watched_training() as listener:
        result = train_front(run, pick=chosen, steps=steps, device=device, log_dir=log_dir, progress=listener)
    if as_json:
        print_json(result.trained)
    elif result.trained["members"] or not result.interrupted:
        show_members(result)
    if result.interrupted:
        err_console.print("Interrupted. The same command goes on from the checkpoints.")
        raise typer.Exit(INTERRUPTED)


@contextmanager
def watched_training() -> Iterator[TrainingListener]:
    """Show how far training is: in place on a terminal; elsewhere what is new, and the steps now and then."""
    last, last_s = "", -math.inf

    def words(status: TrainingStatus) -> str:
        under_way = "".join(f" · {name[:8]} {member}" for name, member in status.under_way.items())
        return f"[{status.finished}/{status.wanted}] {status.message}{under_way}"

    def print_line(status: TrainingStatus) -> None:
        nonlocal last, last_s
        if status.message != last or (status.under_way and time.monotonic() - last_s > _LINE_EVERY_S):
            last, last_s = status.message, time.monotonic()
            err_console.print(words(status), highlight=False, soft_wrap=True)

    if not err_console.is_terminal:
        yield print_line
        return
    with err_console.status("starting workers") as shown:
        yield lambda status: shown.update(Text(visible(words(status))))


def _build_line(member: dict[str, Any]) -> str:
    builds = member["builds"]
    return (
        f"{Path(member['checkpoint']).parent.name}: the slowest of {len(builds['made'])} builds takes "
        f"{builds['spread']:.1%} longer than the fastest, which is kept."
    )


def _parsed(pick: str | None) -> str | int | None:
    if pick is None or pick in {"all", "knee"}:
        return pick
    if pick.isdecimal() and int(pick) > 0:
        return int(pick)
    raise ConfigError(f"--pick is `all`, `knee` or a positive number, but got {pick!r}.")


def show_members(result: FullTrainingResult) -> None:
    """Print the members at full budget."""
    members = result.trained["members"]
    metric = members[0]["quality"]["metric"] if members else "metric"
    table = Table(title="Members at full budget", title_justify="left")
    cost = cost_heading(result.trained) if members else []
    for heading in ("architecture id", metric, *cost, "latency ms", "interval ms", "on front"):
        table.add_column(heading, justify="right")
    for member in members:
        low, high = member["latency"]["interval_ms"]
        table.add_row(
            Path(member["checkpoint"]).parent.name,
            f"{member['quality']['value']:.4f}",
            *("n/a" if member["cost"] is None else f"{member['cost']:.2f}" for _ in cost),
            f"{member['latency']['latency_ms']:.2f}{mark(member['latency'])}",
            f"{low:.2f} to {high:.2f}",
            "yes" if member["on_front"] else ", ".join(["no", *member.get("exceeds", ())]),
        )
    out_console.print(table)
    agreement = result.trained.get("rank_agreement")
    if agreement is not None:
        out_console.print(
            f"The search ranked the latencies of {agreement['members']} members like this measurement with "
            f"Kendall tau {agreement['kendall']:.2f} (Spearman {agreement['spearman']:.2f}).",
            highlight=False,
        )
    for member in members:
        if member.get("builds") is not None:
            out_console.print(_build_line(member), highlight=False)
    print_remarks({Path(member["checkpoint"]).parent.name: member["latency"] for member in members})
