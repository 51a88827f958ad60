"""`hwnas quickstart`: everything once, without data of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import cost_heading, mark, print_remarks
from hwnas.errors import VerificationError

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="quickstart")(quickstart)


def quickstart(
    out: Annotated[
        Path, typer.Option("--out", help="New directory for data, run, bundles and report.")
    ] = Path("quickstart"),
    minutes: Annotated[
        float, typer.Option("--minutes", min=1.0, max=600.0, help="Time to spend, on two cores.")
    ] = 10.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Synthesize scans, search, train, export, verify and report; the same command resumes it."""
    from hwnas.cli.quickstart_pipeline import Quickstart

    try:
        summary = Quickstart(out, minutes).run()
    except KeyboardInterrupt as interruption:
        err_console.print("Interrupted. The same command goes on where it stopped.")
        raise typer.Exit(INTERRUPTED) from interruption
    if as_json:
        print_json(summary)
    else:
        _show(summary)
    failed = [bundle["path"] for bundle in summary["bundles"] if not bundle["verified"]]
    if failed:
        raise VerificationError(
            f"These bundles do not hold what their manifests state: {failed}; see verification.json there."
        )


def _show(summary: dict[str, Any]) -> None:
    table = Table(title="The front, trained in full, exported and verified", title_justify="left")
    cost = cost_heading(summary)
    table.add_column("architecture id", no_wrap=True)
    metric = next((bundle["metric"] for bundle in summary["bundles"]), "quality")
    for heading in (metric, *cost, "latency ms", "on front", "verified"):
        table.add_column(heading, justify="right")
    for bundle in summary["bundles"]:
        low, high = bundle["interval_ms"]
        table.add_row(
            bundle["architecture_id"],
            f"{bundle['quality']:.3f}",
            *("n/a" if bundle["cost"] is None else f"{bundle['cost']:.2f}" for _ in cost),
            f"{bundle['latency_ms']:.2f} ({low:.2f} to {high:.2f}){mark(bundle)}",
            "yes" if bundle["on_front"] else "no",
            "yes" if bundle["verified"] else "NO",
        )
    out_console.print(table)
    print_remarks({bundle["architecture_id"]: bundle for bundle in summary["bundles"]})
    seconds = sum(summary["seconds"].values())
    lines = [
        f"{summary['trained_candidates']} candidates trained, {seconds:.0f} s in all",
        f"report   {summary['report']}",
        *(f"bundle   {bundle['path']}" for bundle in summary["bundles"]),
    ]
    for line in lines:
        out_console.print(line, highlight=False, soft_wrap=True)
