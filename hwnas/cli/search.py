"""`hwnas search`: the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hwnas.cli.arguments import counts_of
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.interruption import Interrupted
from hwnas.cli.measurement_tables import latency_cells, objective_heading, print_remarks, print_scope
from hwnas.cli.option_names import with_options
from hwnas.cli.options import AsJson
from hwnas.cli.train import show_members
from hwnas.config import RunConfig, SearchOptions, load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.search.run_directory import RunDirectory
from hwnas.text import argument, figure

if TYPE_CHECKING:
    from hwnas.estimators.report import EstimatorReport
    from hwnas.run.results import SearchSummary
    from hwnas.search.stage_costs import StageCost


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="search")(search)


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run file to start, or the directory of a run to resume.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", help="Directory of the run; beside the run file, named like it, if not given."
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume an existing run.")]
RebaseOption = Annotated[
    bool,
    typer.Option("--rebase", help="With --resume: measure all networks again if the target has changed."),
]
RepairOption = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="With --resume: rebuild what a damaged journal has lost from the records of the trials. "
        "A copy of the damaged one is kept.",
    ),
]
PrescreenOption = Annotated[
    int | None, typer.Option("--prescreen", min=100, help="After the trials, predict this many networks.")
]
FirstStepsOption = Annotated[
    int | None,
    typer.Option(
        "--first-steps",
        min=1,
        help="Training steps of the candidates that the prescreening predictor is fitted on.",
    ),
]
TrainBestOption = Annotated[
    int | None, typer.Option("--train-best", min=1, help="Train this many of the predicted networks.")
]
TrainFullOption = Annotated[
    int | None, typer.Option("--train-full", min=1, help="Train this many of the front in full.")
]
WarmStartOption = Annotated[
    list[Path] | None,
    typer.Option("--warm-start", metavar="RUN", help="Try the front of an earlier run first."),
]
LearnFromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--learn-from",
        metavar="RUN,...",
        help="Begin with what earlier runs found out about networks, on any device, data or sensor.",
    ),
]
FidelitiesOption = Annotated[
    str | None,
    typer.Option(
        "--fidelities",
        metavar="STEPS,...",
        help="Train all candidates for a few steps first, such as 25,75, and only the best for longer.",
    ),
]
ReductionFactorOption = Annotated[
    int | None,
    typer.Option("--reduction-factor", min=2, help="With --fidelities: one in this many is trained longer."),
]
InitialArchitecturesOption = Annotated[
    Path | None,
    typer.Option(
        "--initial-architectures",
        metavar="FILE",
        help="Try the architectures in a file first, in the form that the search space reads.",
    ),
]


def search(
    run: RunArgument,
    out: OutOption = None,
    *,
    resume: ResumeOption = False,
    rebase: RebaseOption = False,
    repair: RepairOption = False,
    prescreen: PrescreenOption = None,
    first_steps: FirstStepsOption = None,
    train_best: TrainBestOption = None,
    train_full: TrainFullOption = None,
    warm_start: WarmStartOption = None,
    learn_from: LearnFromOption = None,
    fidelities: FidelitiesOption = None,
    reduction_factor: ReductionFactorOption = None,
    initial_architectures: InitialArchitecturesOption = None,
    as_json: AsJson = False,
) -> None:
    """Search for accurate and fast networks, until enough candidates are trained.

    With prescreening (`--prescreen`, or `search.prescreening` in the run file) candidates of the strategy
    come first, briefly trained with `--first-steps`; then many networks are predicted, the best of them
    trained, and the best of all trained in full and measured again.
    """
    _refuse_without_resume({"--repair": repair, "--rebase": rebase}, resume=resume)
    config, directory = _config_and_directory(run, out, resume=resume)
    options = SearchOptions(
        prescreen=prescreen,
        first_steps=first_steps,
        train_best=train_best,
        train_full=train_full,
        warm_start=warm_start,
        learn_from=[run for text in learn_from or () for run in _runs_of(text)],
        fidelities=None if fidelities is None else counts_of(fidelities, "--fidelities"),
        reduction_factor=reduction_factor,
        initial_architectures=initial_architectures,
    )
    options.applied_to(config)  # wrong values are told before anything else

    from hwnas.run.run import Run

    if RunDirectory(directory).exists and not resume:
        raise StudyError(
            f"There is a run in {str(directory)!r} already: add --resume to go on with it, or name another "
            "directory with --out."
        )
    if resume and not RunDirectory(directory).exists:
        raise StudyError(f"There is no run in {str(directory)!r} to go on with: leave --resume out.")
    summary = Run(directory, config).search(rebase=rebase, repair=repair, options=options)
    _warn(summary.remarks)
    if as_json:
        _warn(summary.estimator_report.warnings if summary.estimator_report is not None else ())
        print_json(summary.to_json())
    else:
        _show(summary)
        if summary.training is not None:
            show_members(summary.training)
    if summary.is_interrupted:
        raise Interrupted(f"Go on with: hwnas search {argument(directory)} --resume.")


def _runs_of(text: str) -> list[str]:
    """Return the directories that commas separate; one that has a comma in its name is itself."""
    return [text] if Path(text).is_dir() else [part for part in text.split(",") if part]


def _refuse_without_resume(options: Mapping[str, bool], *, resume: bool) -> None:
    for option, is_given in options.items():
        if is_given and not resume:
            raise ConfigError(f"{option} goes with --resume: it is about a run that is there already.")


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


def _show(summary: SearchSummary) -> None:
    """Print the front as a table, and where it lies."""
    front, trials = summary.front, summary.trials
    cost = objective_heading(front)
    table = Table(title="Pareto front after short training", title_justify="left")
    for heading in ("trial", front.metric or "metric", *cost, "latency ms", "interval ms"):
        table.add_column(heading, justify="right")
    table.add_column("genes in which members differ", justify="left")
    for member, differing in zip(front, _differing([each.architecture.genes for each in front]), strict=True):
        table.add_row(
            str(member.trial),
            f"{member.quality.value:.4f}",
            *("n/a" if member.objective is None else figure(member.objective) for _ in cost),
            *latency_cells(member.latency),
            ", ".join(f"{gene} {value}" for gene, value in differing.items()),
        )
    out_console.print(table)
    print_scope(member.quality for member in front)
    print_remarks({f"trial {member.trial}": member.latency for member in front})
    ending = "Interrupted." if summary.is_interrupted else f"Ended because {summary.ending}."
    out_console.say(f"{trials}, {trials.duplicates} repeated; hypervolume {front.hypervolume:.4f}. {ending}")
    for rung in summary.rungs:
        out_console.print(
            f"{rung.stage.capitalize()}, evaluated by {rung.estimator}: {rung.trials}.",
            highlight=False,
        )
    _show_estimator_report(summary.estimator_report)
    if summary.transfer is not None:
        out_console.say(str(summary.transfer))
    out_console.print(_stages_table(summary.stages))
    out_console.say(f"Run directory: {summary.run}")


def _show_estimator_report(report: EstimatorReport | None) -> None:
    """Say how well the errors of candidates rank networks, compared with full training."""
    if report is None:
        out_console.say(
            "How well the estimator ranks the candidates is not known: measure it with `hwnas estimate`, and "
            "name its directory in `search.estimator_report`."
        )
        return
    out_console.say(
        f"Estimator {report.estimator}: Kendall tau with full training {report.rank_correlation}, of MACs "
        f"{report.macs}, of "
        f"parameters {report.parameters}, from {report.rank_correlation.networks} networks."
    )
    for warning in report.warnings:
        out_console.warn(warning)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        err_console.warn(with_options(warning))


def _stages_table(stages: Sequence[StageCost]) -> Table:
    table = Table(title="Cost of the stages, summed over workers", title_justify="left")
    for heading in ("networks", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("stage", justify="left")
    table.add_column("remark", justify="left")
    for stage in stages:
        table.add_row(str(stage.networks or ""), f"{stage.seconds:.1f}", stage.stage, stage.remark)
    return table


def _differing(genes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each architecture the genes that not all of them share."""
    return [
        {gene: value for gene, value in own.items() if any(other.get(gene) != value for other in genes)}
        for own in genes
    ]
