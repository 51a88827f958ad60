"""Latency of any ONNX file or bundle on a target, by each of the clocks, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.bundle.runtime.runner import Runner
from hwnas.config import DEFAULT_TARGET
from hwnas.latency.measure.comparison import LatencyComparison
from hwnas.latency.measure.end_to_end import EndToEndJob, EndToEndMeasurement, measure_end_to_end
from hwnas.latency.measure.fixed_rate import (
    DEFAULT_DURATION_S,
    BackgroundModel,
    FixedRateMeasurement,
    measure_fixed_rate,
)
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measure.model_files import model_and_io
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.resources import ResourceUse, measure_resources
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.latency.target import Target

DEFAULT_RATE_HZ = 10.0


def bench(
    model: str | Path,
    target: str | Target = DEFAULT_TARGET,
    *,
    inputs: Sequence[str] = (),
    quick: bool = False,
) -> LatencyMeasurement:
    """Clock a model in a tight loop, by turns with the reference network.

    Args:
        model: an ONNX file, or the directory of a bundle.
        target: the target to measure on, such as `ssh://user@orin?backend=tensorrt`.
        inputs: shapes or values of inputs: `image=1x5x64x512`, `sr=16000`, `image=scan.npy`; shapes are
            needed where an axis is not fixed.
        quick: the protocol of a search: seconds, and a wider interval.

    Raises:
        ConfigError: if the URL is malformed, or `inputs` does not fit the model.
        BundleError: if a directory is no sound bundle.
        MeasurementError: if the model or the target cannot be measured.
    """
    path, io_spec = model_and_io(Path(model), inputs)
    with _meter(target, quick=quick) as meter:
        return meter.measure(path, io_spec)


def bench_pair(
    first: str | Path,
    second: str | Path,
    target: str | Target = DEFAULT_TARGET,
    *,
    inputs: Sequence[str] = (),
    quick: bool = False,
) -> LatencyComparison:
    """Clock two models by turns, and say how many times slower the second one is.

    Args and errors are those of `bench`; `inputs` hold for both.
    """
    subjects = [model_and_io(Path(path), inputs) for path in (first, second)]
    with _meter(target, quick=quick) as meter:
        return meter.compare(subjects[0], subjects[1])


def bench_at_fixed_rate(
    model: str | Path,
    target: str | Target = DEFAULT_TARGET,
    *,
    rate_hz: float = DEFAULT_RATE_HZ,
    duration_s: float | None = None,
    background: tuple[str | Path, float] | None = None,
    inputs: Sequence[str] = (),
    quick: bool = False,
) -> FixedRateMeasurement:
    """Run a model at the rate of a sensor, idle between frames.

    Args:
        model: an ONNX file or a bundle, as of `bench`.
        target: the target to measure on, as of `bench`.
        rate_hz: frames a second.
        duration_s: length of the run; two minutes if None. Where it is given, throttling is reported rather
            than refused.
        background: another model that runs beside it, and its rate in hertz.
        inputs: shapes or values of inputs, as of `bench`.
        quick: whether the protocol of a search suffices, as of `bench`.

    Raises:
        HwnasError: as `bench`.
        TooSlowError: if the model cannot keep up with the rate.
    """
    path, io_spec = model_and_io(Path(model), inputs)
    beside = None
    if background is not None:
        other, other_rate_hz = background
        beside = BackgroundModel(*model_and_io(Path(other)), other_rate_hz)
    with _meter(target, quick=quick) as meter:
        return measure_fixed_rate(
            meter,
            path,
            io_spec,
            rate_hz=rate_hz,
            duration_s=DEFAULT_DURATION_S if duration_s is None else duration_s,
            background=beside,
            discard_throttled=duration_s is None,
        )


def bench_end_to_end(
    bundle: str | Path, scan: str | Path, target: str | Target = DEFAULT_TARGET, *, quick: bool = False
) -> EndToEndMeasurement:
    """Clock a bundle from the points of a scan file to their labels.

    Raises:
        BundleError: if the bundle is damaged, or not one for LiDAR segmentation.
        DataError: if the scan cannot be read.
        MeasurementError: if it cannot be measured.
    """
    with _meter(target, quick=quick) as meter:
        return clock_end_to_end(meter, Path(bundle), Path(scan))


def bench_resources(
    model: str | Path,
    target: str | Target = DEFAULT_TARGET,
    *,
    inputs: Sequence[str] = (),
    quick: bool = False,
) -> ResourceUse:
    """Return what a model costs besides time: memory, loading, sizes, energy of an inference.

    Args and errors are those of `bench`.
    """
    path, io_spec = model_and_io(Path(model), inputs)
    with _meter(target, quick=quick) as meter:
        return measure_resources(meter, path, io_spec)


def clock_end_to_end(meter: AgentMeter, bundle: Path, scan: Path) -> EndToEndMeasurement:
    """Clock a bundle end to end with a meter that is open already; see `bench_end_to_end`."""
    runner = Runner(bundle)
    manifest = runner.manifest
    job = EndToEndJob(manifest.deployment, runner.as_trained(scan))
    return measure_end_to_end(meter, manifest.model_path, manifest.io_spec, job)


def _meter(target: str | Target, *, quick: bool = False) -> AgentMeter:
    protocol = MeasuringProtocol.search() if quick else MeasuringProtocol.final()
    return open_meter(target.url if isinstance(target, Target) else target, protocol)
