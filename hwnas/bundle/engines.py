"""Puts engines into bundles, built on the target or for GPUs that are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, ExportError, MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.engines.building import build_for_rtx, build_on_target
from hwnas.latency.engines.repeated_builds import keep_fastest_build
from hwnas.latency.engines.rtx import CAPABILITIES
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.target import Target

TENSORRT, RTX, NO_ENGINE = "tensorrt", "rtx", "none"
ENGINES = (TENSORRT, RTX, NO_ENGINE)
BACKENDS = {TENSORRT: "tensorrt", RTX: "tensorrt-rtx"}


def check_engine_choice(engine: str, target_url: str) -> None:
    """Refuse an engine that cannot be had, before time is spent.

    Raises:
        ConfigError: for unknown ones, and for `tensorrt` on a target with another backend.
    """
    if engine not in ENGINES:
        raise ConfigError(f"`engine=` is one of {', '.join(ENGINES)}, but got {engine!r}.")
    backend = Target.parse(target_url).backend
    if engine == TENSORRT and backend != BACKENDS[TENSORRT]:
        raise ConfigError(
            f"`engine=tensorrt` is built on the target, with its TensorRT, but the run's target has the "
            f"backend {backend!r}. Search for a target with backend=tensorrt."
        )


class ShippedBuilds:
    """Settles which build of each file ships, so that what is measured afterwards is what ships.

    Attributes:
        made: `Builds` as JSON, by precision; files whose builds do not differ on the target are missing.
    """

    def __init__(self, meter: LatencyMeter, io_spec: IoSpec, count: int) -> None:
        """Compare `count` builds of each file on the target of `meter`; none if that is 0."""
        self._meter, self._io_spec, self._count = meter, io_spec, count
        self.made: dict[str, dict[str, Any]] = {}

    def settle(self, model: Path, precision: str, *, known: Mapping[str, Any] | None = None) -> None:
        """Build and clock an ONNX file several times, unless its builds are known, and keep the fastest.

        Raises:
            MeasurementError: if it cannot be built or clocked.
        """
        if known is not None:
            self.made[precision] = dict(known)
        elif self._count > 0:
            builds = keep_fastest_build(self._meter, model, self._io_spec, self._count)
            if builds is not None:
                self.made[precision] = builds.to_json()


def write_engine(engine: str, meter: LatencyMeter, model: Path, precision: str) -> list[dict[str, Any]]:
    """Write the wanted engine of an ONNX file beside it and return entries for the manifest.

    `rtx` is built on a target that has this backend, for its GPU; otherwise here, for the GPUs of
    `hwnas.latency.engines.rtx.CAPABILITIES` at once.

    Raises:
        ExportError: if it cannot be built, naming node and module where the parser refuses one.
    """
    if engine == NO_ENGINE:
        return []
    backend = Target.parse(meter.target).backend
    try:
        if engine == RTX and backend != BACKENDS[RTX]:
            record = build_for_rtx(model, CAPABILITIES, model.parent)
        elif isinstance(meter, SupportsCommands):
            record = build_on_target(meter, model, model.parent)
        else:
            raise ExportError(f"The meter of {meter.target!r} cannot build engines.")
    except MeasurementError as error:
        raise ExportError(f"No engine of {model.name} was built: {error}") from error
    return [{"precision": precision, **record}]
