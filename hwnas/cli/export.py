"""`hwnas export`: trained networks become bundles."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from hwnas.bundle.candidates import Candidate
    from hwnas.bundle.export import TrainedMember
    from hwnas.bundle.precision.measurements import PrecisionSettings

_BOUND = re.compile(r"(latency|error)\s*<=\s*([0-9.]+(?:[eE][-+]?\d+)?)\Z")


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("export")
    def export(
        run: Annotated[Path, typer.Argument(help="Run directory with trained networks.")],
        pick: Annotated[
            str, typer.Option(help="knee, all, latency<=MS, error<=SHARE, or an architecture id.")
        ] = "all",
        out: Annotated[Path | None, typer.Option(help="Where to write bundles [RUN/bundles].")] = None,
        precision: Annotated[
            str, typer.Option(help="Comma-separated: fp32, fp16, int8, mixed; each is evaluated and clocked.")
        ] = "fp32",
        calibration: Annotated[
            str, typer.Option(help="How INT8 ranges are found: min-max, entropy, percentile.")
        ] = "min-max",
        calibration_inputs: Annotated[
            int, typer.Option(min=1, help="Training samples that INT8 ranges are found on.")
        ] = 32,
        quantizer: Annotated[
            str, typer.Option(help="Who writes INT8: onnxruntime, or modelopt (for TensorRT; an extra).")
        ] = "onnxruntime",
        max_fp16_drop: Annotated[float, typer.Option(help="Points of the metric that fp16 may lose.")] = 0.2,
        max_int8_drop: Annotated[
            float, typer.Option(help="Points of the metric that int8 and mixed may lose.")
        ] = 1.0,
        max_class_drop: Annotated[
            float, typer.Option(help="Points that int8 and mixed may lose on any class.")
        ] = 2.0,
        tensorrt: Annotated[
            str | None, typer.Option(help="TensorRT version that must take the graph, such as 10.3.")
        ] = None,
        onnxruntime: Annotated[
            str | None, typer.Option(help="onnxruntime version that must take the graph, such as 1.16.")
        ] = None,
        opset: Annotated[
            int | None, typer.Option(help="ONNX opset of all files [the oldest that each needs].")
        ] = None,
        dialect: Annotated[
            str,
            typer.Option(
                help="Of INT8: tensorrt, onnxruntime, or both, comma-separated [what the export is for: "
                "--tensorrt, --onnxruntime, --engine, --for; else the target]."
            ),
        ] = "",
        engine: Annotated[
            str,
            typer.Option(help="tensorrt (built on the target), rtx (for RTX GPUs; needs none), or none."),
        ] = "none",
        for_: Annotated[
            str, typer.Option("--for", help="Comma-separated: triton, isaac-ros; files that these load.")
        ] = "",
        sign: Annotated[Path | None, typer.Option(help="Key of OpenSSH to sign the manifests with.")] = None,
        *,
        force: Annotated[bool, typer.Option("--force", help="Replace bundles that exist.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    ) -> None:
        """Write trained networks as bundles: ONNX, weights, manifest, measured latency."""
        from hwnas.bundle.candidates import front_of_candidates
        from hwnas.bundle.integrations.choice import parse_integrations

        settings = precision_settings(
            precision,
            calibration,
            quantizer,
            calibration_inputs=calibration_inputs,
            fp16_drop_points=max_fp16_drop,
            int8_drop_points=max_int8_drop,
            class_drop_points=max_class_drop,
        )
        written = export_run(
            run,
            pick=pick,
            out=out,
            force=force,
            tensorrt=tensorrt,
            precision=settings,
            integrations=parse_integrations(for_),
            key=sign,
            engine=engine,
            dialect=dialect,
            onnxruntime=onnxruntime,
            opset=opset,
        )
        candidates = [candidate for bundle in written for candidate in bundle.pop("candidates")]
        front = front_of_candidates(candidates)
        if as_json:
            told = [{**each.to_json(), "on_front": each in front} for each in candidates]
            print_json({"bundles": written, "candidates": told})
            return
        for bundle in written:
            out_console.print(bundle["path"], highlight=False, soft_wrap=True)
            for line in [*bundle["precisions"], *bundle["engines"]]:
                out_console.print(f"  {line}", highlight=False, soft_wrap=True)
            if not bundle["is_stable"]:
                err_console.print(
                    f"The latency of {bundle['architecture_id']} was measured while the target was disturbed "
                    f"({bundle['remark']}); export again with `--force` when it is calm.",
                    highlight=False,
                )
        if len(candidates) > len(written):
            out_console.print(candidates_table(candidates, front))


def candidates_table(candidates: Sequence[Candidate], front: Sequence[Candidate]) -> Table:
    """Return architectures at precisions by latency, those of the front marked."""
    from rich.table import Table

    table = Table(title="Architectures at a precision", title_justify="left")
    metric = candidates[0].metric if candidates else "metric"
    for heading in ("architecture id", "precision", metric, "latency ms", "limits", "on front"):
        table.add_column(heading, justify="right")
    for each in sorted(candidates, key=lambda candidate: candidate.latency_ms):
        limits = "kept" if each.holds else "broken"
        cells = (f"{1 - each.error:.4f}", f"{each.latency_ms:.2f}", limits, "yes" if each in front else "no")
        table.add_row(each.architecture_id, each.precision, *cells)
    return table


def precision_settings(
    precision: str, calibration: str, quantizer: str = "onnxruntime", **limits: float
) -> PrecisionSettings:
    """Return settings from text and limits as `PrecisionSettings` names them.

    Raises:
        ConfigError: if a precision, the calibration or the quantizer is unknown.
    """
    from hwnas.bundle.precision.measurements import QUANTIZERS, PrecisionSettings
    from hwnas.onnx_graphs.precision.calibration import CalibrationMethod
    from hwnas.onnx_graphs.precision.kinds import parse_precisions

    methods = [method.value for method in CalibrationMethod]
    if calibration not in methods:
        raise ConfigError(f"`--calibration` is one of {', '.join(methods)}, but got {calibration!r}.")
    if quantizer not in QUANTIZERS:
        raise ConfigError(f"`--quantizer` is one of {', '.join(QUANTIZERS)}, but got {quantizer!r}.")
    wanted = parse_precisions(precision)
    values: dict[str, Any] = dict(limits)
    return PrecisionSettings(wanted, CalibrationMethod(calibration), quantizer=quantizer, **values)


def export_run(
    run: Path,
    *,
    pick: str,
    out: Path | None,
    force: bool,
    tensorrt: str | None = None,
    precision: PrecisionSettings | None = None,
    integrations: Sequence[str] = (),
    key: Path | None = None,
    engine: str = "none",
    dialect: str = "",
    onnxruntime: str | None = None,
    opset: int | None = None,
) -> list[dict[str, Any]]:
    """Write the picked members of `run` as bundles and return path, error and latency of each.

    Raises:
        StudyError: if nothing was trained there.
        ConfigError: if `pick` names nothing, the target cannot build the engine, or options contradict.
        ExportError: if a bundle exists already or a network cannot be exported.
        MeasurementError: if the target cannot be used.
    """
    from hwnas.bundle.engines import check_engine_choice
    from hwnas.bundle.export import TrainedMember, check_network, export_bundle
    from hwnas.bundle.purpose import purpose_of
    from hwnas.latency.measure.meter import open_meter
    from hwnas.latency.measure.protocol import MeasuringProtocol
    from hwnas.search.run_directory import RunDirectory
    from hwnas.search.run_target import final_target
    from hwnas.search_spaces.base import make_search_space
    from hwnas.tasks.base import make_task

    directory = RunDirectory(run)
    config = directory.load_config()
    target = final_target(config)
    check_engine_choice(engine, target)
    asked: dict[str, Any] = {
        "dialect": dialect,
        "engine": engine,
        "integrations": integrations,
        "tensorrt": tensorrt,
        "onnxruntime": onnxruntime,
        "opset": opset,
        "precision": precision,
    }
    purpose = purpose_of(target, **asked)
    members = [TrainedMember.from_json(entry, run) for entry in directory.read_trained()["members"]]
    picked = pick_members(members, pick)
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    for member in picked:  # all of them before the first is measured
        check_network(task, space, member.architecture, purpose)
    protocol = replace(MeasuringProtocol.final(), **config.measuring.final.overrides())
    meter = open_meter(target, protocol)
    written = []
    try:
        for number, member in enumerate(picked, start=1):
            name = member.architecture.id
            bundle = directory.bundle(name) if out is None else out / name
            with err_console.status(f"Exporting and measuring {name} ({number} of {len(picked)})"):
                export_bundle(
                    task,
                    space,
                    member,
                    bundle,
                    meter=meter,
                    force=force,
                    key=key,
                    builds=config.measuring.final.builds,
                    **asked,
                )
            written.append(_summary(bundle))
    finally:
        meter.close()
    return written


def _summary(bundle: Path) -> dict[str, Any]:
    from hwnas.bundle.candidates import candidates_of
    from hwnas.bundle.manifest import read_manifest

    content = read_manifest(bundle).content
    latency = content["latency"]
    return {
        "path": str(bundle),
        "architecture_id": content["architecture_id"],
        "quality": content["quality"]["value"],
        **{key: latency[key] for key in ("latency_ms", "interval_ms", "is_stable", "remark")},
        "recommended_precision": content["recommended_precision"],
        "recommendation": content["recommendation"],
        "precisions": precision_lines(content),
        "engines": [entry["file"] for entry in content["engines"]],
        "candidates": candidates_of(content),
    }


def precision_lines(content: Mapping[str, Any]) -> list[str]:
    """Return a line about each evaluated precision of a manifest, and one where none of the wanted holds."""
    lines = []
    for name, entry in content["precisions"].items():
        if "evaluation" not in entry:
            continue
        evaluation, speed = entry["evaluation"], entry["speed"]
        clocked = f", {speed['ratio']:.2f} times the latency" if speed else ""
        worst = f" (worst {entry['worst_class']})" if entry["worst_class"] else ""
        line = (
            f"{name}: {evaluation['quality']['metric']} {evaluation['quality']['value']:.4f}, "
            f"{entry['drop_points']:+.2f} points lost{worst}, "
            f"{evaluation['same_decision_share']:.2%} same decisions{clocked}"
        )
        notes = [*entry["remarks"], *(["recommended"] if name == content["recommended_precision"] else [])]
        lines.append(line + (": " + "; ".join(notes) if notes else ""))
    lines += content.get("recommendation", {}).get("remarks", [])
    int8 = content["precisions"].get("int8", {})
    if int8 and not int8["holds"] and "mixed" not in content["precisions"]:
        lines.append("no mixture of INT8 and exact layers keeps the limits either")
    return lines


def pick_members(members: Sequence[TrainedMember], pick: str) -> list[TrainedMember]:
    """Return the members that `pick` names.

    Raises:
        ConfigError: if it names none, or is not one of the known forms.
    """
    chosen = _chosen(members, pick)
    if not chosen:
        known = ", ".join(member.architecture.id for member in members) or "none"
        raise ConfigError(
            f"`--pick {pick}` selects none of the {len(members)} trained networks ({known}). "
            "Give knee, all, latency<=MS, error<=SHARE, or one of these ids."
        )
    return chosen


def _chosen(members: Sequence[TrainedMember], pick: str) -> list[TrainedMember]:
    bound = _BOUND.match(pick)
    if pick == "all":
        return list(members)
    if not bound and pick != "knee":
        return [member for member in members if member.architecture.id == pick]
    measured = [member for member in members if member.latency is not None]
    points = [(member.quality.error, _latency_ms(member) if bound else _cost(member)) for member in measured]
    if bound:
        column, limit = operator.itemgetter(1 if bound[1] == "latency" else 0), float(bound[2])
        return [member for member, point in zip(measured, points, strict=True) if column(point) <= limit]
    from hwnas.pareto import front_indices
    from hwnas.search.front import knee_index

    front = front_indices(points)
    return [measured[front[knee_index([points[index] for index in front])]]] if front else []


def _cost(member: TrainedMember) -> float:
    """Return the second objective of the run that the member comes from."""
    return member.cost if member.cost is not None else _latency_ms(member)


def _latency_ms(member: TrainedMember) -> float:
    return member.latency.latency_ms if member.latency is not None else float("inf")
