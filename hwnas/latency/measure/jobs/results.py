"""Reads what a measuring job brought back, under the same checks as any other measurement."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwnas.errors import ConfigError, MeasurementError
from hwnas.files import read_plain_file, reason_of, sha256_of_file, write_json_atomically
from hwnas.latency.agent.state import read_identity, read_state, throttling
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.trtexec_flags import RUN_FLAGS_BY_MAJOR, parse_version, read_times, text_of
from hwnas.latency.measure.jobs.job import JOB_FILE, RESULTS, SCHEMA_VERSION, JobSettings
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE
from hwnas.latency.measure.statistics import (
    median_interval,
    percentiles,
    relative_half_width,
    robust_spread,
    slow_share,
)
from hwnas.latency.measurement import LatencyMeasurement, ReferenceMeasurement
from hwnas.latency.transports.reply_forms import Sha256
from hwnas.text import counted, excerpt, one_line

TARGET = "job?backend=trtexec"
_ROUNDS = 5
_MAX_JOB_BYTES, _MAX_TEXT_BYTES, _MAX_REPORT_BYTES = 4 << 20, 1 << 20, 64 << 20
_MAX_CHARACTERS = 20_000
_SUMS = "SHA256SUMS"
_ALWAYS_WRITTEN = ("trtexec.txt", "state-start/uname.txt", "state-end/uname.txt")


class _JobModel(BaseModel):
    file: Annotated[str, Field(pattern=r"^models/[A-Za-z0-9_.-]{1,120}(/[^/]{1,255})?$")]
    sha256: Sha256
    files: Annotated[
        dict[Annotated[str, Field(pattern=r"^models/.{1,4000}$")], Sha256], Field(max_length=100_000)
    ]


class _Job(BaseModel):
    """What a job says of itself; its file travels to a board and back."""

    model_config = ConfigDict(strict=True)

    models: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")], _JobModel], Field(max_length=10_000)
    ]
    settings: JobSettings

    @model_validator(mode="after")
    def _has_reference(self) -> _Job:
        if REFERENCE not in self.models:
            raise ValueError(f"the reference network {REFERENCE!r} is missing")
        return self


@dataclass(frozen=True)
class JobResults:
    """What came back.

    Attributes:
        measurements: by name of the model.
        failures: why a model has none, by name.
    """

    measurements: Mapping[str, LatencyMeasurement]
    failures: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, raw samples included."""
        return {
            "measurements": {name: found.to_json() for name, found in self.measurements.items()},
            "failures": dict(self.failures),
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.measurements), "measurement"),
            counted(len(self.failures), "failure"),
        )


def ingest_job(directory: str | Path) -> JobResults:
    """Check and evaluate the results of a job, and write `measurements.json` beside them.

    Raises:
        MeasurementError: if the directory is no job, was changed, was not run, or its clocks were throttled.
    """
    directory = Path(directory)
    job = _job(directory)
    results = directory / RESULTS
    _check_hashes(directory, job)
    fingerprint = _fingerprint(results)
    alarms = throttling(*(read_state(str(results / name)) for name in ("state-start", "state-end")))
    if alarms:
        raise MeasurementError(
            f"The board throttled while the job ran ({', '.join(alarms)}), so its figures do not count. Cool "
            "it or choose another power mode, remove 'results' and run the job again."
        )
    measurements, failures = {}, {}
    for name, entry in job["models"].items():
        if name == REFERENCE:
            continue
        try:
            measurements[name] = _measurement(results, name, entry["sha256"], job, fingerprint)
        except MeasurementError as error:
            failures[name] = str(error)
    found = JobResults(measurements, failures)
    write_json_atomically(directory / "measurements.json", found.to_json())
    return found


def _job(directory: Path) -> dict[str, Any]:
    try:
        content = read_plain_file(directory / JOB_FILE, _MAX_JOB_BYTES)
        job = json.loads(content)
        version = job["schema_version"] if isinstance(job, dict) else None
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise MeasurementError(
            f"{str(directory)!r} must hold the {JOB_FILE} that 'hwnas bench --emit-job' wrote, but "
            f"{excerpt(str(error))}."
        ) from error
    if version != SCHEMA_VERSION:
        raise MeasurementError(
            f"{JOB_FILE} has schema version {excerpt(version)}, but this hwnas reads "
            f"{SCHEMA_VERSION}. Emit the job again."
        )
    try:
        _Job.model_validate_json(content)
    except (ValidationError, ConfigError) as error:
        raise MeasurementError(
            f"{JOB_FILE} is not what 'hwnas bench --emit-job' wrote: {excerpt(str(error), 500)}. "
            "Emit the job again."
        ) from error
    checked: dict[str, Any] = job
    return checked


