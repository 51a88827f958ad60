"""How a target was at one moment of a measurement: clocks, heat, power, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwnas.json_values import JsonObject


@dataclass(frozen=True)
class TargetState:
    """What a target said of itself; what it does not tell is None or missing, never zero.

    Attributes:
        clocks_mhz: clocks of processors and devices, by name.
        temperatures_c: temperature by the name of the sensor.
        power_mw: power by rail; None where there are none.
        alarms: names of alarms that were raised, such as those of throttling.
        throttle_counters: how often the target was slowed down so far, by the file that says so.
        gpus: what NVML says of each GPU; None where there is none.
    """

    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    power_mw: Mapping[str, float] | None = None
    alarms: tuple[str, ...] = ()
    throttle_counters: Mapping[str, float] = field(default_factory=dict)
    gpus: tuple[JsonObject, ...] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TargetState:
        """Rebuild from the JSON values of a measurement, or from what an agent says."""
        gpus = value.get("gpus")
        return cls(
            clocks_mhz=value.get("clocks_mhz", {}),
            temperatures_c=value.get("temperatures_c", {}),
            power_mw=value.get("power_mw"),
            alarms=tuple(value.get("alarms", ())),
            throttle_counters=value.get("throttle_counters", {}),
            gpus=None if gpus is None else tuple(gpus),
        )


@dataclass(frozen=True)
class TimedState:
    """How a target was at some second of a run at a fixed rate."""

    seconds: float
    state: TargetState

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TimedState:
        """Rebuild from the JSON values of a measurement."""
        return cls(float(value["seconds"]), TargetState.from_json(value["state"]))
