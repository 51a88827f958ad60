"""`hwnas infer`: a bundle says what is in files; LiDAR bundles label scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import (
    err_console,
    listed_problems,
    out_console,
    print_json,
    say_unchecked,
    transient_bar,
)
from hwnas.cli.options import AsJson, NoCheckScans, Precision, Threads
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import ConfigError, DataError
from hwnas.text import plural, shown
from hwnas.yaml_files.reading import parse_yaml

if TYPE_CHECKING:
    from hwnas.bundle.inference.results import Inference, InferenceStatus


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("infer")(infer)


BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle directory.")]
ScansArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCANS",
        help="Files that the bundle's processor reads (of LiDAR bundles .bin, .pcd, .npy, bags, or "
        "what plug-ins read), and directories of them.",
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(
        "-o", "--out", help="Directory for the results; it mirrors the subdirectories of the inputs."
    ),
]
IdsOption = Annotated[
    str,
    typer.Option(help="LiDAR. raw: ids as in label files. train: indices of classes, 255 for none."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(help="LiDAR. Columns of .bin files, such as x,y,z,intensity,ring; _ skips one."),
]
FormatOptionsOption = Annotated[
    str | None,
    typer.Option(help="LiDAR. Options of the format as in dataset.yaml: '{intensity: i, ring: channel}'."),
]
PictureOption = Annotated[bool, typer.Option("--picture", help="Also draw each input as a PNG file.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace results and pictures that infer wrote.")]


def infer(
    bundle: BundleArgument,
    scans: ScansArgument,
    out: OutOption,
    threads: Threads = 1,
    precision: Precision = "fp32",
    ids: IdsOption = "raw",
    columns: ColumnsOption = None,
    format_options: FormatOptionsOption = None,
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    require_signature: RequireSignature = False,
    picture: PictureOption = False,
    force: ForceOption = False,
    no_check_scans: NoCheckScans = False,
    as_json: AsJson = False,
) -> None:
    """Run a bundle on files: LiDAR bundles write one .label file each, uint32, one id for every point.

    For other bundles, the processor defines what is read and written. Inputs that cannot be used are listed
    at the end; the exit code is then 3. Directories are searched recursively. If one holds a dataset.yaml,
    its scans are read as that file says (format, options, frame, unit, origin, intensity range), and only the
    files that its `scans` names are scans; all others are read like those that the network was trained on.
    Without a dataset.yaml, files named like labels are left out: those in a directory `labels`, and
    NAME.label.npy, NAME_labels.pcd or NAME_lidarseg.bin.
    """
    from hwnas.bundle.bundle import Bundle

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    if no_check_scans:
        say_unchecked()
    with transient_bar("Reading the bundle") as show:

        def on_file(status: InferenceStatus) -> None:
            show(f"Running {plural(status.sample)}", status.number - 1, status.wanted)

        found = Bundle(bundle, trust=trust).infer(
            scans,
            out,
            threads=threads,
            precision=precision,
            ids=ids,
            columns=columns,
            format_options=format_options_of(format_options),
            picture=picture,
            force=force,
            check_scans=not no_check_scans,
            progress=on_file,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    _refuse_problems(found)


def format_options_of(text: str | None) -> dict[str, Any] | None:
    """Return options of the scan format.

    Raises:
        ConfigError: if they are no mapping.
    """
    if text is None:
        return None
    options = parse_yaml(text, "--format-options").value
    if not isinstance(options, dict):
        raise ConfigError(
            f"--format-options takes a mapping such as '{{intensity: i}}', found {shown(options)}."
        )
    return options


def _refuse_problems(found: Inference) -> None:
    """End with what could not be used.

    Raises:
        DataError: if there is something.
    """
    if not found.problems:
        return
    unreadable = sum(problem.is_directory for problem in found.problems)
    failed = len(found.problems) - unreadable
    done = "labelled" if found.ids is not None else "used"
    what = []
    if failed:
        what.append(f"{failed} of {len(found.files) + failed} {plural(found.sample)} could not be {done}")
    if unreadable:
        what.append(f"{unreadable} director{'y' if unreadable == 1 else 'ies'} could not be read")
    problems = listed_problems([problem.message for problem in found.problems])
    raise DataError(f"{' and '.join(what)}:{problems}")


def _show(found: Inference) -> None:
    for file in found.files:
        what = f"in {file.run_ms:.0f} ms"
        if found.ids is not None:
            what = f"{file.facts['points']} points {what}"
        out_console.say(f"{file.result}  {what}")
    for warning, paths in _paths_of_warnings(found).items():
        others = f" (and {len(paths) - 1} more {plural(found.sample)})" if len(paths) > 1 else ""
        text = f"Warning: {paths[0]}{others}: {warning}"
        err_console.say(text)
    if found.left_out:
        text = f"Left out, as no {plural(found.sample)}: {found.left_out[0]}"
        text += f" and {len(found.left_out) - 1} more." if len(found.left_out) > 1 else "."
        err_console.say(text)
    if found.ids is not None and len(found.files) > 1:
        err_console.print(f"{len(found.files)} scans labelled.")


def _paths_of_warnings(found: Inference) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for file in found.files:
        for warning in file.warnings:
            paths.setdefault(warning, []).append(file.path)
    return paths
