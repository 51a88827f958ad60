"""`hwnas inspect`: what is in a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import out_console, print_json

if TYPE_CHECKING:
    from hwnas.latency.engine_inspection import EngineReport
    from hwnas.onnx_graphs.inspection import GraphReport


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("inspect")
    def inspect(
        file: Annotated[Path, typer.Argument(help="ONNX file, or engine of TensorRT.")],
        *,
        layers: Annotated[bool, typer.Option("--layers", help="Print every layer, too.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    ) -> None:
        """Say what is in a model file: layers, operators, work, parameters, precision.

        Of an engine: who wrote it, without a GPU; with --layers and a GPU, its layers. That runs native code
        of the file, so give only engines that you trust.
        """
        from hwnas.latency.engine_inspection import inspect_engine, is_engine
        from hwnas.onnx_graphs.inspection import inspect_onnx

        report: EngineReport | GraphReport
        if is_engine(file):
            report = inspect_engine(file, with_layers=layers)
            lines = _engine_lines(report)
        else:
            report = inspect_onnx(file)
            lines = _lines(report, with_layers=layers)
        if as_json:
            print_json(report.to_json())
            return
        for line in lines:
            out_console.print(line, highlight=False, soft_wrap=True)


def _engine_lines(report: EngineReport) -> list[str]:
    lines = [
        f"engine  {report.product} {report.version}, {report.size_bytes / 1e6:.2f} MB",
        f"sha256  {report.sha256}",
    ]
    if report.layers is None:
        return [*lines, f"layers  not known: {report.why_no_layers}"]
    lines.append(f"{len(report.layers)} layers")
    return lines + [f"{layer.get('LayerType', '')!s:<24}{layer.get('Name', '')}" for layer in report.layers]


def _lines(report: GraphReport, *, with_layers: bool) -> list[str]:
    """Return what people read; lines stay whole in logs of any width."""
    lines = [
        f"{kind:<8}{value['name']}  {value['dtype']} {value['shape']}"
        for kind, values in (("input", report.inputs), ("output", report.outputs))
        for value in values
    ]
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in report.opsets.items())
    lines.append(f"opsets  {opsets}")
    lines.append(
        f"{len(report.layers)} layers, {report.macs / 1e6:,.1f} M MACs, "
        f"{report.parameters:,} parameters, {report.size_bytes / 1e6:.2f} MB"
    )
    for precision, macs in report.macs_by_precision.items():
        lines.append(f"  {precision:<9}{macs / max(report.macs, 1):7.1%} of the MACs")
    lines.append("  ".join(f"{name} {count}" for name, count in report.operators.items()))
    if with_layers:
        lines += [
            f"{layer.precision:<9}{layer.operator:<16}{'x'.join(map(str, layer.output_shape)):<18}"
            f"{layer.macs / 1e6:>10,.2f} M MACs{layer.parameters:>10,} parameters  {layer.name}"
            for layer in report.layers
        ]
    return lines
