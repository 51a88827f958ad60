"""`hwnas infer`: a bundle says what is in files; LiDAR bundles label scans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import ConfigError, DataError
from hwnas.plain_console import PlainTextColumn
from hwnas.text import plural, shown
from hwnas.yaml_files import parse_yaml

if TYPE_CHECKING:
    from hwnas.bundle.inference.results import Inference, InferenceListener, InferenceStatus

_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("infer")(infer)


def infer(
    bundle: Annotated[Path, typer.Argument(help="Bundle directory.")],
    scans: Annotated[
        list[Path],
        typer.Argument(
            help="Files that the bundle's processor reads (of LiDAR bundles .bin, .pcd, .npy, or what "
            "plug-ins read), and directories of them."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Directory for the results; subdirectories as of the inputs."),
    ],
    threads: Annotated[int, typer.Option(min=0, help="Threads of one inference; 0: all cores.")] = 1,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, mixed, or recommended for the bundle's target.")
    ] = "fp32",
    ids: Annotated[
        str,
        typer.Option(help="LiDAR. raw: ids as in label files. train: indices of classes, 255 for none."),
    ] = "raw",
    columns: Annotated[
        str | None,
        typer.Option(help="LiDAR. Columns of .bin files, such as x,y,z,intensity,ring; _ skips one."),
    ] = None,
    format_options: Annotated[
        str | None,
        typer.Option(
            help="LiDAR. Options of the format as in dataset.yaml: '{intensity: i, ring: channel}'."
        ),
    ] = None,
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    require_signature: RequireSignature = False,
    picture: Annotated[bool, typer.Option("--picture", help="Draw each input as PNG, too.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace results and pictures that infer wrote.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run a bundle on files: LiDAR bundles write one .label file each, uint32, one id for every point.

    For other bundles, the processor defines what is read and written. An input that cannot be used is named
    at the end, and the others are done; the exit code is then 3. Directories are searched with all that is
    below them. If a directory holds a dataset.yaml, its scans are read as that file says (format, options,
    frame, unit, origin, intensity range); others are read as those that the network was trained on.
    """
    from hwnas.bundle.bundle import Bundle

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    with _shown_files() as listener:
        found = Bundle(bundle, trust=trust).infer(
            scans,
            out,
            threads=threads,
            precision=precision,
            ids=ids,
            columns=columns,
            format_options=_format_options(format_options),
            picture=picture,
            force=force,
            progress=listener,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    _refuse_problems(found)


@contextmanager
def _shown_files() -> Iterator[InferenceListener]:
    """Show a bar that goes away."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (
        PlainTextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console, transient=True) as bar:
        task = bar.add_task("Reading the bundle", total=None)

        def show(status: InferenceStatus) -> None:
            description = f"Running {plural(status.sample)}"
            bar.update(task, completed=status.number - 1, total=status.wanted, description=description)

        yield show


def _format_options(text: str | None) -> dict[str, Any] | None:
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
    lines = "".join(f"\n  {problem.message}" for problem in found.problems[:_SHOWN_PROBLEMS])
    more = "\n  ... (--json lists all)" if len(found.problems) > _SHOWN_PROBLEMS else ""
    raise DataError(f"{' and '.join(what)}:{lines}{more}")


def _show(found: Inference) -> None:
    for file in found.files:
        what = f"in {file.run_ms:.0f} ms"
        if found.ids is not None:
            what = f"{file.facts['points']} points {what}"
        out_console.print(f"{file.result}  {what}", markup=False, highlight=False, soft_wrap=True)
    for warning, paths in _paths_of_warnings(found).items():
        others = f" (and {len(paths) - 1} more {plural(found.sample)})" if len(paths) > 1 else ""
        text = f"Warning: {paths[0]}{others}: {warning}"
        err_console.print(text, markup=False, highlight=False, soft_wrap=True)
    if found.ids is not None and len(found.files) > 1:
        err_console.print(f"{len(found.files)} scans labelled.")


def _paths_of_warnings(found: Inference) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for file in found.files:
        for warning in file.warnings:
            paths.setdefault(warning, []).append(file.path)
    return paths
