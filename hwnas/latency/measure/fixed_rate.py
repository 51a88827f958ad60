"""A network at the rate of a sensor: idle between frames, for as long as one likes, alone or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import ConfigError, MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.json_values import JsonObject
from hwnas.latency.agent.state import throttling
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.retrying import again_when_lost
from hwnas.latency.measure.statistics import percentiles
from hwnas.latency.target_state import TimedState
from hwnas.model_files.external_data import sha256_of_model
from hwnas.text import figure, one_line

DEFAULT_DURATION_S = 120.0
ATTEMPTS = 3
MAX_RATE_HZ = 1000.0
_CHUNK_S = 10.0
_SETTLING_S = 2.0
_WINDOWS = 10

FixedRateListener = Callable[[float, float], None]
"""Is told the seconds that are over and those that are wanted."""


@dataclass(frozen=True)
class BackgroundModel:
    """Another network that runs beside the measured one, in a process of its own."""

    model: Path
    io_spec: IoSpec
    rate_hz: float


@dataclass(frozen=True)
class BackgroundRun:
    """How a network ran beside the measured one.

    Attributes:
        model_sha256: of its file.
        rate_hz: that was asked for.
        achieved_hz: that it reached.
        median_ms: of its inferences; None if there was none.
    """

    model_sha256: str
    rate_hz: float
    achieved_hz: float
    median_ms: float | None


@dataclass(frozen=True)
class FixedRateMeasurement:
    """Durations of inferences that begin when a frame comes.

    Attributes:
        rate_hz: rate of the frames.
        duration_s: length of the run, its settling left out.
        latency_ms: median of all samples; it is another clock than that of a tight loop.
        percentiles_ms: `p90`, `p95`, `p99`; None where the samples are too few to state it.
        worst_ms: the longest.
        missed: inferences that ended after the next frame came.
        dropped: frames that were not run, because an inference before took too long.
        lateness_p99_ms: time by which inferences began after their frame came, 99 of 100 at most; None if too
            few.
        drift: relative change of the median from the first to the last tenth of the run.
        window_medians_ms: median of each tenth, in order.
        throttling: what slowed the target down, with the second at which it was noticed.
        states: states of the target, at the start and after each piece of the run.
        background: what ran beside it; None if nothing did.
        samples_ms: every sample, in order.
        model_sha256: SHA-256 of the measured file.
        target: the target URL.
        fingerprint: fingerprint of the device, backend and settings.
    """

    rate_hz: float
    duration_s: float
    latency_ms: float
    percentiles_ms: Mapping[str, float | None]
    worst_ms: float
    missed: int
    dropped: int
    lateness_p99_ms: float | None
    drift: float
    window_medians_ms: tuple[float, ...]
    throttling: tuple[str, ...]
    states: tuple[TimedState, ...] = field(repr=False)
    background: BackgroundRun | None
    samples_ms: tuple[float, ...] = field(repr=False)
    model_sha256: str
    target: str
    fingerprint: JsonObject = field(repr=False)

    def to_json(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Return plain JSON values, raw samples included unless told otherwise."""
        value = asdict(self)
        if not with_samples:
            del value["samples_ms"]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FixedRateMeasurement:
        """Rebuild from `to_json`."""
        fields = dict(value)
        for name in ("window_medians_ms", "throttling", "samples_ms"):
            fields[name] = tuple(fields[name])
        fields["states"] = tuple(TimedState.from_json(each) for each in fields["states"])
        if fields["background"] is not None:
            fields["background"] = BackgroundRun(**fields["background"])
        return cls(**fields)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            f"{self.rate_hz:g} Hz for {self.duration_s:g} s",
            f"{figure(self.latency_ms, 4)} ms, worst {figure(self.worst_ms, 4)} ms",
            f"{self.missed} missed, {self.dropped} dropped",
            self.target,
        )


def measure_fixed_rate(
    meter: SupportsCommands,
    model: Path,
    io_spec: IoSpec,
    *,
    rate_hz: float,
    duration_s: float = DEFAULT_DURATION_S,
    background: BackgroundModel | None = None,
    discard_throttled: bool = True,
    listener: FixedRateListener | None = None,
) -> FixedRateMeasurement:
    """Run an ONNX file at a rate in one fresh process on the meter's target.

    Args:
        meter: of the target.
        model: the file.
        io_spec: its inputs and outputs.
        rate_hz: frames a second, up to 1000.
        duration_s: how long, after some seconds of settling that do not count.
        background: what runs beside it.
        discard_throttled: measure again when the target throttles; otherwise the result says so.
        listener: is told how far it is.

    Raises:
        ConfigError: if rate or duration is out of range.
        MeasurementError: as `LatencyMeter.measure`; if the target throttles every time.
    """
    _check_rate(rate_hz)
    if not 0 < duration_s <= 86_400:
        raise ConfigError(
            f"A run at a fixed rate takes more than 0 and at most 86400 seconds, not {duration_s:g}."
        )
    for _ in range(ATTEMPTS):
        found = _measure_once(meter, model, io_spec, rate_hz, duration_s, background, listener or _silent)
        if not (found.throttling and discard_throttled):
            return found
    raise MeasurementError(
        f"A measurement during which the target throttles does not count, but {ATTEMPTS} of {ATTEMPTS} did "
        f"({'; '.join(found.throttling)}). Cool it, choose another power mode, or have the run reported "
        "with `duration_s=`."
    )


