"""`hwnas inspect`: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import out_console, print_json
from hwnas.cli.option_names import with_options
from hwnas.cli.options import AsJson
from hwnas.text import counted, visible

if TYPE_CHECKING:
    from hwnas.latency.engines.inspection import EngineReport
    from hwnas.onnx_graphs.declarations import GraphTensor
    from hwnas.onnx_graphs.inspection import GraphReport


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("inspect")(inspect)


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file, or engine of TensorRT.")],
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Shape or value of an input: image=1x5x64x512, sr=16000, image=scan.npy.",
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also print every layer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is in a model file: layers, operators, work, parameters, precision.

    Work is the number of multiply-accumulates (MACs) of convolutions, products, recurrent layers and
    attention. What cannot be known from the file is said to be unknown, with its operators.

    Of an engine: who wrote it, without a GPU; with --layers and a GPU, its layers. That runs native code
    of the file, so give only engines that you trust.
    """
    from hwnas.latency.engines.inspection import EngineReport, inspect_model

    report = inspect_model(file, inputs or [], load_engine=layers)
    lines = _engine_lines(report) if isinstance(report, EngineReport) else _lines(report, with_layers=layers)
    if as_json:
        print_json(report.to_json())
        return
    for line in lines:
        # Names of a file may hold line ends, too; with them it could show lines that we never wrote.
        out_console.say(visible(line, keep=""))


def _engine_lines(report: EngineReport) -> list[str]:
    lines = [
        f"engine  {report.product} {report.version}, {report.size_bytes / 1e6:.2f} MB",
        f"sha256  {report.sha256}",
    ]
    if report.layers is None:
        return [*lines, f"layers  not known: {with_options(report.why_no_layers)}"]
    lines.append(counted(len(report.layers), "layer"))
    return lines + [f"{layer.get('LayerType', '')!s:<24}{layer.get('Name', '')}" for layer in report.layers]


def _lines(report: GraphReport, *, with_layers: bool) -> list[str]:
    """Return what people read; lines stay whole in logs of any width."""
    lines = [
        f"{kind:<8}{value.name}  {_type(value)}"
        for kind, values in (("input", report.inputs), ("output", report.outputs))
        for value in values
    ]
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in report.opsets.items())
    lines.append(f"opsets  {opsets}")
    work = _work(report.known_macs)
    if report.macs is None:
        work = f"at least {work}" if report.known_macs else "MACs unknown"
    lines.append(
        f"{counted(len(report.layers), 'layer')}, {work}, {report.parameters:,} parameters, "
        f"{report.size_bytes / 1e6:.2f} MB"
    )
    if report.macs is None:
        lines.append(f"unknown: {report.unknown_text}")
    lines += [f"note    {with_options(note)}" for note in report.notes]
    for precision, macs in report.macs_by_precision.items():
        known = "" if report.macs is not None else "known "
        lines.append(f"  {precision:<9}{macs / max(report.known_macs, 1):7.1%} of the {known}MACs")
    lines.append("  ".join(f"{name} {count}" for name, count in report.operators.items()))
    if with_layers:
        lines += [
            f"{layer.precision:<9}{layer.operator:<16}{'x'.join(map(str, layer.output_shape)):<18}"
            f"{_layer_work(layer.macs)}{layer.parameters:>10,} parameters  {layer.name}"
            for layer in report.layers
        ]
    return lines


def _type(value: GraphTensor) -> str:
    """Return type and shape; the name of a type that is no tensor says all of it."""
    from hwnas.onnx_graphs.declarations import written_shape

    return value.dtype if "(" in value.dtype else f"{value.dtype} {written_shape(value.shape)}"


def _work(macs: int) -> str:
    """Return work for people; that of small networks is not rounded to nothing."""
    return f"{macs / 1e6:,.1f} M MACs" if macs >= 100_000 else f"{macs:,} MACs"


def _layer_work(macs: int | None) -> str:
    return f"{'unknown':>10} MACs  " if macs is None else f"{macs / 1e6:>10,.2f} M MACs"
