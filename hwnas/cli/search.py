"""`hwnas search`: the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import cost_heading, mark, print_remarks
from hwnas.cli.train import show_members, watched_training
from hwnas.config import PrescreeningSection, RunConfig, load_config, parse_config
from hwnas.errors import ConfigError, StudyError
from hwnas.search.run_directory import RunDirectory

if TYPE_CHECKING:
    from hwnas.search.driver import SearchResult

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="search")(search)


def search(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run file to start, or the directory of a run to resume.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Directory of the run; beside the run file, named like it, if not given."),
    ] = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    rebase: Annotated[
        bool,
        typer.Option(
            "--rebase", help="With --resume: measure all networks again if the target is not what it was."
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="With --resume: rebuild what a damaged journal has lost from the records of the trials. "
            "A copy of the damaged one is kept.",
        ),
    ] = False,
    prescreen: Annotated[
        int | None, typer.Option("--prescreen", min=100, help="Then predict so many networks.")
    ] = None,
    first_steps: Annotated[
        int | None,
        typer.Option(
            "--first-steps",
            min=1,
            help="Train the candidates that prescreening learns from for so few steps.",
        ),
    ] = None,
    train_best: Annotated[
        int | None, typer.Option("--train-best", min=1, help="Train so many of those predicted.")
    ] = None,
    train_full: Annotated[
        int | None, typer.Option("--train-full", min=1, help="Train so many of the front in full.")
    ] = None,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option("--warm-start", metavar="RUN", help="Try the front of an earlier run first."),
    ] = None,
    fidelities: Annotated[
        str | None,
        typer.Option(
            "--fidelities",
            metavar="STEPS,...",
            help="Train all candidates for so few steps first, such as 25,75, and the best of them longer.",
        ),
    ] = None,
    reduction_factor: Annotated[
        int | None,
        typer.Option(
            "--reduction-factor", min=2, help="With --fidelities: one of so many is trained longer."
        ),
    ] = None,
    initial_architectures: Annotated[
        Path | None,
        typer.Option(
            "--initial-architectures",
            metavar="FILE",
            help="Try the cells in a file first (space nas-cell): one a line, as strings.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for accurate and fast networks, until enough candidates are trained.

    With prescreening (`--prescreen`, or `search.prescreening` in the run file) candidates of the strategy
    come first, briefly trained with `--first-steps`; then many networks are predicted, the best of them
    trained, and the best of all trained in full and measured again.
    """
    _refuse_without_resume({"--repair": repair, "--rebase": rebase}, resume=resume)
    config, directory = _config_and_directory(run, out, resume=resume)
    if warm_start:
        others = [str(other.resolve()) for other in warm_start]
        config = config.model_copy(update={"search": config.search.model_copy(update={"warm_start": others})})
    if initial_architectures is not None:
        search_with = config.search.model_copy(
            update={"initial_architectures": str(initial_architectures.resolve())}
        )
        config = config.model_copy(update={"search": search_with})
    config = _with_fidelities(config, fidelities, reduction_factor)
    config = _with_prescreening(
        config, first_steps, networks=prescreen, train_best=train_best, train_full=train_full
    )

    from hwnas.search.driver import search as run_search
    from hwnas.search.progress import watched

    with watched(err_console) as listener:
        result = run_search(config, directory, resume=resume, rebase=rebase, repair=repair, progress=listener)
    _warn(result.remarks)
    trained = None
    full = config.search.prescreening.train_full if config.search.prescreening is not None else None
    if full is not None and not result.interrupted:
        from hwnas.search.full_training import train_front

        err_console.print(f"Training {full} of the front in full.")
        with watched_training() as listener:
            trained = train_front(directory, pick=full, progress=listener)
        result = replace(result, interrupted=trained.interrupted)
    if as_json:
        _warn(result.estimator_report.warnings if result.estimator_report is not None else ())
        print_json(result.to_json() | ({"full_training": trained.trained} if trained is not None else {}))
    else:
        _show(result)
    if trained is not None and not as_json:
        show_members(trained)
    if result.interrupted:
        err_console.print(f"Interrupted. Go on with: hwnas search {directory} --resume", soft_wrap=True)
        raise typer.Exit(INTERRUPTED)


def _refuse_without_resume(options: Mapping[str, bool], *, resume: bool) -> None:
    for option, is_given in options.items():
        if is_given and not resume:
            raise ConfigError(f"{option} goes with --resume: it is about a run that is there already.")


