"""Puts engines into bundles, built on the target or for GPUs that are elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, ExportError, MeasurementError
from hwnas.latency.base import LatencyMeter
from hwnas.latency.engines import build_for_rtx, build_on_target
from hwnas.latency.meter import AgentMeter
from hwnas.latency.rtx_builds import CAPABILITIES
from hwnas.latency.target import Target

TENSORRT, RTX, NO_ENGINE = "tensorrt", "rtx", "none"
ENGINES = (TENSORRT, RTX, NO_ENGINE)
_RUNTIMES = {TENSORRT: "tensorrt", RTX: "tensorrt-rtx"}


def check_engine_choice(engine: str, target_url: str) -> None:
    """Refuse an engine that cannot be had, before time is spent.

    Raises:
        ConfigError: for unknown ones, and for `tensorrt` on a target with another runtime.
    """
    if engine not in ENGINES:
        raise ConfigError(f"`--engine` is one of {', '.join(ENGINES)}, but got {engine!r}.")
    runtime = Target.parse(target_url).runtime
    if engine == TENSORRT and runtime != _RUNTIMES[TENSORRT]:
        raise ConfigError(
            f"`--engine tensorrt` is built on the target, with its TensorRT, but the run's target has the "
            f"runtime {runtime!r}. Search for a target with runtime=tensorrt."
        )


def write_engine(engine: str, meter: LatencyMeter, model: Path, precision: str) -> list[dict[str, Any]]:
    """Write the wanted engine of an ONNX file beside it and return entries for the manifest.

    `rtx` is built on a target that has this runtime, for its GPU; otherwise here, for the GPUs of
    `hwnas.latency.rtx_builds.CAPABILITIES` at once.

    Raises:
        ExportError: if it cannot be built, naming node and module where the parser refuses one.
    """
    if engine == NO_ENGINE:
        return []
    runtime = Target.parse(meter.target).runtime
    try:
        if engine == RTX and runtime != _RUNTIMES[RTX]:
            record = build_for_rtx(model, CAPABILITIES, model.parent)
        elif isinstance(meter, AgentMeter):
            record = build_on_target(meter, model, model.parent)
        else:
            raise ExportError(f"The meter of {meter.target!r} cannot build engines.")
    except MeasurementError as error:
        raise ExportError(f"No engine of {model.name} was built: {error}") from error
    return [{"precision": precision, **record}]
