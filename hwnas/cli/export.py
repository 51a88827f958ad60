"""`hwnas export`: trained networks become bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.measurement_tables import print_scope
from hwnas.cli.options import PICK_HELP, AsJson
from hwnas.text import figure

if TYPE_CHECKING:
    from rich.table import Table

    from hwnas.bundle.bundle import Bundle
    from hwnas.bundle.candidates import Candidate


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export")(export)


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory with trained networks.")]
PickOption = Annotated[str, typer.Option(help=PICK_HELP)]
OutOption = Annotated[
    Path | None, typer.Option("-o", "--out", help="Where to write bundles (default: RUN/bundles).")
]
PrecisionOption = Annotated[
    str, typer.Option(help="Comma-separated: fp32, fp16, int8, mixed; each is evaluated and clocked.")
]
CalibrationOption = Annotated[
    str, typer.Option(help="How INT8 ranges are found: min-max, entropy, percentile.")
]
CalibrationInputsOption = Annotated[
    int, typer.Option(min=1, help="Number of training samples to find INT8 ranges on.")
]
QuantizerOption = Annotated[
    str, typer.Option(help="Who writes INT8: onnxruntime, or modelopt (for TensorRT; an extra).")
]
MaxFp16DropOption = Annotated[float, typer.Option(help="Points of the metric that fp16 may lose.")]
MaxInt8DropOption = Annotated[float, typer.Option(help="Points of the metric that int8 and mixed may lose.")]
MaxClassDropOption = Annotated[float, typer.Option(help="Points that int8 and mixed may lose on any class.")]
TensorrtOption = Annotated[
    str | None, typer.Option(help="TensorRT version that must take the graph, such as 10.3.")
]
OnnxruntimeOption = Annotated[
    str | None, typer.Option(help="onnxruntime version that must take the graph, such as 1.16.")
]
OpsetOption = Annotated[
    int | None, typer.Option(help="ONNX opset of all files (default: the oldest that each needs).")
]
DialectOption = Annotated[
    str,
    typer.Option(
        help="Of INT8: tensorrt, onnxruntime, or both, comma-separated (default: what the export is for: "
        "--tensorrt, --onnxruntime, --engine, --for; else the target)."
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(help="tensorrt (built on the target), rtx (for RTX GPUs; needs none), or none."),
]
ForOption = Annotated[
    str, typer.Option("--for", help="Also write files for these, comma-separated: triton, isaac-ros, ros2.")
]
SignOption = Annotated[Path | None, typer.Option(help="OpenSSH key to sign the manifests with.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace bundles that exist.")]


def export(
    run: RunArgument,
    pick: PickOption = "all",
    out: OutOption = None,
    precision: PrecisionOption = "fp32",
    calibration: CalibrationOption = "min-max",
    calibration_inputs: CalibrationInputsOption = 32,
    quantizer: QuantizerOption = "onnxruntime",
    max_fp16_drop: MaxFp16DropOption = 0.2,
    max_int8_drop: MaxInt8DropOption = 1.0,
    max_class_drop: MaxClassDropOption = 2.0,
    tensorrt: TensorrtOption = None,
    onnxruntime: OnnxruntimeOption = None,
    opset: OpsetOption = None,
    dialect: DialectOption = "",
    engine: EngineOption = "none",
    for_: ForOption = "",
    sign: SignOption = None,
    *,
    force: ForceOption = False,
    as_json: AsJson = False,
) -> None:
    """Write trained networks as bundles: ONNX, weights, manifest, measured latency."""
    from hwnas.bundle.candidates import front_of_candidates
    from hwnas.bundle.precision.measurements import PrecisionSettings
    from hwnas.run.progress import shown_export
    from hwnas.run.run import Run

    settings = PrecisionSettings.of(
        precision,
        calibration=calibration,
        quantizer=quantizer,
        calibration_inputs=calibration_inputs,
        fp16_drop_points=max_fp16_drop,
        int8_drop_points=max_int8_drop,
        class_drop_points=max_class_drop,
    )
    with shown_export(err_console) as listener:
        bundles = Run.open(run).export(
            pick,
            out=out,
            force=force,
            tensorrt=tensorrt,
            precision=settings,
            integrations=for_,
            key=sign,
            engine=engine,
            dialect=dialect,
            onnxruntime=onnxruntime,
            opset=opset,
            progress=listener,
        )
    candidates = [candidate for bundle in bundles for candidate in bundle.candidates]
    front = front_of_candidates(candidates)
    if as_json:
        reported = [{**each.to_json(), "on_front": each in front} for each in candidates]
        print_json({"bundles": [_summary(bundle) for bundle in bundles], "candidates": reported})
        return
    for bundle in bundles:
        _show(_summary(bundle))
    print_scope(bundle.quality for bundle in bundles)
    if len(candidates) > len(bundles):
        out_console.print(candidates_table(candidates, front))


def _show(bundle: Mapping[str, Any]) -> None:
    out_console.say(bundle["path"])
    for line in [*bundle["precisions"], *bundle["engines"]]:
        out_console.say(f"  {line}")
    if not bundle["is_stable"]:
        err_console.print(
            f"The latency of {bundle['architecture_id']} was measured while the target was disturbed "
            f"({bundle['remark']}); export again with `--force` when it is calm.",
            highlight=False,
        )


def candidates_table(candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Table:
    """Return architectures at precisions by latency, those of the front marked."""
    from rich.table import Table

    table = Table(title="Architectures at a precision", title_justify="left")
    metric = candidates[0].metric if candidates else "metric"
    for heading in ("architecture id", "precision", metric, "latency ms", "limits", "on front"):
        table.add_column(heading, justify="right")
    for each in sorted(candidates, key=lambda candidate: candidate.latency_ms):
        limits = "kept" if each.holds else "broken"
        cells = (f"{1 - each.error:.4f}", figure(each.latency_ms), limits, "yes" if each in front else "no")
        table.add_row(each.architecture_id, each.precision, *cells)
    return table


def _summary(bundle: Bundle) -> dict[str, Any]:
    content, latency = bundle.manifest.content, bundle.latency
    return {
        "path": str(bundle.path),
        "architecture_id": bundle.architecture_id,
        "quality": bundle.quality.value,
        "latency_ms": latency.latency_ms,
        "interval_ms": list(latency.interval_ms),
        "is_stable": latency.is_stable,
        "remark": latency.remark,
        "recommended_precision": bundle.recommended_precision,
        "recommendation": content["recommendation"],
        "precisions": precision_lines(bundle),
        "engines": [str(path.relative_to(bundle.path)) for path in bundle.engines],
    }


def precision_lines(bundle: Bundle) -> list[str]:
    """Return a line about each precision that was compared with fp32, and what is to be known of all."""
    lines = []
    for stated in bundle.precisions.values():
        if stated.same_decision_share is None:
            continue
        clocked = f", {figure(stated.ratio)} times the latency" if stated.ratio is not None else ""
        worst = f" (worst {stated.worst_class})" if stated.worst_class else ""
        line = (
            f"{stated.name}: {stated.quality.metric} {stated.quality.value:.4f}, "
            f"{stated.drop_points:+.2f} points lost{worst}, "
            f"{stated.same_decision_share:.2%} same decisions{clocked}"
        )
        is_recommended = stated.name == bundle.recommended_precision
        notes = [*stated.remarks, *(["recommended"] if is_recommended else [])]
        lines.append(line + (": " + "; ".join(notes) if notes else ""))
    return [*lines, *bundle.precision_remarks]
