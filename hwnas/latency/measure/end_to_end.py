"""`e2e_ms`: from the points of a scan to their labels, on the target."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.json_values import JsonObject
from hwnas.latency.agent.end_to_end import STAGES, packed
from hwnas.latency.agent.state import throttling
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.retrying import again_when_lost
from hwnas.latency.measure.statistics import median_interval, percentiles
from hwnas.latency.target_state import TargetState
from hwnas.model_files.external_data import sha256_of_model
from hwnas.scan import Scan
from hwnas.text import counted, one_line, with_interval

ATTEMPTS = 3
_MIN_BLOCK = 3


@dataclass(frozen=True, eq=False)
class EndToEndJob:
    """What the end-to-end clock needs beside the network.

    Attributes:
        deployment: of the task, for the network's architecture: projection, normalisation, k-NN, classes.
        scan: a typical one.
        is_trained: whether the network says something of the scan. The time to label points depends on what
            it says: where all neighbours agree there is nothing to vote about. For networks that are not
            trained, neighbours vote over the scan's own labels instead, if it has any.
    """

    deployment: Mapping[str, Any]
    scan: Scan
    is_trained: bool = True


@dataclass(frozen=True)
class EndToEndMeasurement:
    """Time from the points of a scan in memory to their labels, one scan after the other.

    Attributes:
        e2e_ms: median; another clock than `latency_ms`.
        interval_ms: confidence interval of the median over processes.
        confidence: confidence of the interval.
        percentiles_ms: `p90`, `p95`, `p99`; None where the samples are too few to state it.
        stages_ms: medians of `project_ms`, `network_ms` (transfers included) and `label_ms`.
        samples_ms: every sample, one tuple a process.
        num_points: number of points of the scan.
        scan_sha256: SHA-256 of its points.
        kernel: what projected and labelled the points there: `compiled` or `numpy`.
        states: states of the target at the start and the end of every process.
        model_sha256: SHA-256 of the measured file.
        target: the target URL.
        fingerprint: fingerprint of the device, backend and settings.
    """

    e2e_ms: float
    interval_ms: tuple[float, float]
    confidence: float
    percentiles_ms: Mapping[str, float | None]
    stages_ms: Mapping[str, float]
    samples_ms: tuple[tuple[float, ...], ...] = field(repr=False)
    num_points: int
    scan_sha256: str
    kernel: str
    states: tuple[TargetState, ...] = field(repr=False)
    model_sha256: str
    target: str
    fingerprint: JsonObject = field(repr=False)

    def to_json(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Return plain JSON values, raw samples included unless told otherwise."""
        value = asdict(self)
        if not with_samples:
            del value["samples_ms"]
        return value

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            "{} ms ({} to {})".format(*with_interval(self.e2e_ms, self.interval_ms, 4)),
            counted(self.num_points, "point"),
            self.target,
        )


def measure_end_to_end(
    meter: SupportsCommands, model: Path, io_spec: IoSpec, job: EndToEndJob
) -> EndToEndMeasurement:
    """Clock an ONNX file with what comes before and after it, in fresh processes on the meter's target.

    Args:
        meter: of the target; its protocol says how many processes and how long.
        model: the file.
        io_spec: its inputs and outputs.
        job: projection, labels and a scan.

    Raises:
        MeasurementError: as `LatencyMeter.measure`; if the target throttles every time.
    """
    alarms: list[str] = []
    for _ in range(ATTEMPTS):
        runs = [_one_process(meter, model, io_spec, job) for _ in range(meter.protocol.processes)]
        alarms = [what for run in runs for what in throttling(*run.states)]
        if not alarms:
            return _assessed(meter, model, job, runs)
    raise MeasurementError(
        f"A measurement during which the target throttles does not count, but {ATTEMPTS} of {ATTEMPTS} did "
        f"({'; '.join(alarms)}). Cool it, or choose another power mode."
    )


