"""Looks at a target: what it can measure and build, what is wrong with it, how repeatable it is."""

from __future__ import annotations

from pathlib import Path

from hwnas.latency.doctor.checks import Diagnosis, diagnose, inspect_target, try_backend
from hwnas.latency.doctor.noise import measure_noise
from hwnas.latency.measure.reference import REFERENCE_IO, write_reference
from hwnas.latency.target import Target
from hwnas.latency.transports.opening import open_transport
from hwnas.scratch import ScratchDirectory


def doctor(target: str | Target = "local", *, noise_s: float = 30.0) -> Diagnosis:
    """Look at a target, and clock the reference network on it again and again.

    Args:
        target: URL such as `ssh://user@board?backend=tensorrt`.
        noise_s: seconds that the reference network is clocked for.

    Returns:
        The findings, whether or not anything can be measured: see `Diagnosis.is_usable`.

    Raises:
        ConfigError: if the URL is malformed.
        PluginError: if no backend of that name is installed.
        MeasurementError: if no agent can be started on the target.
    """
    parsed = Target.parse(target) if isinstance(target, str) else target
    transport = open_transport(parsed)
    try:
        facts = inspect_target(transport)
        noise = None
        with ScratchDirectory("doctor") as directory:
            model = Path(directory) / "reference.onnx"
            write_reference(model)
            refusal = try_backend(transport, parsed, model, REFERENCE_IO)
            if not refusal:
                noise = measure_noise(transport, parsed, model, REFERENCE_IO, noise_s)
    finally:
        transport.close()
    return diagnose(parsed, facts, refusal, noise)
