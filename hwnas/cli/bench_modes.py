"""The modes of `hwnas bench` beside the tight loop: paced, with a background load, and end to end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hwnas.errors import ConfigError, MeasurementError
from hwnas.io_spec import IoSpec

if TYPE_CHECKING:
    from hwnas.latency.end_to_end import EndToEndMeasurement
    from hwnas.latency.meter import AgentMeter
    from hwnas.latency.paced import BackgroundModel, PacedMeasurement

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9.]+)\s*([a-z]*)")
_SHOWN_LINES = 5


def seconds_of(text: str) -> float:
    """Return the seconds of such as `90`, `90s`, `20m` or `1h`.

    Raises:
        ConfigError: if it is no such duration, or not positive.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS_S or not _is_positive(match[1]):
        raise ConfigError(f"--duration is written like 90s, 20m or 1h, but got {text!r}.")
    return float(match[1]) * _UNITS_S[match[2]]


def background_of(text: str) -> BackgroundModel:
    """Return the model and the rate of such as `detector.onnx@20`, the unit `hz` being optional.

    Raises:
        ConfigError: if it is not a file, `@` and a positive number.
        MeasurementError: if the file is no ONNX model.
    """
    from hwnas.latency.paced import BackgroundModel

    path, sign, rate = text.rpartition("@")
    rate = rate.strip().lower().removesuffix("hz").strip()
    if not sign or not path or not _is_positive(rate):
        raise ConfigError(f"--background is written like detector.onnx@20, but got {text!r}.")
    return BackgroundModel(Path(path), io_spec_of(Path(path)), float(rate))


def io_spec_of(model: Path) -> IoSpec:
    """Return inputs and outputs of any ONNX file.

    Raises:
        MeasurementError: if the file is missing, no ONNX model, or an axis of an input is not fixed.
    """
    from hwnas.latency.agent.errors import AgentError
    from hwnas.latency.runtimes.onnx_file import read_outline

    if not model.is_file():
        raise MeasurementError(f"The model {model} does not exist.")
    try:
        outline = read_outline(str(model))
    except AgentError as error:
        raise MeasurementError(str(error)) from error
    dynamic = [spec.name for spec in outline.inputs if any(axis < 1 for axis in spec.shape)]
    if dynamic:
        raise MeasurementError(
            f"Inputs must have fixed shapes to be measured, but {dynamic} of {model} have not. "
            "Export the model with static shapes."
        )
    return IoSpec(tuple(outline.inputs), tuple(outline.outputs))


def clock_end_to_end(meter: AgentMeter, bundle: Path, scan: Path) -> EndToEndMeasurement:
    """Clock a bundle from the points of a scan file to their labels.

    Raises:
        BundleError: if the bundle is damaged, or not one for LiDAR segmentation.
        DataError: if the scan cannot be read.
        MeasurementError: if it cannot be measured.
    """
    from hwnas.latency.end_to_end import EndToEndJob, measure_end_to_end
    from hwnas.runtime.runner import Runner

    runner = Runner.open(bundle)
    manifest = runner.manifest
    job = EndToEndJob(manifest.deployment, runner.as_trained(scan))
    return measure_end_to_end(meter, manifest.model_path, manifest.io_spec, job)


def paced_table(found: PacedMeasurement) -> Table:
    """Return a paced run for people."""
    table = Table(title=f"Paced at {found.rate_hz:g} Hz for {found.duration_s:g} s", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in _paced_rows(found):
        table.add_row(name, value)
    return table


def end_to_end_table(found: EndToEndMeasurement) -> Table:
    """Return an end-to-end measurement for people."""
    table = Table(title=f"From {found.num_points} points to their labels", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    low, high = found.interval_ms
    table.add_row("e2e_ms, median", f"{found.e2e_ms:.2f} ({low:.2f} to {high:.2f})")
    for stage, value in found.stages_ms.items():
        table.add_row(f"  of it {stage}", f"{value:.2f}")
    for name, tail in found.percentiles_ms.items():
        table.add_row(f"e2e_ms, {name}", _or_not_available(tail))
    return table


def _paced_rows(found: PacedMeasurement) -> list[tuple[str, str]]:
    rate = f"@{found.rate_hz:g}hz"
    rows = [(f"median_ms{rate}", f"{found.latency_ms:.2f}")]
    rows += [(f"{name}_ms{rate}", _or_not_available(tail)) for name, tail in found.percentiles_ms.items()]
    rows += [
        ("slowest, ms", f"{found.worst_ms:.2f}"),
        ("ended after the next frame came", f"{found.missed} of {len(found.samples_ms)}"),
        ("frames dropped", str(found.dropped)),
        ("drift, last tenth against first", f"{found.drift:+.1%}"),
    ]
    rows += [("throttled", alarm) for alarm in found.throttling[:_SHOWN_LINES]] or [("throttled", "no")]
    if found.background is not None:
        ran: Any = found.background
        rows.append(("background", f"{ran['achieved_hz']:.1f} of {ran['rate_hz']:g} Hz"))
    return rows


def _or_not_available(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
