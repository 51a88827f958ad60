"""From samples to figures: median, ratio, intervals, tails, and whether the run may be relied on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import MeasurementError
from hwnas.latency.measure.clocking import MODEL, OVER_LIMIT, Clocked
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE
from hwnas.latency.measure.session import Warmup
from hwnas.latency.measure.statistics import (
    median_interval,
    percentiles,
    ratio_interval,
    relative_half_width,
    robust_spread,
    slow_share,
)
from hwnas.latency.measurement import LatencyMeasurement, OtherAttempt, ReferenceMeasurement
from hwnas.latency.target_state import TargetState


@dataclass(frozen=True)
class Subject:
    """What is the same for every attempt of one measurement.

    Attributes:
        target: URL.
        fingerprint: of the target.
        protocol: followed.
        model_sha256: of the measured file.
        reference_sha256: of the reference network's file.
        best_reference_ms: lowest median of the reference on this target so far; None before the first.
        give_up_over_ms: limit at which the model was given up; None without one.
    """

    target: str
    fingerprint: Mapping[str, Any]
    protocol: MeasuringProtocol
    model_sha256: str
    reference_sha256: str
    best_reference_ms: float | None = None
    give_up_over_ms: float | None = None


@dataclass(frozen=True)
class Attempt:
    """One attempt, assessed.

    Attributes:
        measurement: its figures.
        disturbance: how far the worst sign of disturbance is over what counts as calm; above 1 is disturbed.
        is_final: whether another attempt is not wanted.
        throttling: what slowed the target down meanwhile; such an attempt does not count.
    """

    measurement: LatencyMeasurement
    disturbance: float
    is_final: bool
    throttling: tuple[str, ...] = ()


def assess(clocked: Clocked, subject: Subject, name: str = MODEL, base: str = REFERENCE) -> Attempt:
    """Turn one attempt into a measurement of one of its models.

    Args:
        clocked: the attempt.
        subject: what was measured.
        name: of the model.
        base: that the ratio is to.
    """
    protocol = subject.protocol
    samples = clocked.samples_ms[name]
    median_ms, interval_ms = _median(samples, protocol)
    ratio, interval = ratio_of(clocked, name, base, protocol)
    reference = _reference(clocked, subject)
    signs = disturbances(clocked, subject, name, base)
    gave_up = clocked.ended == OVER_LIMIT
    remarks = [text for size, text in signs if size > 1] + _shortcomings(clocked, samples, protocol)
    if gave_up:
        remarks = [
            f"given up after {samples.size} samples: clearly over the limit of {subject.give_up_over_ms:g} ms"
        ]
    measurement = LatencyMeasurement(
        latency_ms=median_ms,
        interval_ms=interval_ms,
        confidence=protocol.confidence,
        samples_ms=_flat(samples),
        percentiles_ms=percentiles(samples),
        is_stable=not remarks,
        remark="; ".join(remarks),
        warmup_s=tuple(warmup.seconds for warmup in clocked.warmups[name]),
        model_sha256=subject.model_sha256,
        target=subject.target,
        fingerprint=subject.fingerprint,
        protocol=protocol.to_json(),
        ratio=ratio,
        ratio_interval=interval,
        reference=reference,
        block_samples=samples.shape[2],
        ended=clocked.ended,
        states=tuple(TargetState.from_json(state) for state in clocked.states),
    )
    disturbance = max((size for size, _ in signs), default=0.0)
    is_final = gave_up or (disturbance <= 1 and not clocked.throttling)
    return Attempt(measurement, disturbance, is_final, clocked.throttling)


def disturbances(clocked: Clocked, subject: Subject, name: str, base: str) -> list[tuple[float, str]]:
    """Return the signs of a disturbed run: their size (up to 1 is calm), and what they say."""
    protocol = subject.protocol
    samples = clocked.samples_ms[name]
    spread = robust_spread([process.ravel() for process in samples])
    slow = slow_share(samples)
    signs = [
        (
            spread / protocol.max_spread,
            f"robust spread of the samples {spread:.1%}, at most {protocol.max_spread:.1%} is calm",
        ),
        # A share of zero may be all that is allowed.
        (
            _share_of_limit(slow, protocol.max_slow_share),
            f"{slow:.0%} of the samples took more than 1.5 medians",
        ),
    ]
    if not all(_has_settled(warmup) for warmup in clocked.warmups[name]):
        signs.append((2.0, f"still changing after {protocol.max_warmup_s:g} s of warm-up"))
    ratio, interval = ratio_of(clocked, name, base, protocol)
    if ratio is not None and interval is not None:
        width = relative_half_width(ratio, interval)
        signs.append((width / protocol.max_interval, f"interval of the ratio to the {base} +-{width:.1%}"))
    best_ms = subject.best_reference_ms
    if best_ms is not None and REFERENCE in clocked.samples_ms:
        slowdown = float(np.median(clocked.samples_ms[REFERENCE])) / best_ms - 1
        text = f"the reference network took {slowdown:.0%} longer than at its best on this target"
        signs.append((slowdown / protocol.max_slowdown, text))
    return signs


def ratio_of(
    clocked: Clocked, name: str, base: str, protocol: MeasuringProtocol
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the ratio of two models and its interval, as far as both were clocked."""
    if base not in clocked.samples_ms:
        return None, None
    ratios = clocked.ratios(name, base)
    ratio = float(np.median(ratios))
    if ratios.size == 1:
        # A single round has no interval of its own: nothing is known beyond what the samples span.
        model, reference = clocked.samples_ms[name], clocked.samples_ms[base]
        return ratio, (float(model.min() / reference.max()), float(model.max() / reference.min()))
    return ratio, ratio_interval(ratios, protocol.confidence)


