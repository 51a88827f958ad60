"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NoCheckScans = Annotated[
    bool,
    typer.Option(
        "--no-check-scans",
        help="Also use scans that contradict the bundle's manifest. Their labels may be wrong, and nothing "
        "tells which.",
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of one inference; 0: all cores.")]
Precision = Annotated[
    str, typer.Option(help="fp32, fp16, int8, mixed, or recommended for the bundle's target.")
]
BundleOption = Annotated[Path, typer.Option("--bundle", "-b", help="Bundle directory.")]
RemoveClass = Annotated[
    list[str] | None,
    typer.Option(help="Class whose points TOPIC/filtered leaves out; may be given several times."),
]
CloudFields = Annotated[
    str | None,
    typer.Option(help="Fields of the clouds: '{intensity: reflectivity, intensity_scale: 0.5}'."),
]
TrainingSteps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Training steps instead of the run file's.")
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N; the run file's choice if not given."),
]
PICK_HELP = "all, knee, a number, latency<=MS, error<=SHARE, or an architecture id."
"""Of `--pick`, see `hwnas.search.picking.choose`."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
