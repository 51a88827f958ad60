"""`hwnas view`: shows scans, labels and errors in rerun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import err_console, listed_problems, out_console, print_json, transient_bar
from hwnas.cli.options import AsJson, Precision, Threads
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import DataError
from hwnas.text import argument, counted

if TYPE_CHECKING:
    from hwnas.viewing import View


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("view")(view)


def view(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="SemanticKITTI directory, directory with dataset.yaml, dataset.yaml, or bag."
        ),
    ],
    bundles: Annotated[
        list[Path] | None,
        typer.Option("--bundle", "-b", help="Bundle whose labels are shown; may be given several times."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write a recording, .rrd, instead of opening a viewer.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test. Default: all scans.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Show every n-th scan.")] = 1,
    most: Annotated[int | None, typer.Option(min=1, help="Maximum number of scans to show.")] = None,
    threads: Threads = 1,
    precision: Precision = "fp32",
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    require_signature: RequireSignature = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a recording.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show scans, their labels, and what bundles make of them, side by side in the viewer of rerun.

    Needs rerun, the extra `view` of hwnas. Scans that a bundle refuses are listed at the end, and the exit
    code is then 3.
    """
    from hwnas.viewing import ViewOptions
    from hwnas.viewing import view as show_scans

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    options = ViewOptions(
        split=split, every=every, most=most, threads=threads, precision=precision, force=force
    )
    with transient_bar("Opening scans and bundles") as show:
        found = show_scans(
            path,
            bundles or (),
            out,
            options,
            trust=trust,
            progress=lambda status: show("Recording scans", status.number, status.wanted),
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    _refuse_problems(found)


def _show(found: View) -> None:
    text = f"{counted(found.scans, 'scan')} of {found.path}"
    text += f", {found.labelled_scans} with labels" if found.labelled_scans else ", without labels"
    out_console.say(
        f"{text}: in the viewer."
        if found.out is None
        else f"{text}: {found.out}; `rerun {argument(found.out)}` opens it."
    )
    for one in found.bundles:
        wrong = f", {one.wrong / one.compared:.1%} of points wrong" if one.compared else ""
        text = f"{one.name}: {counted(one.labelled, 'scan')} labelled{wrong}"
        out_console.say(text)
        if one.why_not_compared:
            text = f"{one.name}: errors are not shown. {one.why_not_compared}"
            err_console.say(text)
        for warning, count in one.warnings.items():
            text = f"Warning ({one.name}, {counted(count, 'scan')}): {warning}"
            err_console.say(text)


def _refuse_problems(found: View) -> None:
    """End with the scans that bundles refused.

    Raises:
        DataError: if there is one.
    """
    refused = [
        f"{one.name}, {scan}: {message}" for one in found.bundles for scan, message in one.refused.items()
    ]
    if refused:
        raise DataError(f"{counted(len(refused), 'scan')} could not be labelled.{listed_problems(refused)}")
