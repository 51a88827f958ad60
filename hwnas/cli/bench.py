"""`hwnas bench`: the latency of any ONNX file or bundle under the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.errors import ConfigError
from hwnas.files import write_json_atomically

if TYPE_CHECKING:
    from hwnas.io_spec import IoSpec
    from hwnas.latency.meter import AgentMeter


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench")(bench)


def bench(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL_OR_BUNDLE", help="An ONNX file, or the directory of a bundle.")
    ],
    target: Annotated[
        str, typer.Option(help="Where to measure, such as `ssh://user@orin?runtime=tensorrt`.")
    ] = "local?runtime=onnxruntime-cpu&threads=1",
    compare: Annotated[
        Path | None, typer.Option(help="Another model, clocked by turns: how many times slower is it?")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Shape of an input whose axes are not fixed: image=1x5x64x512."),
    ] = None,
    samples_out: Annotated[
        Path | None, typer.Option(help="Write everything, every sample included, as JSON to this file.")
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="The protocol of a search: seconds, and a wider interval.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure latency on a target: median with interval, ratio to the reference network, tails, stability."""
    from hwnas.latency.meter import AgentMeter, open_meter
    from hwnas.latency.model_files import model_and_io, shapes_from
    from hwnas.latency.protocol import MeasuringProtocol

    if samples_out is not None and not samples_out.parent.is_dir():
        raise ConfigError(f"The samples cannot be written to {samples_out}: its directory does not exist.")
    shapes = shapes_from(inputs or [])
    subjects = [model_and_io(path, shapes) for path in (model, compare) if path is not None]
    protocol = MeasuringProtocol.search() if quick else MeasuringProtocol.final()
    meter = open_meter(target, protocol)
    assert isinstance(meter, AgentMeter)  # noqa: S101 - the only kind that a target opens
    with meter, err_console.status(f"Measuring on {meter.target}"):
        result, show = _measured(meter, subjects)
    if samples_out is not None:
        _write_samples(samples_out, result.to_json())
    if as_json:
        print_json(result.to_json(with_samples=False))
    else:
        out_console.print(show(result))


def _measured(meter: AgentMeter, subjects: list[tuple[Path, IoSpec]]) -> tuple[Any, Any]:
    """Return a measurement or a comparison, and what draws it."""
    from hwnas.cli.latency_tables import comparison_table, measurement_table

    if len(subjects) == 1:
        (path, io_spec) = subjects[0]
        return meter.measure(path, io_spec), lambda found: measurement_table(path, found)
    first, second = subjects
    return meter.compare(first, second), lambda found: comparison_table(first[0], second[0], found)


def _write_samples(path: Path, content: dict[str, Any]) -> None:
    try:
        write_json_atomically(path, content)
    except OSError as error:
        raise ConfigError(f"The samples cannot be written to {path}: {error.strerror}.") from error
