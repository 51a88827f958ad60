"""`hwnas bench --emit-job` and `--ingest`: boards that neither SSH nor Python reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.cli.console import out_console, print_json
from hwnas.errors import ConfigError, MeasurementError
from hwnas.text import argument, figure, visible, with_interval

if TYPE_CHECKING:
    from hwnas.latency.measure.jobs.job import JobSettings
    from hwnas.latency.measurement import LatencyMeasurement


def run(models: Sequence[Path], emit_job: Path | None, ingest_from: Path | None, *, as_json: bool) -> None:
    """Do what `--emit-job` or `--ingest` asks for.

    Raises:
        ConfigError: if both are given, or models with `--ingest`.
        HwnasError: see `emit` and `ingest`.
    """
    if emit_job is not None and ingest_from is None:
        emit(models, emit_job, as_json=as_json)
    elif ingest_from is not None and emit_job is None and not models:
        ingest(ingest_from, as_json=as_json)
    else:
        raise ConfigError("Give models with --emit-job, or --ingest alone: it knows the models of its job.")


def emit(
    models: Sequence[Path], directory: Path, *, settings: JobSettings | None = None, as_json: bool
) -> None:
    """Write a job for trtexec and say what to do with it.

    Raises:
        HwnasError: see `hwnas.latency.measure.jobs.job.emit_job`.
    """
    from hwnas.latency.measure.jobs.job import emit_job

    script = emit_job(models, directory, settings=settings)
    if as_json:
        print_json({"directory": str(directory), "script": str(script)})
        return
    out_console.say(
        f"Wrote {directory}. Carry it to the board, run there: sh run.sh\n"
        f"Carry it back, then run: hwnas bench --ingest {argument(directory)}"
    )


def ingest(directory: Path, *, as_json: bool) -> None:
    """Check what a job brought back, print it and write `measurements.json`.

    Raises:
        MeasurementError: see `hwnas.latency.measure.jobs.results.ingest_job`; also if no model was measured.
    """
    from hwnas.latency.measure.jobs.results import ingest_job

    results = ingest_job(directory)
    if as_json:
        print_json(results.to_json())
    else:
        for name, found in results.measurements.items():
            out_console.say(f"{visible(name, keep='')}: {_line(found)}")
        for name, reason in results.failures.items():
            out_console.say(f"{visible(name, keep='')}: not measured: {reason}")
    if not results.measurements:
        raise MeasurementError(
            f"The job in {str(directory)!r} brought no measurement back; see the reasons above."
        )


def _line(found: LatencyMeasurement) -> str:
    median, low, high = with_interval(found.latency_ms, found.interval_ms, 4)
    tail = found.percentiles_ms["p99"]
    shown = "n/a" if tail is None else f"{figure(tail, 4)} ms"
    text = f"{median} ms [{low}, {high}], p99 {shown}"
    if found.ratio is not None and found.ratio_interval is not None:
        ratio, below, above = with_interval(found.ratio, found.ratio_interval, 4)
        text += f", {ratio} [{below}, {above}] of the reference"
    return text + ("" if found.is_stable else f"; not stable: {found.remark}")
