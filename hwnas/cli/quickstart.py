"""`hwnas quickstart`: everything once, without data of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import latency_cells, objective_heading, print_remarks, print_scope
from hwnas.cli.options import AsJson
from hwnas.errors import VerificationError
from hwnas.text import figure

if TYPE_CHECKING:
    from hwnas.run.quickstart import QuickstartSummary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="quickstart")(quickstart)


def quickstart(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="New directory for data, run, bundles and report.")
    ] = Path("quickstart"),
    minutes: Annotated[
        float, typer.Option("--minutes", min=1.0, max=600.0, help="Time to spend, on two cores.")
    ] = 10.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Synthesize scans, search, train, export, verify and report; run it again to resume."""
    from hwnas.run.quickstart import quickstart as run_quickstart

    summary = run_quickstart(out, minutes=minutes, console=err_console)
    if as_json:
        print_json(summary.to_json())
    else:
        _show(summary)
    failed = [str(entry.bundle.path) for entry in summary.bundles if not entry.is_verified]
    if failed:
        raise VerificationError(
            f"These bundles do not hold what their manifests state: {failed}; see verification.json there."
        )


def _show(summary: QuickstartSummary) -> None:
    table = Table(title="The front, trained in full, exported and verified", title_justify="left")
    objective = objective_heading(summary.front)
    table.add_column("architecture id", no_wrap=True)
    for heading in (summary.front.metric, *objective, "latency ms", "interval ms", "on front", "verified"):
        table.add_column(heading, justify="right")
    for entry in summary.bundles:
        table.add_row(
            entry.bundle.architecture_id,
            f"{entry.bundle.quality.value:.3f}",
            *("n/a" if entry.objective is None else figure(entry.objective) for _ in objective),
            *latency_cells(entry.bundle.latency),
            "yes" if entry.is_on_front else "no",
            "yes" if entry.is_verified else "NO",
        )
    out_console.print(table)
    print_scope(entry.bundle.quality for entry in summary.bundles)
    print_remarks({entry.bundle.architecture_id: entry.bundle.latency for entry in summary.bundles})
    lines = [
        f"{summary.trained_candidates} candidates trained, {sum(summary.seconds.values()):.0f} s in all",
        f"report   {summary.report}",
        *(f"bundle   {entry.bundle.path}" for entry in summary.bundles),
    ]
    for line in lines:
        out_console.say(line)