def calmest(attempts: Sequence[Attempt]) -> int:
    """Return the index of the calmest attempt.

    The calmest, not the fastest: choosing by latency would make every figure too low.

    Raises:
        MeasurementError: if the target throttled during all of them.
    """
    counted = [index for index, attempt in enumerate(attempts) if not attempt.throttling]
    if not counted:
        raise MeasurementError(
            f"A measurement during which the target throttles does not count, but all {len(attempts)} did "
            f"({', '.join(attempts[-1].throttling)}). Cool it or choose another power mode."
        )
    return min(counted, key=lambda index: (not attempts[index].is_final, attempts[index].disturbance))


def stated(attempts: Sequence[Attempt], index: int) -> LatencyMeasurement:
    """Return the measurement of one attempt, which names the others."""
    chosen = attempts[index].measurement
    others = tuple(
        OtherAttempt(attempt.measurement.latency_ms, attempt.measurement.ratio, attempt.measurement.remark)
        for number, attempt in enumerate(attempts)
        if number != index
    )
    remark = chosen.remark
    if remark and others and not attempts[index].is_final:
        remark += f" (the calmest of {len(attempts)} attempts)"
    return replace(chosen, attempts=len(attempts), other_attempts=others, remark=remark)


def _median(samples: NDArray[np.float64], protocol: MeasuringProtocol) -> tuple[float, tuple[float, float]]:
    return float(np.median(samples)), median_interval(samples, protocol.confidence)


def _reference(clocked: Clocked, subject: Subject) -> ReferenceMeasurement | None:
    if REFERENCE not in clocked.samples_ms:
        return None
    samples = clocked.samples_ms[REFERENCE]
    median_ms, interval_ms = _median(samples, subject.protocol)
    return ReferenceMeasurement(
        subject.reference_sha256, median_ms, interval_ms, _flat(samples), block_samples=samples.shape[2]
    )


def _shortcomings(clocked: Clocked, samples: NDArray[np.float64], protocol: MeasuringProtocol) -> list[str]:
    """Return what a further attempt would not change."""
    if samples.size >= protocol.min_samples:
        return []
    limit_s = max(protocol.limit_s, protocol.max_s)
    return [f"{samples.size} samples in {limit_s:g} s, wished {protocol.min_samples}"]


def _has_settled(warmup: Warmup) -> bool:
    # A single inference that took the whole warm-up: what changes at its start is small beside it.
    return warmup.is_settled or len(warmup.window_ms) == 1


def _share_of_limit(share: float, limit: float) -> float:
    return share / limit if limit > 0 else float(share > 0) * 2


def _flat(samples: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(process.ravel().tolist()) for process in samples)
