"""`hwnas doctor`: what can a target measure and build, and what is wrong with it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.errors import MeasurementError

if TYPE_CHECKING:
    from hwnas.latency.doctor.checks import Diagnosis

_QUICK_S, _FULL_S = 3.0, 30.0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("doctor")
    def doctor(
        target: Annotated[
            str, typer.Option(help="Target, such as local or ssh://user@board?backend=tensorrt.")
        ] = ("local"),
        *,
        quick: Annotated[
            bool, typer.Option("--quick", help="Watch the noise for 3 s in place of 30 s.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print findings and facts as JSON.")] = False,
    ) -> None:
        """Say what a target can measure and build, what is wrong with it, and what to do about it."""
        with err_console.status(f"Looking at {target}"):
            diagnosis = examine(target, _QUICK_S if quick else _FULL_S)
        if as_json:
            print_json(diagnosis.to_json())
        else:
            _print_findings(diagnosis)
        if not diagnosis.is_usable:
            raise MeasurementError(
                f"Nothing can be measured on {diagnosis.target!r}; see the problems above."
            )


def examine(target_url: str, noise_s: float) -> Diagnosis:
    """Look at a target, and repeat the reference network on it for `noise_s` seconds.

    Raises:
        ConfigError: if the URL is malformed.
        PluginError: if no backend of that name is installed.
        MeasurementError: if no agent can be started on the target.
    """
    from pathlib import Path

    from hwnas.latency.doctor.checks import diagnose, inspect_target, try_backend
    from hwnas.latency.doctor.noise import measure_noise
    from hwnas.latency.measure.reference import REFERENCE_IO, write_reference
    from hwnas.latency.target import Target
    from hwnas.latency.transports.opening import open_transport
    from hwnas.scratch import ScratchDirectory

    target = Target.parse(target_url)
    transport = open_transport(target)
    try:
        facts = inspect_target(transport)
        noise = None
        with ScratchDirectory("doctor") as directory:
            model = Path(directory) / "reference.onnx"
            write_reference(model)
            refusal = try_backend(transport, target, model, REFERENCE_IO)
            if not refusal:
                noise = measure_noise(transport, target, model, REFERENCE_IO, noise_s)
    finally:
        transport.close()
    return diagnose(target, facts, refusal, noise)


def _print_findings(diagnosis: Diagnosis) -> None:
    """Print a line for each finding; lines, unlike tables, stay whole in logs of any width."""
    marks = {
        "ok": Text("ok      ", style="green"),
        "warn": Text("warning ", style="yellow"),
        "problem": Text("PROBLEM ", style="bold red"),
    }
    for finding in diagnosis.findings:
        out_console.print(marks[finding.level], end="")
        text = f"{finding.check}: {finding.found}"
        out_console.print(text, highlight=False, soft_wrap=True)
        if finding.advice:
            out_console.print(f"        -> {finding.advice}", highlight=False, soft_wrap=True)
