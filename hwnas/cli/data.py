"""`hwnas data`: looks at data sets and makes synthetic ones."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import SHOWN_PROBLEMS, err_console, out_console, print_json, write_out
from hwnas.cli.options import AsJson
from hwnas.cli.synthesis import synthesize
from hwnas.data.scan_files.frames import meaning_of_frame
from hwnas.errors import ConfigError, DataError
from hwnas.files import refuse_foreign, write_bytes_atomically
from hwnas.range_view.projection_spec import MAX_WIDTH, MIN_WIDTH
from hwnas.text import counted, visible
from hwnas.yaml_files.writing import dump_yaml

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from hwnas.data.inspection.suggestion import Suggestion

_ROWS_BY_METHOD = {
    "ring": "the ring of each point",
    "beams": "the nearest beam of the sensor",
    "spherical": "elevation",
}
_VARYING = re.compile(r"\S*/\S*|\d[\d.,e+-]*")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    data = typer.Typer(help="Look at data sets and make synthetic ones.", no_args_is_help=True)
    data.command("info")(info)
    data.command("synthesize")(synthesize)
    app.add_typer(data, name="data")


PathArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="SemanticKITTI directory, directory with dataset.yaml, dataset.yaml, or bag."
    ),
]
StrictOption = Annotated[bool, typer.Option(help="Refuse scans with NaN or infinite coordinates.")]
LabelMapOption = Annotated[str | None, typer.Option(help="Name or YAML file of another label map.")]
WidthOption = Annotated[
    int,
    typer.Option(min=MIN_WIDTH, max=MAX_WIDTH, help="Columns of the range image whose losses are counted."),
]
SuggestOption = Annotated[
    bool, typer.Option("--suggest", help="Print a dataset.yaml that corrects what is found.")
]
OutOption = Annotated[
    Path | None, typer.Option("-o", "--out", help="Write what --suggest prints into this file instead.")
]
PictureOption = Annotated[Path | None, typer.Option(help="Draw a scan into this PNG file.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def info(
    path: PathArgument,
    *,
    strict: StrictOption = False,
    label_map: LabelMapOption = None,
    width: WidthOption = MAX_WIDTH,
    suggest: SuggestOption = False,
    out: OutOption = None,
    picture: PictureOption = None,
    force: ForceOption = False,
    as_json: AsJson = False,
) -> None:
    """Read a whole data set and say what is in it and what is odd about it.

    The exit code is 3 if a scan cannot be used, or if a finding is an error: a network trained on such data
    would be wrong. Warnings and notes leave it 0.
    """
    from hwnas.data.inspection.dataset_report import inspect_dataset

    _check_outputs(path, out, picture, suggest=suggest, force=force, as_json=as_json)
    with _progress() as progress:
        bar = progress.add_task("Reading scans", total=None)
        report = inspect_dataset(
            path,
            strict=strict,
            label_map=label_map,
            width=width,
            progress=lambda status: progress.update(bar, completed=status.number, total=status.wanted),
        )
    suggestion = report.suggestion() if suggest else None
    facts = report.to_json()
    if as_json:
        print_json(facts)
    elif suggestion is None or out is not None:
        _print_facts(facts)
        if suggestion is None and any(finding.settings for finding in report.findings):
            _point_to_suggestion(path)
    if suggestion is not None and out is not None:
        _write_suggestion(suggestion, out, force=force)
    elif suggestion is not None:
        _print_suggestion(suggestion)
    if picture is not None:
        write_bytes_atomically(picture, report.picture())
        err_console.print(f"{picture} shows a scan.", highlight=False)
    if not report.is_usable:
        raise typer.Exit(DataError.exit_code)


def _check_outputs(
    path: Path, out: Path | None, picture: Path | None, *, suggest: bool, force: bool, as_json: bool
) -> None:
    """Refuse before a long reading what cannot be written after it."""
    from hwnas.data.datasets.dataset import find_config
    from hwnas.data.inspection.suggestion import refuse_place

    directory, _ = find_config(path)
    if out is not None and not suggest:
        raise ConfigError("--out names the file of --suggest; give both.")
    if suggest and out is None and as_json:
        raise ConfigError("--json and --suggest both print; write the suggestion into a file with --out.")
    if out is not None:
        refuse_place(out, directory, force=force)
    if picture is not None and os.path.lexists(picture):
        from hwnas.data.pictures import is_own_picture

        if not force:
            raise ConfigError(f"{picture} exists already. Give `--force` to replace it, or another name.")
        refuse_foreign(picture, "a picture", is_own_picture)


def _point_to_suggestion(path: Path) -> None:
    """Say how what was found becomes a file; a `dataset.yaml` that is there is not replaced unasked."""
    from hwnas.data import CONFIG_NAME
    from hwnas.data.datasets.dataset import find_config

    directory, _ = find_config(path)
    file = directory / CONFIG_NAME
    if os.path.lexists(file):
        file = directory / "mended.yaml"
    text = f"`hwnas data info {path} --suggest -o {file}` writes these settings."
    out_console.print(text, highlight=False, markup=False)


def _print_suggestion(suggestion: Suggestion) -> None:
    text = suggestion.text
    for name, content in suggestion.files.items():
        text += f"\n# Save this as {name} beside dataset.yaml, without the '# ' (--out does that):\n"
        text += "".join(f"# {line}\n" for line in content.splitlines())
    # A file or a pipe gets the text as it is; a terminal must not obey names in it.
    write_out(visible(text) if sys.stdout.isatty() else text)


def _write_suggestion(suggestion: Suggestion, out: Path, *, force: bool) -> None:
    for beside in suggestion.write(out, force=force):
        err_console.print(f"{beside} describes the sensor; correct it by its data sheet.", highlight=False)
    err_console.print(f"{out} holds the suggestion.", highlight=False)


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
    for finding in facts["findings"]:
        _print_finding(finding)
    groups = _alike(facts["problems"])
    for scans, message in groups[:SHOWN_PROBLEMS]:
        named = scans[0] if len(scans) == 1 else f"{len(scans):,} scans, such as {scans[0]}:"
        out_console.print(Text(visible(named), style="bold red"), end=" ")
        out_console.print(message, highlight=False)
    hidden = sum(len(scans) for scans, _ in groups[SHOWN_PROBLEMS:])
    if hidden:
        out_console.print(f"... and {counted(hidden, 'more scan')} with problems (--json lists all)")


def _alike(problems: list[dict[str, str]]) -> list[tuple[list[str], str]]:
    """Return scans with the same problem, apart from names of files and numbers, and the first message."""
    groups: dict[str, tuple[list[str], str]] = {}
    for problem in problems:
        key = _VARYING.sub("", problem["message"])
        groups.setdefault(key, ([], problem["message"]))[0].append(problem["scan"])
    return list(groups.values())


def _print_finding(finding: dict[str, Any]) -> None:
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow", "note": "bold"}[finding["severity"]]
    out_console.print(Text(f"{finding['severity']}: {finding['kind']}", style=style))
    for text in (finding["message"], finding["remedy"], *_settings(finding["dataset_yaml"])):
        out_console.print(f"  {text}", highlight=False)


def _settings(settings: dict[str, Any]) -> list[str]:
    if not settings:
        return []
    lines = (f"{key}: {dump_yaml(value, on_one_line=True)}" for key, value in settings.items())
    return ["In dataset.yaml: " + "; ".join(lines)]


def _summary(facts: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(show_header=False, title=facts["path"], title_justify="left")
    rows = {
        "Scans": _describe_scans(facts),
        "Points": f"{facts['points']:,}",
        "Splits": "; ".join(f"{name}: {' '.join(names)}" for name, names in facts["splits"].items())
        or "none",
        "Sensor, frame": f"{facts['sensor']}, {facts['frame']} ({meaning_of_frame(facts['frame'])})",
        "Rings": _describe_rings(facts["rings"]),
        "Intensity": _describe_intensity(facts["intensity"]),
        "Farthest point": f"{facts['max_range_m']:.1f} m",
        "Dropped points": "{not_finite:,} NaN or infinite, {no_return:,} without return".format(
            **facts["dropped_points"]
        ),
        **_describe_geometry(facts["geometry"], scans=facts["scans"]),
        **_describe_image(facts["image"], facts["image_problem"]),
        "Problems": _describe_problems(facts),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _describe_scans(facts: dict[str, Any]) -> str:
    if not facts["scans"]:
        return "none can be used"
    usable = "usable" if facts["is_as_described"] else "usable once the first errors below are mended"
    instances = "; the upper 16 bits of labels (instances) are dropped" if facts["have_instances"] else ""
    return f"{facts['scans']:,} {usable}, {facts['unlabelled_scans']:,} of them without labels{instances}"


def _describe_problems(facts: dict[str, Any]) -> str:
    """Count whatever the rest of the page calls a problem, and say where it stands."""
    severities = [finding["severity"] for finding in facts["findings"]]
    image = facts["image"]
    parts = []
    if facts["problems"]:
        parts.append(f"{counted(len(facts['problems']), 'scan')} that cannot be used, below")
    counts = [
        counted(severities.count(name), name) for name in ("error", "warning", "note") if name in severities
    ]
    if counts:
        parts.append(f"{', '.join(counts)} below")
    if image is None or not image["scans"]:
        parts.append("no range image, above")
    elif image["refused_scans"]:
        parts.append(f"{counted(image['refused_scans'], 'scan')} without a range image, above")
    return "; ".join(parts) or "none"


def _describe_geometry(geometry: dict[str, Any] | None, *, scans: int) -> dict[str, str]:
    if geometry is None and not scans:
        return {"Geometry": "not estimated: no scan can be used"}
    if geometry is None:
        return {"Geometry": "not estimated: no scan has 2,000 points"}
    place = geometry["sensor_origin_m"]
    height = geometry["sensor_height_m"]
    beams = f"{geometry['num_beams']} beams" if geometry["num_beams"] else "beams not told apart"
    matches = ", ".join(
        f"{one['sensor']} {one['score']:.0%}" for one in geometry["sensor_matches"] if one["fits"]
    )
    return {
        f"Geometry ({counted(geometry['scans'], 'scan')})": (
            f"{beams}, {geometry['elevation_high_deg']:+.1f} to {geometry['elevation_low_deg']:+.1f} degrees "
            f"of elevation, {geometry['azimuth_coverage_deg']:.0f} degrees around"
        ),
        "Beams meet at": "not found"
        if place is None
        else " ".join(f"{round(axis, 2) + 0.0:.2f}" for axis in place) + " m",
        "Sensor above ground": "no ground found"
        if height is None
        else f"{height:.2f} m, roll {geometry['roll_deg']:.1f}, pitch {geometry['pitch_deg']:.1f} degrees",
        "Tables that fit": matches or "none",
    }


def _describe_image(image: dict[str, Any] | None, problem: str | None) -> dict[str, str]:
    if image is None or not image["scans"]:
        return {"Range image": f"none: {problem or (image and image['problem']) or 'no scan can be used'}"}
    spec, miou = image["projection"], image["oracle_miou"]
    rows = ", ".join(
        f"{_ROWS_BY_METHOD.get(name, name)} ({name}) in {counted(scans, 'scan')}"
        for name, scans in image["scans_by_method"].items()
    )
    refused = ""
    if image["refused_scans"]:
        refused = f"; {counted(image['refused_scans'], 'scan')} cannot be projected: {image['problem']}"
    return {
        f"Range image {spec['height']} x {spec['width']}": (
            f"{image['kept_share']:.1%} of points keep a pixel; {image['points_above']:,} points above and "
            f"{image['points_below']:,} below {spec['fov_up_deg']:g} to {spec['fov_down_deg']:g} degrees "
            f"({image['outside_share']:.2%}); rows by {rows}{refused}"
        ),
        "Oracle with k-NN": "no labels" if miou is None else f"mIoU {miou:.3f}",
    }


def _describe_rings(rings: dict[str, Any]) -> str:
    parts = [
        f"{count} in {counted(scans, 'scan')}" for count, scans in rings["scans_by_number_of_rings"].items()
    ]
    points = rings["mean_points_per_ring"]
    if points:
        parts.append(f"{min(points):,.0f} to {max(points):,.0f} points each (mean over scans)")
    if rings["scans_not_ring_ordered"]:
        parts.append(f"{counted(rings['scans_not_ring_ordered'], 'scan')} whose rings are not recovered")
    return "; ".join(parts) or "unknown"


def _describe_intensity(intensity: dict[str, Any]) -> str:
    stated = "intensity_range is {:g} to {:g}".format(*intensity["stated"])
    found = intensity["found"]
    return stated if found is None else "{:g} to {:g} found, ".format(*found) + stated


def _class_table(facts: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"Classes of {facts['label_map']}", title_justify="left")
    table.add_column("Class")
    for heading in ("Points", "Share of labelled", "Scans"):
        table.add_column(heading, justify="right")
    total = max(sum(entry["points"] for entry in facts["classes"]), 1)
    for entry in facts["classes"]:
        share = f"{100 * entry['points'] / total:.3f} %"
        table.add_row(entry["name"], f"{entry['points']:,}", share, f"{entry['scans']:,}")
    return table