def _check_hashes(directory: Path, job: Mapping[str, Any]) -> None:
    """Compare models with the job, and all results with what the board wrote down at the end."""
    for name, entry in job["models"].items():
        is_whole = entry["file"] in entry["files"] and all(
            _is_inside(name) and _has_hash(directory / name, digest)
            for name, digest in entry["files"].items()
        )
        if not is_whole:
            raise MeasurementError(
                f"The model {name!r} of the job was changed; emit the job again and run it."
            )
    results = directory / RESULTS
    stated = _stated_hashes(results)
    for name in _files_below(results):
        if name not in stated:
            raise MeasurementError(
                f"{excerpt(f'{RESULTS}/{name}')} is not among the files that {RESULTS}/{_SUMS} lists, which "
                "the board wrote at the end. Remove it, or copy the directory from the board again."
            )
    for name, digest in stated.items():
        if not _is_inside(name) or not _has_hash(results / name, digest):
            raise MeasurementError(
                f"The report {excerpt(name)} is not what the board wrote; copy the directory again."
            )


def _stated_hashes(results: Path) -> dict[str, str]:
    """Return what the board wrote down at the end: SHA-256 of every file, by its path below `results`."""
    try:
        content = read_plain_file(results / _SUMS, _MAX_REPORT_BYTES)
    except FileNotFoundError as error:
        raise MeasurementError(
            f"The job in {str(results.parent)!r} was not run to its end: {RESULTS}/{_SUMS} is missing. "
            "Run 'sh run.sh' on the board; it goes on where it stopped."
        ) from error
    except OSError as error:
        raise MeasurementError(f"{RESULTS}/{_SUMS} cannot be read: {reason_of(error)}.") from error
    lines = (line.partition("  ") for line in content.decode("utf-8", errors="surrogateescape").splitlines())
    stated = {name.removeprefix("./"): digest for digest, _, name in lines}
    missing = [name for name in _ALWAYS_WRITTEN if name not in stated]
    if missing:
        raise MeasurementError(
            f"{RESULTS}/{_SUMS} must list all that the board wrote, but {', '.join(missing)} is missing. "
            "Copy the directory from the board again."
        )
    return stated


def _files_below(results: Path) -> Iterator[str]:
    """Yield what lies below `results` but directories and the list itself; a link is no directory here."""
    for parent, directories, names in os.walk(results):
        links = [name for name in directories if (Path(parent) / name).is_symlink()]
        for name in sorted((*names, *links)):
            path = (Path(parent) / name).relative_to(results).as_posix()
            if path != _SUMS:
                yield path


def _is_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _has_hash(path: Path, digest: str) -> bool:
    try:
        return sha256_of_file(path) == digest
    except (OSError, ValueError):  # the latter for a zero byte in its name
        return False


def _fingerprint(results: Path) -> dict[str, Any]:
    start, end = (read_identity(str(results / name)) for name in ("state-start", "state-end"))
    changed = {key: (start[key], end[key]) for key in start if start[key] != end[key]}
    if changed:
        raise MeasurementError(
            f"The board was set up differently at start and end: {excerpt(changed, 500)}. Leave power mode "
            "and clocks alone, remove 'results' and run the job again."
        )
    try:
        banner = read_plain_file(results / "trtexec.txt", _MAX_TEXT_BYTES).decode("utf-8", errors="replace")
        version = parse_version(banner)
    except (OSError, AgentError) as error:
        raise MeasurementError(f"The job does not say which trtexec ran it: {error}") from error
    state = results / "state-start"
    return {
        **start,
        "board": _text(state / "proc/device-tree/model"),
        "kernel": _text(state / "uname.txt"),
        "os": _text(state / "etc/os-release"),
        "nvpmodel": _text(state / "nvpmodel.txt"),
        "backend": "trtexec",
        "backend_versions": {"trtexec": text_of(version)},
        "backend_settings": {"clock": "GPU events", "run_flags": list(RUN_FLAGS_BY_MAJOR[version[0]])},
    }