def seconds_for_tail(rate_hz: float, samples: int) -> float:
    """Return how long a run at `rate_hz` takes for this many samples, a few dropped frames allowed for."""
    _check_rate(rate_hz)
    return math.ceil(samples * 1.02 + 2) / rate_hz


def _check_rate(rate_hz: float) -> None:
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise ConfigError(f"A rate lies above 0 and up to {MAX_RATE_HZ:g} Hz, but is {rate_hz:g}.")


@again_when_lost
def _measure_once(
    meter: SupportsCommands,
    model: Path,
    io_spec: IoSpec,
    rate_hz: float,
    duration_s: float,
    background: BackgroundModel | None,
    listener: FixedRateListener,
) -> FixedRateMeasurement:
    protocol = meter.protocol
    with meter.alone(model) as (ask, path):
        arguments = {"model": path, "io_spec": io_spec.to_json(), "seed": protocol.seed, "rate_hz": rate_hz}
        with _running(meter, background) as beside:
            max_s = max(protocol.max_warmup_s, protocol.warmup_s)
            ask(
                "start_fixed_rate",
                extra_s=max_s,
                **arguments,
                min_s=protocol.warmup_s,
                max_s=max_s,
                tolerance=protocol.warmup_tolerance,
            )
            settling_s = min(_SETTLING_S, duration_s)
            ask("fixed_rate", extra_s=settling_s + 2 / rate_hz, seconds=settling_s)
            pieces, states = _pieces(ask, rate_hz, duration_s, listener)
        return _assessed(meter, model, rate_hz, pieces, states, beside)


def _pieces(
    ask: Callable[..., Mapping[str, Any]], rate_hz: float, duration_s: float, listener: FixedRateListener
) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """Run in pieces, so that neither silence nor a lost connection costs more than one; note the state."""
    pieces: list[Mapping[str, Any]] = []
    states = [{"seconds": 0.0, "state": ask("state")["state"]}]
    over_s = 0.0
    while over_s < duration_s:
        piece_s = min(_CHUNK_S, duration_s - over_s)
        pieces.append(ask("fixed_rate", extra_s=piece_s + 2 / rate_hz, seconds=piece_s))
        over_s += piece_s
        states.append({"seconds": over_s, "state": ask("state")["state"]})
        listener(over_s, duration_s)
    return pieces, states


@contextmanager
def _running(meter: SupportsCommands, background: BackgroundModel | None) -> Iterator[dict[str, Any]]:
    """Run a background model meanwhile; how it went is in the yielded dictionary afterwards."""
    if background is None:
        yield {}
        return
    _check_rate(background.rate_hz)
    went: dict[str, Any] = {"model_sha256": sha256_of_model(background.model), "rate_hz": background.rate_hz}
    with meter.beside(background.model) as (ask, path):
        ask(
            "start_background",
            model=path,
            io_spec=background.io_spec.to_json(),
            seed=meter.protocol.seed,
            rate_hz=background.rate_hz,
        )
        yield went
        went.update(ask("stop_background", extra_s=2 / background.rate_hz))


def _assessed(
    meter: SupportsCommands,
    model: Path,
    rate_hz: float,
    pieces: list[Mapping[str, Any]],
    states: list[dict[str, Any]],
    background: dict[str, Any],
) -> FixedRateMeasurement:
    samples = np.array([sample for piece in pieces for sample in piece["samples_ms"]])
    lateness = np.array([late for piece in pieces for late in piece["lateness_ms"]])
    windows = [float(np.median(part)) for part in np.array_split(samples, min(_WINDOWS, len(samples)))]
    alarms = [
        f"{after['seconds']:g} s: {what}"
        for before, after in pairwise(states)
        for what in throttling(before["state"], after["state"])
    ]
    return FixedRateMeasurement(
        rate_hz=rate_hz,
        duration_s=float(states[-1]["seconds"]),
        latency_ms=float(np.median(samples)),
        percentiles_ms=percentiles(samples),
        worst_ms=float(samples.max()),
        missed=sum(int(piece["missed"]) for piece in pieces),
        dropped=sum(int(piece["dropped"]) for piece in pieces),
        lateness_p99_ms=percentiles(lateness)["p99"],
        drift=windows[-1] / windows[0] - 1,
        window_medians_ms=tuple(windows),
        throttling=tuple(alarms),
        states=tuple(TimedState.from_json(each) for each in states),
        background=BackgroundRun(**background) if background else None,
        samples_ms=tuple(samples.tolist()),
        model_sha256=sha256_of_model(model),
        target=meter.target,
        fingerprint=meter.fingerprint(),
    )


def _silent(_over_s: float, _wanted_s: float) -> None:
    """Listen to nothing."""
