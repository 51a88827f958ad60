"""`hwnas bench`: the latency of any ONNX file or bundle under the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli import bench_jobs
from hwnas.cli.arguments import given_options
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.config import DEFAULT_TARGET
from hwnas.errors import ConfigError
from hwnas.files import is_json_with, refuse_foreign, write_json_atomically


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench")(bench)


ModelsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="MODEL_OR_BUNDLE",
        help="An ONNX file, or the directory of a bundle; several with --emit-job.",
    ),
]
TargetOption = Annotated[
    str, typer.Option(help="Where to measure, such as `ssh://user@orin?backend=tensorrt`.")
]
CompareOption = Annotated[
    Path | None,
    typer.Option(help="Second model, measured alternately with the first; reports the latency ratio."),
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="Shape of an input whose axes are not fixed, or its value: image=1x5x64x512, sr=16000, "
        "image=scan.npy.",
    ),
]
RateHzOption = Annotated[
    float | None, typer.Option(help="Run at the rate of a sensor, idle between frames, for two minutes.")
]
DurationOption = Annotated[
    str | None, typer.Option(help="Run that long at the rate (10 Hz unless given): drift and throttling.")
]
BackgroundOption = Annotated[
    str | None, typer.Option(help="Another model that runs beside it at a rate: detector.onnx@20.")
]
E2eOption = Annotated[
    Path | None, typer.Option(help="A scan file: clock a bundle from its points to their labels.")
]
SamplesOutOption = Annotated[
    Path | None, typer.Option(help="Write everything, every sample included, as JSON to this file.")
]
EmitJobOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="For a board that neither SSH nor Python reaches: write a job for trtexec, to carry there.",
    ),
]
IngestOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Read what such a job brought back, and check it.")
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="The protocol of a search: seconds, and a wider interval.")
]
ResourcesOption = Annotated[
    bool, typer.Option("--resources", help="Memory, load time, sizes, energy of one inference.")
]


_OF_JOBS = ("models", "emit_job", "ingest", "as_json")


def bench(
    context: typer.Context,
    models: ModelsArgument = None,
    target: TargetOption = DEFAULT_TARGET,
    compare: CompareOption = None,
    inputs: InputsOption = None,
    rate_hz: RateHzOption = None,
    duration: DurationOption = None,
    background: BackgroundOption = None,
    e2e: E2eOption = None,
    samples_out: SamplesOutOption = None,
    emit_job: EmitJobOption = None,
    ingest: IngestOption = None,
    *,
    quick: QuickOption = False,
    resources: ResourcesOption = False,
    as_json: AsJson = False,
) -> None:
    """Measure latency on a target: median with interval, ratio to the reference network, tails, stability."""
    if emit_job is not None or ingest is not None:
        given = given_options(context, but=_OF_JOBS)
        if given:
            raise ConfigError(
                f"A job is measured by trtexec, with files of fixed shapes: leave {', '.join(given)} out."
            )
        bench_jobs.run(models or [], emit_job, ingest, as_json=as_json)
        return
    from hwnas.cli.bench_modes import Modes
    from hwnas.latency.target import Target

    if samples_out is not None:
        refuse_foreign(samples_out, "what was measured", _is_measured)
    model = _only(models)
    modes = Modes(rate_hz, duration, background, e2e, resources, compare)
    modes.check()
    with err_console.status(f"Measuring on {Target.parse(target).url}"):
        result, show = modes.measure(model, target, inputs or [], quick=quick)
    if as_json:
        print_json(result.to_json(with_samples=False))
    else:
        out_console.print(show(result))
    if samples_out is not None:  # last: figures are not lost where it cannot be written
        write_json_atomically(samples_out, result.to_json())


def _only(models: list[Path] | None) -> Path:
    if not models or len(models) > 1:
        raise ConfigError(
            f"bench measures one model, but {len(models or [])} were named. Name one, and another with "
            "--compare; several can be measured by one job, see --emit-job."
        )
    return models[0]


def _is_measured(content: bytes) -> bool:
    """Return whether a file holds what `--samples-out` writes: of one clock, of two models, or resources."""
    kinds = (("samples_ms", "fingerprint"), ("first", "second", "ratio"), ("load_cold_s", "load_warm_s"))
    return any(is_json_with(*keys)(content) for keys in kinds)