def _measurement(
    results: Path,
    name: str,
    sha256: str,
    job: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
) -> LatencyMeasurement:
    failed = results / f"{name}.failed"
    if failed.is_file():
        raise MeasurementError(f"trtexec refused it: {_text(failed) or 'see its log'}")
    settings = job["settings"]
    runs = range(1, settings["processes"] + 1)
    model = [_times(results / f"{name}.{run}.json", settings) for run in runs]
    reference = [_times(results / f"{REFERENCE}.{name}.{run}.json", settings) for run in runs]
    samples, beside = _blocks(model), _blocks(reference)
    built = _built(results / f"{name}.built")
    protocol = MeasuringProtocol.search()
    everything = np.concatenate([np.array(run) for run in model])
    median_ms = float(np.median(everything))
    interval_ms = _including(median_interval(samples, protocol.confidence), median_ms)
    ratios = np.median(samples, axis=2, keepdims=True) / np.median(beside, axis=2, keepdims=True)
    ratio = float(np.median(ratios))
    ratio_interval = median_interval(ratios, protocol.confidence)
    remark = _remark(model, everything, ratio, ratio_interval, protocol)
    reference_all = np.concatenate([np.array(run) for run in reference])
    reference_ms = float(np.median(reference_all))
    return LatencyMeasurement(
        latency_ms=median_ms,
        interval_ms=interval_ms,
        confidence=protocol.confidence,
        samples_ms=tuple(tuple(run) for run in model),
        percentiles_ms=percentiles(everything),
        is_stable=not remark,
        remark=remark,
        warmup_s=tuple(settings["warmup_ms"] / 1000 for _ in runs),
        model_sha256=sha256,
        target=TARGET,
        fingerprint={**fingerprint, "build": built},
        protocol=dict(settings),
        ratio=ratio,
        ratio_interval=ratio_interval,
        reference=ReferenceMeasurement(
            job["models"][REFERENCE]["sha256"],
            reference_ms,
            _including(median_interval(beside, protocol.confidence), reference_ms),
            tuple(tuple(run) for run in reference),
        ),
    )


def _times(path: Path, settings: Mapping[str, Any]) -> list[float]:
    try:
        content = read_plain_file(path, _MAX_REPORT_BYTES).decode("utf-8", errors="replace")
        samples_ms = read_times(content, settings["warmup_ms"], path.name)
    except FileNotFoundError as error:
        raise MeasurementError(f"The report {path.name} is missing; run the job to its end.") from error
    except OSError as error:
        raise MeasurementError(f"The report {path.name} cannot be read: {error.strerror}.") from error
    except AgentError as error:
        raise MeasurementError(str(error)) from error
    if len(samples_ms) < settings["iterations"]:
        raise MeasurementError(
            f"{path.name} holds {len(samples_ms)} inferences after warm-up, but the job asks for "
            f"{settings['iterations']}; run it again."
        )
    return samples_ms


def _blocks(runs: list[list[float]]) -> NDArray[np.float64]:
    """Return [processes, rounds, samples of a block]: equally many of each run, in order.

    trtexec clocks for a time, so runs differ in length; what exceeds the shortest counts in the median and
    the tails, but not in the interval.
    """
    block = min(len(run) for run in runs) // _ROUNDS
    return np.array([run[: _ROUNDS * block] for run in runs], np.float64).reshape(len(runs), _ROUNDS, block)


def _including(interval: tuple[float, float], value: float) -> tuple[float, float]:
    return min(interval[0], value), max(interval[1], value)


def _remark(
    runs: list[list[float]],
    everything: NDArray[np.float64],
    ratio: float,
    ratio_interval: tuple[float, float],
    protocol: MeasuringProtocol,
) -> str:
    """Return what speaks against relying on the figure, empty if nothing does."""
    spread, slow = robust_spread([np.array(run) for run in runs]), slow_share(everything)
    width = relative_half_width(ratio, ratio_interval)
    remarks = []
    if everything.size < protocol.min_samples:
        remarks.append(f"{everything.size} samples, wished {protocol.min_samples}")
    if spread > protocol.max_spread:
        remarks.append(
            f"robust spread of the samples {spread:.1%}, at most {protocol.max_spread:.1%} is calm"
        )
    if slow > protocol.max_slow_share:
        remarks.append(f"{slow:.0%} of the samples took more than 1.5 medians")
    if width > protocol.max_spread:
        remarks.append(f"interval of the ratio to the reference +-{width:.1%}")
    return "; ".join(remarks)


def _built(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in (_text(path) or "").splitlines())
    return {key: value for key, _, value in pairs if value}


def _text(path: Path) -> str | None:
    try:
        text = read_plain_file(path, _MAX_TEXT_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0 \t\r\n")[:_MAX_CHARACTERS] or None
