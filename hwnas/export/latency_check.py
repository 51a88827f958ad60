"""Does a bundle's model still take, here and now, the time that its manifest states?"""

from __future__ import annotations

from typing import Any

from hwnas.export.json_values import as_json
from hwnas.export.verdict import Check, VerificationSettings
from hwnas.latency.base import LatencyMeasurement, LatencyMeter
from hwnas.runtime.manifest import Manifest


def measure_again(
    manifest: Manifest, meter: LatencyMeter, settings: VerificationSettings
) -> list[LatencyMeasurement]:
    """Measure until a measurement is undisturbed and agrees, or the attempts are used up."""
    measurements: list[LatencyMeasurement] = []
    while len(measurements) < settings.latency_attempts:
        measurement = meter.measure(manifest.model_path, manifest.io_spec)
        measurements.append(measurement)
        if measurement.is_stable and _agrees(manifest, measurement, settings):
            break
        if _fingerprint_differences(manifest, measurement):
            break
    return measurements


def _agrees(manifest: Manifest, found: LatencyMeasurement, settings: VerificationSettings) -> bool:
    promised = manifest.content["latency"]
    low, high = promised["interval_ms"]
    overlap = found.interval_ms[0] <= high and low <= found.interval_ms[1]
    ratio = found.latency_ms / promised["latency_ms"]
    return bool(overlap or abs(ratio - 1.0) <= settings.latency_tolerance)


def latency_check(
    manifest: Manifest, found: LatencyMeasurement, settings: VerificationSettings, *, other_target: bool
) -> Check:
    """Compare the last measurement with the promise."""
    promised = manifest.content["latency"]
    expected = {key: promised[key] for key in ("latency_ms", "interval_ms", "target")}
    measured = {
        "latency_ms": found.latency_ms,
        "interval_ms": list(found.interval_ms),
        "target": found.target,
        "is_stable": found.is_stable,
    }
    limit = f"intervals overlap, or medians within {settings.latency_tolerance:.0%}"
    differences = _fingerprint_differences(manifest, found)
    if not differences:
        passed = _agrees(manifest, found, settings)
        return Check("latency as promised", passed, expected, measured, limit, found.remark)
    what = ", ".join(f"{key}: {old!r} -> {new!r}" for key, (old, new) in differences.items())
    if other_target:
        note = f"not compared: the promise is about another target ({what})"
        return Check("latency as promised", None, expected, measured, limit, note)
    note = f"this is not the target that the promise is about ({what}); give another with `--target`"
    return Check("latency as promised", False, expected, measured, limit, note)


def _fingerprint_differences(manifest: Manifest, found: LatencyMeasurement) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the promised and the found device, runtime and settings."""
    old, new = manifest.content["latency"]["fingerprint"], as_json(found.fingerprint)
    return {key: (old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}
