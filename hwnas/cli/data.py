"""`hwnas data`: looks at data sets and makes synthetic ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.errors import DataError
from hwnas.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    data = typer.Typer(help="Look at data sets and make synthetic ones.", no_args_is_help=True)
    data.command("info")(info)
    data.command("synthesize")(synthesize)
    app.add_typer(data, name="data")


def info(
    path: Annotated[
        Path, typer.Argument(help="SemanticKITTI directory, directory with dataset.yaml, or a dataset.yaml.")
    ],
    *,
    strict: Annotated[bool, typer.Option(help="Refuse scans with NaN or infinite coordinates.")] = False,
    label_map: Annotated[str | None, typer.Option(help="Name or YAML file of another label map.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Read a whole data set and say what is in it; exit code 3 if a scan cannot be used."""
    from hwnas.data.dataset import open_dataset
    from hwnas.data.inspection import inspect_dataset, inspection_json

    source = open_dataset(path, label_map=label_map, strict=strict)
    with _progress() as progress:
        bar = progress.add_task("Reading scans", total=len(source.all_scans))
        found = inspect_dataset(source, lambda number: progress.update(bar, completed=number))
    facts = inspection_json(source, found)
    if as_json:
        print_json(facts)
    else:
        _print_facts(facts)
    if facts["problems"]:
        raise typer.Exit(DataError.exit_code)


def synthesize(
    directory: Annotated[Path, typer.Argument(help="Where the data set goes; must be new or empty.")],
    *,
    scans: Annotated[int, typer.Option(min=1, help="Number of scans.")] = 100,
    sensor: Annotated[str, typer.Option(help="hdl-64e, pandar64 and others, or a YAML file.")] = "hdl-64e",
    scans_per_scene: Annotated[int, typer.Option(min=1, help="Poses along the way through a scene.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scans.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make labelled scans of synthetic driving scenes, in SemanticKITTI's layout."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataError(f"{directory} is not empty; name a new directory, or remove what is there.")
    from hwnas.data.synthetic import synthesize_dataset

    with _progress() as progress:
        bar = progress.add_task("Casting rays", total=scans)
        path = synthesize_dataset(
            directory,
            num_scans=scans,
            sensor=sensor,
            scans_per_scene=scans_per_scene,
            seed=seed,
            workers=workers,
            progress=lambda number: progress.update(bar, completed=number),
        )
    if as_json:
        print_json({"path": str(path), "scans": scans, "sensor": sensor, "seed": seed})
    else:
        out_console.print(
            f"{scans} scans of {sensor} are in {path}; 'hwnas data info {path}' describes them.",
            soft_wrap=True,
        )


def _progress() -> Progress:
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
    )


def _print_facts(facts: dict[str, Any]) -> None:
    from rich.text import Text

    out_console.print(_summary(facts))
    out_console.print(_class_table(facts))
    for problem in facts["problems"][:_SHOWN_PROBLEMS]:
        out_console.print(Text(visible(problem["scan"]), style="bold red"), end=" ")
        out_console.print(problem["message"], highlight=False)
    hidden = len(facts["problems"]) - _SHOWN_PROBLEMS
    if hidden > 0:
        out_console.print(f"... and {hidden} more scans with problems (--json lists all)")


def _summary(facts: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(show_header=False, title=facts["path"], title_justify="left")
    rows = {
        "Scans": f"{facts['scans']:,} usable, {facts['unlabelled_scans']:,} of them without labels",
        "Points": f"{facts['points']:,}",
        "Splits": "; ".join(f"{name}: {' '.join(names)}" for name, names in facts["splits"].items())
        or "none",
        "Sensor, frame": f"{facts['sensor']}, {facts['frame']}",
        "Rings": _describe_rings(facts["rings"]),
        "Intensity": _describe_intensity(facts["intensity"]),
        "Farthest point": f"{facts['max_range_m']:.1f} m",
        "Dropped points": "{not_finite:,} NaN or infinite, {no_return:,} without return".format(
            **facts["dropped_points"]
        ),
        "Problems": str(len(facts["problems"])),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _describe_rings(rings: dict[str, Any]) -> str:
    parts = [f"{count} in {scans:,} scans" for count, scans in rings["scans_by_number_of_rings"].items()]
    points = rings["mean_points_per_ring"]
    if points:
        parts.append(f"{min(points):,.0f} to {max(points):,.0f} points each (mean over scans)")
    if rings["scans_not_ring_ordered"]:
        parts.append(f"{rings['scans_not_ring_ordered']:,} scans not ring-ordered: rows by elevation")
    return "; ".join(parts) or "unknown"


def _describe_intensity(intensity: dict[str, Any]) -> str:
    stated = "{:g} to {:g} stated".format(*intensity["stated"])
    return (
        stated if intensity["found"] is None else "{:g} to {:g} found, ".format(*intensity["found"]) + stated
    )


def _class_table(facts: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"Classes of {facts['label_map']}", title_justify="left")
    table.add_column("Class")
    for heading in ("Points", "Share", "Scans"):
        table.add_column(heading, justify="right")
    total = max(sum(entry["points"] for entry in facts["classes"]), 1)
    for entry in facts["classes"]:
        share = f"{100 * entry['points'] / total:.3f} %"
        table.add_row(entry["name"], f"{entry['points']:,}", share, f"{entry['scans']:,}")
    return table
