"""What a network costs on a target besides time: memory, loading, files, energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.io_spec import IoSpec
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.retrying import again_when_lost

IDLE_S = 1.0
BUSY_S = 2.0


@dataclass(frozen=True)
class Energy:
    """Energy of one inference, with the power of the idle machine subtracted.

    Attributes:
        energy_mj: millijoules over the counted rails; None where the busy machine took no more than the idle
            one.
        rails: names of the rails that were counted.
        idle_mw: mean power of every rail of the idle machine, in milliwatts.
        busy_mw: the same while inferences ran.
        inferences: number of inferences that ran.
        seconds: seconds that they took.
        source: source of the figures, such as `INA3221`.
    """

    energy_mj: float | None
    rails: tuple[str, ...]
    idle_mw: Mapping[str, float] = field(repr=False)
    busy_mw: Mapping[str, float] = field(repr=False)
    inferences: int
    seconds: float
    source: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Energy:
        """Rebuild from the JSON values of `ResourceUse`, or from what an agent says."""
        return cls(**{**value, "rails": tuple(value["rails"])})


@dataclass(frozen=True)
class ResourceUse:
    """Resources of one network on one target; None where the platform does not tell.

    Attributes:
        load_cold_s: first load in a fresh process, the file dropped from the page cache where possible.
        load_warm_s: second load in the same process.
        first_inference_ms: first inference after the cold load.
        peak_memory_mb: MiB of the process at most, interpreter and backend included; memory of a discrete GPU
            is not in it.
        memory_increase_mb: MiB by which loading and running raised it.
        gpu_memory_mb: MiB by which the memory in use on the first GPU grew.
        model_size_mb: MiB of the ONNX file and its external data.
        engine_size_mb: MiB of the engine built from it; None where the backend runs the file itself.
        energy: energy of one inference; None where the platform does not tell.
    """

    load_cold_s: float
    load_warm_s: float
    first_inference_ms: float
    peak_memory_mb: float | None
    memory_increase_mb: float | None
    gpu_memory_mb: float | None
    model_size_mb: float
    engine_size_mb: float | None
    energy: Energy | None

    @property
    def energy_mj(self) -> float | None:
        """Millijoules of one inference above the idle machine."""
        return None if self.energy is None else self.energy.energy_mj

    def to_json(self, *, with_samples: bool = True) -> dict[str, Any]:
        """Return plain JSON values; there are no samples to leave out."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ResourceUse:
        """Rebuild from `to_json`."""
        energy = value["energy"]
        return cls(**{**value, "energy": None if energy is None else Energy.from_json(energy)})


@again_when_lost
def measure_resources(
    meter: SupportsCommands, model: Path, io_spec: IoSpec, *, idle_s: float = IDLE_S, busy_s: float = BUSY_S
) -> ResourceUse:
    """Load and run an ONNX file in a fresh process on the meter's target.

    Args:
        meter: of the target.
        model: the file.
        io_spec: its inputs and outputs.
        idle_s: how long the power of the idle machine is taken, before.
        busy_s: how long the network runs for its energy.

    Raises:
        MeasurementError: as `LatencyMeter.measure`.
    """
    with meter.alone(model) as (ask, path):
        found = ask(
            "resources",
            extra_s=idle_s + busy_s,
            model=path,
            io_spec=io_spec.to_json(),
            seed=meter.protocol.seed,
            idle_s=idle_s,
            busy_s=busy_s,
        )
    return ResourceUse.from_json(found["resources"])
