"""`hwnas estimate`: how well cheap estimators of accuracy rank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from hwnas.cli.arguments import run_of_file
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson

if TYPE_CHECKING:
    from hwnas.estimators.comparison_result import EstimatorComparison

DEFAULT = "synflow,snip,grad-norm,naswot,jacob-cov"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="estimate")(estimate)


def estimate(
    run_file: Annotated[
        Path, typer.Argument(metavar="RUN.yaml", help="Run file with task, space, estimator and recipes.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Output directory; resumes what was interrupted in it.")
    ],
    networks: Annotated[int, typer.Option("--networks", min=4, help="Networks to train in full.")] = 32,
    estimators: Annotated[
        str, typer.Option("--estimators", help="Others to compare, joined by commas; empty for none.")
    ] = DEFAULT,
    max_gmac: Annotated[
        float | None, typer.Option("--max-gmac", help="Skip networks with more GMACs than this.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Report how well accuracy estimators rank networks, compared with full training.

    Networks are drawn from the space of the run and trained by `training.full`. The estimator of the run
    (`search.estimator`) and others evaluate the same networks. A search whose run file names the directory
    (`search.estimator_report`) states what came out, and warns where its estimator cannot be relied on.
    """
    from hwnas.run.progress import shown_estimates

    with shown_estimates(err_console) as listener:
        found = run_of_file(run_file).estimate(
            out,
            networks=networks,
            estimators=estimators,
            max_gmac=max_gmac,
            workers=workers,
            progress=listener,
        )
    if as_json:
        print_json(found.to_json())
        return
    out_console.print(comparison_table(found))
    for one in found.estimators:
        if one.failed:
            out_console.print(f"{one.label} gave no score to {one.failed} networks.", highlight=False)
        for warning in one.report.warnings:
            out_console.warn(warning)


def comparison_table(found: EstimatorComparison) -> Table:
    """Return one row for each estimator."""
    title = f"Kendall tau with full training ({found.full_s:.0f} s each)"
    table = Table("estimator", title=title, title_justify="left")
    for heading in (
        "tau",
        "of MACs",
        "of parameters",
        "gain over MACs, at least",
        "s a network",
        "s before, once",
    ):
        table.add_column(heading, justify="right")
    for one in found.estimators:
        report = one.report
        taus = [Text(str(each)) for each in (report.rank_correlation, report.macs, report.parameters)]
        before = f"{one.prepared_s:.0f}" if one.prepared_s else ""
        table.add_row(one.label, *taus, f"{report.gain_low:+.2f}", f"{report.cost_s:.2f}", before)
    return table