def _with_prescreening(config: RunConfig, first_steps: int | None, **changes: int | None) -> RunConfig:
    """Return the run with the settings that the command line gives to prescreening."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given and first_steps is None:
        return config
    whole = config.model_dump(mode="json")
    whole["search"]["prescreening"] = {
        **(config.search.prescreening or PrescreeningSection()).model_dump(),
        **given,
    }
    if first_steps is not None:
        whole["search"]["first_estimator"] = {"name": "training", "steps": first_steps}
    return parse_config(whole)


def _with_fidelities(config: RunConfig, steps: str | None, reduction_factor: int | None) -> RunConfig:
    """Return the run with lengths of training of the command line."""
    if steps is None and reduction_factor is None:
        return config
    section = config.search.fidelities
    given: dict[str, Any] = section.model_dump() if section is not None else {}
    if steps is not None:
        numbers = [part.strip() for part in steps.split(",")]
        if not all(number.isdecimal() for number in numbers):
            raise ConfigError(f"--fidelities takes numbers of steps, such as 25,75, but got {steps!r}.")
        given["steps"] = [int(number) for number in numbers]
    elif section is None:
        raise ConfigError(
            "--reduction-factor goes with --fidelities, or with search.fidelities in the run file."
        )
    if reduction_factor is not None:
        given["reduction_factor"] = reduction_factor
    whole = config.model_dump(mode="json")
    whole["search"]["fidelities"] = given
    return parse_config(whole)


def _config_and_directory(run: Path, out: Path | None, *, resume: bool) -> tuple[RunConfig, Path]:
    if not run.is_dir():
        return load_config(
            run, must_exist=("task", "search", "measuring")
        ), out if out is not None else run.with_suffix("")
    if not RunDirectory(run).exists:
        raise StudyError(
            f"{str(run)!r} is a directory, but there is no run in it: it has no run.yaml. Name a run file to "
            "start a run, or the directory of a run with --resume."
        )
    if out is not None and out.resolve() != run.resolve():
        raise ConfigError(f"--out goes with a run file, but {str(run)!r} is the directory of a run.")
    if not resume:
        raise ConfigError(
            f"{str(run)!r} is the directory of a run: add --resume to go on with it, or name a run file."
        )
    return RunDirectory(run).load_config(), run


def _show(result: SearchResult) -> None:
    """Print the front as a table, and where it lies."""
    members: list[dict[str, Any]] = result.front["members"]
    cost = cost_heading(result.front)
    metric = members[0]["quality"]["metric"] if members else "metric"
    table = Table(title="Pareto front, candidates on the budget of the search", title_justify="left")
    for heading in ("trial", metric, *cost, "latency ms", "interval ms"):
        table.add_column(heading, justify="right")
    table.add_column("genes in which members differ", justify="left")
    genes = [member["architecture"]["genes"] for member in members]
    for member, differing in zip(members, _differing(genes), strict=True):
        low, high = member["latency"]["interval_ms"]
        table.add_row(
            str(member["trial"]),
            f"{member['quality']['value']:.4f}",
            *(f"{member['cost']:.2f}" for _ in cost),
            f"{member['latency_ms']:.2f}{mark(member['latency'])}",
            f"{low:.2f} to {high:.2f}",
            ", ".join(f"{gene} {value}" for gene, value in differing.items()),
        )
    summary = result.to_json()
    out_console.print(table)
    print_remarks({f"trial {member['trial']}": member["latency"] for member in members})
    out_console.print(
        f"{summary['trained']} trained, {summary['infeasible']} over the budget, {summary['failed']} failed, "
        f"{summary['duplicates']} repeated; hypervolume {summary['hypervolume']:.4f}. "
        f"Ended because {result.ending}."
        if not result.interrupted
        else "Interrupted.",
        soft_wrap=True,
        highlight=False,
    )
    for rung in result.rungs:
        out_console.print(
            f"{rung['stage'].capitalize()}, evaluated by {rung['estimator']}: {rung['trained']} trained, "
            f"{rung['infeasible']} over the budget, {rung['failed']} failed.",
            highlight=False,
        )
    _show_estimator_report(result)
    out_console.print(_stages_table(summary["stages"]))
    out_console.print(f"Run directory: {result.run}", soft_wrap=True, highlight=False)


def _show_estimator_report(result: SearchResult) -> None:
    """Say how far errors of candidates order networks as full training would."""
    if result.estimator_report is None:
        out_console.print(
            "How far candidates are ordered as full training would order them is not known: `hwnas estimate` "
            "finds out, and `search.estimator_report` names what it found.",
            soft_wrap=True,
            highlight=False,
        )
        return
    report = result.estimator_report
    out_console.print(
        f"Estimator {report.estimator}: Kendall tau with full training {report.rank_correlation}, of MACs "
        f"{report.macs}, of "
        f"parameters {report.parameters}, from {report.rank_correlation.networks} networks.",
        soft_wrap=True,
        highlight=False,
    )
    for warning in report.warnings:
        out_console.print(Text(f"WARNING: {warning}", style="bold red"), soft_wrap=True)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        err_console.print(Text(f"WARNING: {warning}", style="bold red"), soft_wrap=True)


def _stages_table(stages: list[dict[str, Any]]) -> Table:
    table = Table(title="Cost of the stages, summed over workers", title_justify="left")
    for heading in ("networks", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("stage", justify="left")
    table.add_column("remark", justify="left")
    for stage in stages:
        networks = str(stage["networks"] or "")
        table.add_row(networks, f"{stage['seconds']:.1f}", stage["stage"], stage["remark"])
    return table


def _differing(genes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each architecture the genes that not all of them share."""
    return [
        {gene: value for gene, value in own.items() if any(other.get(gene) != value for other in genes)}
        for own in genes
    ]
