from __future__ import annotations

import dataclasses
import json

import pytest

from hwnas.errors import MeasurementError
from hwnas.latency.measurement import LatencyMeasurement, OtherAttempt, ReferenceMeasurement

MEASUREMENT = LatencyMeasurement(
    latency_ms=10.0,
    interval_ms=(9.9, 10.2),
    confidence=0.95,
    samples_ms=((9.9, 10.0), (10.0, 10.2)),
    percentiles_ms={"p90": None, "p95": None, "p99": None},
    is_stable=True,
    remark="",
    warmup_s=(0.2, 0.3),
    model_sha256="ab" * 32,
    target="local?backend=onnxruntime-cpu&threads=1",
    fingerprint={"cpu_model": "made up"},
    protocol={"processes": 2},
    ratio=2.0,
    ratio_interval=(1.99, 2.01),
    reference=ReferenceMeasurement("cd" * 32, 5.0, (4.9, 5.1), ((5.0, 5.0), (5.0, 5.1)), 2),
    block_samples=2,
    ended="precise",
    attempts=2,
    other_attempts=(OtherAttempt(11.0, 2.1, "disturbed"),),
)
ADDED = ("ratio", "ratio_interval", "reference", "block_samples", "ended", "attempts", "other_attempts")


def test_json_gives_the_measurement_back() -> None:
    value = json.loads(json.dumps(MEASUREMENT.to_json()))
    assert LatencyMeasurement.from_json(value) == MEASUREMENT


def test_files_without_a_reference_are_still_read() -> None:
    value = json.loads(json.dumps(MEASUREMENT.to_json()))
    old = LatencyMeasurement.from_json({key: value[key] for key in value if key not in ADDED})
    assert (old.latency_ms, old.samples_ms) == (MEASUREMENT.latency_ms, MEASUREMENT.samples_ms)
    assert (old.ratio, old.ratio_interval, old.reference, old.attempts) == (None, None, None, 1)


def test_samples_can_be_left_out() -> None:
    short = MEASUREMENT.to_json(with_samples=False)
    assert "samples_ms" not in short
    assert "samples_ms" not in short["reference"]
    assert short["reference"]["latency_ms"] == 5.0
    assert MEASUREMENT.to_json()["reference"]["samples_ms"]


@pytest.mark.parametrize(
    "change",
    [{"latency_ms": float("nan")}, {"latency_ms": 11.0}, {"interval_ms": (0.0, 11.0)}, {"latency_ms": -1.0}],
)
def test_what_is_no_latency_is_refused(change: dict) -> None:
    with pytest.raises(MeasurementError, match="Measure again"):
        dataclasses.replace(MEASUREMENT, **change)