@dataclass(frozen=True)
class ProcessRun:
    """One process: samples by figure, [rounds][samples of a block], states at start and end, kernel."""

    samples: dict[str, list[list[float]]]
    states: tuple[Mapping[str, Any], Mapping[str, Any]]
    kernel: str


@again_when_lost
def _one_process(meter: SupportsCommands, model: Path, io_spec: IoSpec, job: EndToEndJob) -> ProcessRun:
    protocol = meter.protocol
    with meter.alone(model) as (ask, path):
        max_s = max(protocol.max_warmup_s, protocol.warmup_s)
        warmup = ask(
            "start_end_to_end",
            extra_s=max_s,
            model=path,
            io_spec=io_spec.to_json(),
            seed=protocol.seed,
            deployment=dict(job.deployment),
            scan=_packed(job.scan, with_labels=not job.is_trained),
            min_s=protocol.warmup_s,
            max_s=max_s,
            tolerance=protocol.warmup_tolerance,
        )
        start = ask("state")["state"]
        samples = _rounds(ask, float(warmup["median_ms"]), meter)
        return ProcessRun(samples, (start, ask("state")["state"]), str(warmup["kernel"]))


def _rounds(
    ask: Callable[..., Mapping[str, Any]], median_ms: float, meter: SupportsCommands
) -> dict[str, list[list[float]]]:
    """Clock as many blocks as a process's share of the protocol's time allows, but at least its rounds."""
    protocol = meter.protocol
    share_ms = 1000 * protocol.max_s / protocol.processes
    block = min(protocol.max_block_samples, max(_MIN_BLOCK, int(1000 * protocol.block_s / median_ms)))
    rounds = max(protocol.min_rounds, int(share_ms / (block * median_ms)))
    rounds = min(rounds, max(protocol.min_rounds, protocol.max_samples // (block * protocol.processes)))
    found: dict[str, list[list[float]]] = {name: [] for name in ("e2e_ms", *STAGES)}
    for _ in range(rounds):
        for name, samples in ask("end_to_end", extra_s=block * median_ms / 100, count=block).items():
            found[name].append(samples)
    return found


def _assessed(
    meter: SupportsCommands, model: Path, job: EndToEndJob, runs: list[ProcessRun]
) -> EndToEndMeasurement:
    # The first process decides about the size of blocks; of the others as much counts as fits.
    figures = {name: _stacked([run.samples[name] for run in runs]) for name in ("e2e_ms", *STAGES)}
    samples = figures["e2e_ms"]
    return EndToEndMeasurement(
        e2e_ms=float(np.median(samples)),
        interval_ms=median_interval(samples, meter.protocol.confidence),
        confidence=meter.protocol.confidence,
        percentiles_ms=percentiles(samples),
        stages_ms={stage: float(np.median(figures[stage])) for stage in STAGES},
        samples_ms=tuple(tuple(process.ravel().tolist()) for process in samples),
        num_points=len(job.scan),
        scan_sha256=hashlib.sha256(np.ascontiguousarray(job.scan.points).tobytes()).hexdigest(),
        kernel=runs[0].kernel,
        states=tuple(TargetState.from_json(state) for run in runs for state in run.states),
        model_sha256=sha256_of_model(model),
        target=meter.target,
        fingerprint=meter.fingerprint(),
    )


def _stacked(processes: list[list[list[float]]]) -> NDArray[np.float64]:
    """Return [processes, rounds, samples of a block], cut to what all processes have."""
    rounds = min(len(process) for process in processes)
    block = min(len(each) for process in processes for each in process)
    return np.array([[each[:block] for each in process[:rounds]] for process in processes])


def _packed(scan: Scan, *, with_labels: bool) -> dict[str, Any]:
    labels = scan.labels if with_labels else None
    return {
        "labels": None if labels is None else packed(np.ascontiguousarray(labels, np.uint8)),
        "points": packed(np.ascontiguousarray(scan.points, np.float32)),
        "remission": packed(np.ascontiguousarray(scan.remission, np.float32)),
        "ring": None if scan.ring is None else packed(np.ascontiguousarray(scan.ring, np.int32)),
    }
