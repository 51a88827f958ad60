"""`hwnas profile`: a latency table of a target."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hwnas.cli.arguments import counts_of, refuse_options, seconds_of
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.config import DEFAULT_TARGET
from hwnas.errors import ConfigError
from hwnas.plain_console import PlainTextColumn
from hwnas.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from hwnas.latency.predict.profiling import ProfileProgress
    from hwnas.latency.predict.table import LatencyTable


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="profile")(profile)


TargetOption = Annotated[str, typer.Option(help="What to measure.")]
SpaceOption = Annotated[str, typer.Option(help="Search space to draw networks from.")]
RunOption = Annotated[
    Path | None,
    typer.Option(help="Run file whose task, space and choices the table is for; instead of --space."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="File of the table; latency_tables/<target>.json if not given."),
]
BudgetOption = Annotated[str, typer.Option(help="Time to spend on networks, such as 600s, 10m or 1h.")]
NetworksOption = Annotated[int, typer.Option(min=10, help="Measure at most this many networks.")]
WidthsOption = Annotated[str, typer.Option(help="Input widths without --run, such as 512,1024.")]
HeightOption = Annotated[int, typer.Option(min=4, help="Input height without --run.")]
ChannelsOption = Annotated[int, typer.Option(min=1, help="Input channels without --run.")]
ClassesOption = Annotated[int, typer.Option(min=1, help="Classes without --run.")]
PrecisionOption = Annotated[str, typer.Option(help="Precision of the networks: fp32 or fp16.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed for drawing the networks.")]
FromTablesOption = Annotated[
    str | None,
    typer.Option(help="Tables of other devices, separated by commas: then --samples networks are enough."),
]
SamplesOption = Annotated[int, typer.Option(min=5, help="Networks to measure with --from-tables.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Keep the raw measurements beside the table.")]


def profile(
    context: typer.Context,
    target: TargetOption = DEFAULT_TARGET,
    space: SpaceOption = "range-unet",
    run: RunOption = None,
    out: OutOption = None,
    budget: BudgetOption = "9m",
    networks: NetworksOption = 1000,
    widths: WidthsOption = "512",
    height: HeightOption = 64,
    channels: ChannelsOption = 5,
    classes: ClassesOption = 19,
    precision: PrecisionOption = "fp32",
    seed: SeedOption = 0,
    from_tables: FromTablesOption = None,
    samples: SamplesOption = 10,
    *,
    keep: KeepOption = False,
    as_json: AsJson = False,
) -> None:
    """Measure a latency table of a target, and state how well it predicts networks left out.

    If it is killed or interrupted, run the same command again to resume.
    """
    from hwnas.io_spec import NetworkContract, dense_logits
    from hwnas.latency.predict.profile import default_table_path
    from hwnas.latency.predict.profile import profile as make

    if run is not None:
        refuse_options(
            context,
            ("space", "widths", "height", "channels", "classes"),
            "cannot be given with --run: the run file states the space and the input.",
        )
    if from_tables is not None:
        refuse_options(
            context,
            ("budget", "networks"),
            "cannot be given with --from-tables, which measures --samples networks.",
        )
    else:
        refuse_options(
            context, ("samples",), "can only be given with --from-tables; otherwise --networks says how many."
        )
    contract = NetworkContract(channels, height, _widths(widths), dense_logits(classes), cyclic_width=True)
    path = out or default_table_path(target, precision)
    with _watched() as listener:
        table = make(
            target,
            space=space,
            contract=contract,
            run=run,
            out=path,
            budget_s=seconds_of(budget, "--budget"),
            networks=networks,
            precision=precision,
            seed=seed,
            from_tables=[name.strip() for name in (from_tables or "").split(",") if name.strip()],
            samples=samples,
            keep_raw=keep,
            progress=listener,
        )
    if as_json:
        print_json(_summary(table, path))
    else:
        _show(table, path)


def _widths(text: str) -> tuple[int, ...]:
    widths = sorted(counts_of(text, "--widths"))
    if widths[0] < 1 or len(set(widths)) < len(widths):
        raise ConfigError(f"--widths takes each width once, from 1 on, but got {text}.")
    return tuple(widths)


@contextmanager
def _watched() -> Iterator[Callable[[ProfileProgress], None]]:
    """Show a bar with the time left on a terminal; elsewhere print one line a network."""
    if not err_console.is_terminal:
        yield _print_line
        return
    columns = (TextColumn("{task.fields[measured]} networks"), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, PlainTextColumn("{task.description}"), console=err_console, transient=True)
    with progress:
        bar = progress.add_task("starting", total=1.0, measured=0)

        def show(state: ProfileProgress) -> None:
            progress.update(
                bar,
                total=state.budget_s,
                completed=min(state.spent_s, state.budget_s),
                measured=state.measured,
                description=f"{_left(state)} left · {state.message}",
            )

        yield show


def _print_line(state: ProfileProgress) -> None:
    line = f"[{state.measured} networks, {_left(state)} left] {state.message}"
    err_console.say(line)


def _left(state: ProfileProgress) -> str:
    seconds = max(0, round(state.budget_s - state.spent_s))
    return f"{seconds // 60}:{seconds % 60:02d}"


def _summary(table: LatencyTable, path: Path) -> dict[str, Any]:
    return {
        "table": str(path),
        "target": table.target,
        "space": table.space,
        "precision": table.precision,
        "networks": len(table.networks),
        "kernels": len(table.kernels),
        "held_out": dict(table.held_out),
        "from_tables": list(table.source_targets),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _show(table: LatencyTable, path: Path) -> None:
    found = table.held_out
    out_console.say(
        f"{counted(len(table.networks), 'network')} and {counted(len(table.kernels), 'different kernel')} of "
        f"{table.space!r} on {table.target}.\n"
        f"Predicting each network from the others: {found['within_5']:.1%} within 5 %, "
        f"{found['within_10']:.1%} within 10 %, mean error {found['mape']:.1%}, "
        f"rank correlation {found['spearman']:.4f}.\nTable: {path}"
    )
    if "from_tables" in table.provenance:
        out_console.say(
            "The kernels are those of another device, weighted by a few measurements here; the figures above "
            "rest on these. A profile without --from-tables says more."
        )
