"""`hwnas verify`: does a bundle hold what its manifest states?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.option_names import with_options
from hwnas.cli.options import AsJson
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import VerificationError
from hwnas.text import with_interval

if TYPE_CHECKING:
    from hwnas.bundle.verification.result import Verification


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("verify")(verify)


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle directory.")],
    data: Annotated[
        str | None, typer.Option(help="Evaluate on this data set instead of the one trained with.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Measure on this target instead of the bundle's.")
    ] = None,
    latency_tolerance: Annotated[
        float,
        typer.Option(min=0.0, help="Largest relative difference of medians that counts as equal."),
    ] = 0.10,
    threads: Annotated[
        int, typer.Option(min=0, help="ONNX threads while evaluating quality; 0: all cores.")
    ] = 1,
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    require_signature: RequireSignature = False,
    as_json: AsJson = False,
) -> None:
    """Check signature, hashes, ONNX against PyTorch, quality and latency; write verification.json."""
    from hwnas.bundle.bundle import Bundle
    from hwnas.bundle.verification.result import VerificationSettings
    from hwnas.run.progress import shown_verification

    settings = VerificationSettings(latency_tolerance=latency_tolerance, threads=threads)
    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    with shown_verification(str(bundle), err_console) as listener:
        verification = Bundle(bundle, trust=trust).verify(
            data=data, target=target, settings=settings, progress=listener
        )
    if as_json:
        print_json(verification.to_json())
    else:
        _print_checks(verification)
    if not verification.passed:
        failed = ", ".join(check.name for check in verification.failed_checks)
        raise VerificationError(
            f"{bundle} does not hold what its manifest states: {failed}. See {bundle / 'verification.json'}."
        )


def _print_checks(verification: Verification) -> None:
    """Print a line for each check; lines, unlike tables, stay whole in logs of any width."""
    marks = {
        True: Text("holds       ", style="green"),
        False: Text("FAILS       ", style="bold red"),
        None: Text("not compared", style="yellow"),
    }
    for check in verification.checks:
        text = f"  {check.name}: {_short(check.found)}"
        if check.expected != check.found:
            text += f", stated {_short(check.expected)}"
        out_console.print(marks[check.passed], end="")
        out_console.say(f"{text} ({check.limit})")
        if check.note:
            out_console.say(f"                {with_options(check.note)}")


def _short(value: object) -> str:
    """Return a cell's text; long evidence stays in verification.json."""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, dict):
        if "latency_ms" in value:
            median, low, high = with_interval(value["latency_ms"], value["interval_ms"], 4)
            return f"{median} ms [{low}, {high}]"
        return f"{len(value)} entries, see verification.json"
    return str(value)
