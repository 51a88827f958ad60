"""Does a bundle's model still take, here and now, the time that its manifest states?"""

from __future__ import annotations

from typing import Any

from hwnas.bundle.manifest import Manifest
from hwnas.bundle.verification.json_values import as_json
from hwnas.bundle.verification.result import Check, VerificationSettings
from hwnas.json_values import JsonObject
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.text import figure


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
    return _latency_holds(manifest, found, settings) or _ratio_holds(manifest, found, settings)


def _latency_holds(manifest: Manifest, found: LatencyMeasurement, settings: VerificationSettings) -> bool:
    stated = manifest.content["latency"]
    low, high = stated["interval_ms"]
    overlap = found.interval_ms[0] <= high and low <= found.interval_ms[1]
    change = found.latency_ms / stated["latency_ms"] - 1.0
    return bool(overlap or abs(change) <= settings.latency_tolerance)


def _ratio_holds(manifest: Manifest, found: LatencyMeasurement, settings: VerificationSettings) -> bool:
    """Return whether the model keeps its ratio to the reference network, which was clocked by turns with it.

    A machine that is busier or hotter than it was slows both alike; the model is still the one that was
    exported.
    """
    stated = manifest.content["latency"]
    if _speed(manifest, found) is None or not (found.ratio and stated.get("ratio")):
        return False
    return bool(abs(found.ratio / stated["ratio"] - 1.0) <= settings.latency_tolerance)


def _speed(manifest: Manifest, found: LatencyMeasurement) -> float | None:
    """Return how long the reference network takes now over what it took then; None if it is another one."""
    then = manifest.content["latency"].get("reference")
    if not then or found.reference is None or then.get("sha256") != found.reference.sha256:
        return None
    return float(found.reference.latency_ms / then["latency_ms"])


def latency_check(
    manifest: Manifest, found: LatencyMeasurement, settings: VerificationSettings, *, other_target: bool
) -> Check:
    """Compare the last measurement with what is stated."""
    stated = manifest.content["latency"]
    expected = {key: stated[key] for key in ("latency_ms", "interval_ms", "target")}
    expected["ratio"] = stated.get("ratio")
    measured: JsonObject = {
        "latency_ms": found.latency_ms,
        "interval_ms": list(found.interval_ms),
        "target": found.target,
        "ratio": found.ratio,
        "is_stable": found.is_stable,
    }
    limit = (
        f"intervals overlap, or medians or ratios to the reference network within "
        f"{settings.latency_tolerance:.0%}"
    )
    differences = _fingerprint_differences(manifest, found)
    if not differences:
        passed = _latency_holds(manifest, found, settings)
        note = found.remark
        speed = _speed(manifest, found)
        if not passed and speed is not None and _ratio_holds(manifest, found, settings):
            passed = True
            note = f"{_of_speed(speed)} {note}".strip()
        return Check("latency as stated", passed, expected, measured, limit, note)
    what = ", ".join(f"{key}: {old!r} -> {new!r}" for key, (old, new) in differences.items())
    if other_target:
        note = f"not compared: the manifest is about another target ({what})"
        return Check("latency as stated", None, expected, measured, limit, note)
    note = f"this is not the target that the manifest is about ({what}); give another with `target=`"
    return Check("latency as stated", False, expected, measured, limit, note)


def _of_speed(speed: float) -> str:
    """Return words about how long the reference network takes, as a multiple of what it took."""
    found = f"the reference network took {figure(speed)} times as long as when the latency was stated"
    if speed >= 1.0:
        return f"{found}: this machine is busy, hot or clocked otherwise."
    return (
        f"{found}: it was busy, hot or clocked otherwise then, and the stated latency is too long for it now."
    )


def _fingerprint_differences(manifest: Manifest, found: LatencyMeasurement) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the stated and the found device, backend and settings."""
    old, new = manifest.content["latency"]["fingerprint"], as_json(found.fingerprint)
    return {key: (old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}
