"""`hwnas estimate`: how well cheap estimators of accuracy rank."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.files import is_json_with, refuse_foreign, refuse_foreign_directory
from hwnas.plain_console import PlainTextColumn

DEFAULT = "synflow,snip,grad-norm,naswot,jacob-cov"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="estimate")(estimate)


def estimate(
    run_file: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="Task, space, estimator, recipes.")],
    out: Annotated[Path, typer.Option("--out", help="Directory; goes on with what it holds.")],
    networks: Annotated[int, typer.Option("--networks", min=4, help="To be trained in full.")] = 32,
    estimators: Annotated[
        str, typer.Option("--estimators", help="Others to compare, joined by commas; empty for none.")
    ] = DEFAULT,
    most_gmac: Annotated[
        float | None, typer.Option("--most-gmac", help="Pass over networks with more operations.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say how well estimators of accuracy rank networks: how far they order them as full training does.

    Networks are drawn from the space of the run and trained by `training.full`. The estimator of the run
    (`search.estimator`) and others evaluate the same networks. A search whose run file names the directory
    (`search.estimator_report`) states what came out, and warns where its estimator cannot be relied on.
    """
    from hwnas.config import load_config
    from hwnas.estimators.comparison import REPORT_FILE, RESULT_FILES
    from hwnas.search.estimator_report import comparison_of_run

    config = load_config(run_file, must_exist=("task",))
    refuse_foreign_directory(out, "reports of estimators", [REPORT_FILE, RESULT_FILES])
    if out.is_dir():
        is_own = is_json_with("schema_version", "networks", "estimators")
        refuse_foreign(out / REPORT_FILE, "reports of estimators", is_own)
    others = [name.strip() for name in estimators.split(",") if name.strip()]
    comparison = comparison_of_run(config, others, networks=networks, most_gmac=most_gmac)
    columns = (
        PlainTextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=err_console) as bar:
        shown = bar.add_task("estimating", total=None)

        def show(done: int, of: int, what: str) -> None:
            bar.update(shown, completed=done, total=of, description=what)

        found = comparison.run(out, workers=workers, progress=show)
    if as_json:
        print_json(found)
        return
    out_console.print(estimator_report_table(found))
    for label, one in found["estimators"].items():
        if one["failed"]:
            out_console.print(f"{label} gave no score to {one['failed']} networks.", highlight=False)
        for warning in one["report"]["warnings"]:
            out_console.print(Text(f"WARNING: {warning}", style="bold red"), soft_wrap=True)


def estimator_report_table(found: dict[str, Any]) -> Table:
    """Return a table of what `Comparison.run` returned."""
    title = f"Kendall tau with full training ({found['full']['cost_s']:.0f} s each)"
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
    for label, one in found["estimators"].items():
        report = one["report"]
        taus = [
            f"{value['tau']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
            for value in (report["rank_correlation"], report["macs"], report["parameters"])
        ]
        before_s = one.get("prepared_s") or 0.0
        table.add_row(
            label,
            *map(Text, taus),
            f"{report['gain_low']:+.2f}",
            f"{report['cost_s']:.2f}",
            f"{before_s:.0f}" if before_s else "",
        )
    return table
