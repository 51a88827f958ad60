"""Energy of one inference: power read while a network runs, less the power of the idle machine.

It is measured in a window of its own, not while a latency is clocked: reading sensors takes processor time.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Tuple

from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.power_rails import PowerRails

_PERIOD_S = 0.02


class PowerSource(Protocol):
    """Something that integrates power over a window."""

    @property
    def name(self) -> str:
        """Where the figures come from."""
        ...

    @property
    def counted_rails(self) -> Tuple[str, ...]:
        """Rails whose sum is the energy of an inference; they do not overlap."""
        ...

    def start(self) -> None:
        """Begin a window."""
        ...

    def stop(self) -> Dict[str, float]:
        """End the window and return the mean power of every rail in milliwatts."""
        ...


class RailSampler:
    """Reads power rails in a thread and integrates by the trapezoid rule."""

    def __init__(
        self,
        read_mw: Callable[[], Mapping[str, float]],
        counted_rails: Tuple[str, ...],
        name: str,
        period_s: float = _PERIOD_S,
    ) -> None:
        """Read with `read_mw` every `period_s` seconds."""
        self.name = name
        self.counted_rails = counted_rails
        self._read_mw = read_mw
        self._period_s = period_s
        self._readings: List[Tuple[float, Mapping[str, float]]] = []
        self._ended = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begin to read."""
        self._readings = []
        self._ended.clear()
        self._take()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Dict[str, float]:
        """Return the mean power of every rail in milliwatts since `start`."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._take()
        return mean_power_mw(self._readings)

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self._take()

    def _take(self) -> None:
        self._readings.append((time.monotonic(), self._read_mw()))


class GpuEnergyCounter:
    """The energy counter of a GPU, which its driver keeps."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        """Count on GPU `index`."""
        self.name = "NVML energy counter"
        self.counted_rails = (_gpu_rail(index),)
        self._nvml = nvml
        self._index = index
        self._start = (0.0, 0.0)

    def start(self) -> None:
        """Note the counter."""
        self._start = self._now()

    def stop(self) -> Dict[str, float]:
        """Return the mean power in milliwatts since `start`; nothing if the counter stood still."""
        (start_s, start_mj), (end_s, end_mj) = self._start, self._now()
        if end_mj <= start_mj:
            return {}
        return {self.counted_rails[0]: (end_mj - start_mj) / (end_s - start_s)}

    def _now(self) -> Tuple[float, float]:
        return time.monotonic(), self._nvml.energy_mj(self._index) or 0.0


def mean_power_mw(readings: List[Tuple[float, Mapping[str, float]]]) -> Dict[str, float]:
    """Integrate readings (seconds, milliwatts of every rail) by the trapezoid rule, over their duration.

    Rails that are missing in any reading are left out.
    """
    if len(readings) < 2:
        return {}
    duration_s = readings[-1][0] - readings[0][0]
    rails = set(readings[0][1]).intersection(*(power for _, power in readings))
    if duration_s <= 0:
        return {}
    return {
        rail: sum(
            (later - earlier) * (before[rail] + after[rail]) / 2
            for (earlier, before), (later, after) in zip(readings, readings[1:])  # noqa: B905, RUF007 - 3.8
        )
        / duration_s
        for rail in sorted(rails)
    }


def power_source(rails: PowerRails, nvml: Optional[Nvml], gpu: int = 0) -> Optional[PowerSource]:
    """Return the best source there is: rails of a board, the counter or the power of a GPU, or None."""
    if rails.names:
        return RailSampler(rails.power_mw, rails.whole_module, "INA3221")
    if nvml is None or gpu >= nvml.num_gpus:
        return None
    if nvml.energy_mj(gpu) is not None:
        return GpuEnergyCounter(nvml, gpu)
    if nvml.power_mw(gpu) is None:
        return None
    opened = nvml

    def read_mw() -> Dict[str, float]:
        power_mw = opened.power_mw(gpu)
        return {} if power_mw is None else {_gpu_rail(gpu): power_mw}

    return RailSampler(read_mw, (_gpu_rail(gpu),), "NVML power")


def energy_of(
    run: Callable[[], None], source: Optional[PowerSource], idle_s: float, busy_s: float
) -> Optional[Dict[str, Any]]:
    """Return the energy of one inference in millijoules, idle power subtracted; None without a source.

    Args:
        run: one inference.
        source: integrates power.
        idle_s: how long the power of the idle machine is taken, before.
        busy_s: how long inferences run, one after the other; at least one does.

    Returns:
        `energy_mj` over the counted `rails`, None where the busy machine took no more than the idle one;
        `idle_mw` and `busy_mw` of every rail; `inferences`; `seconds`; `source`.
    """
    if source is None:
        return None
    source.start()
    time.sleep(idle_s)
    idle_mw = source.stop()
    source.start()
    start = time.monotonic()
    inferences = 0
    while inferences == 0 or time.monotonic() - start < busy_s:
        run()
        inferences += 1
    seconds = time.monotonic() - start
    busy_mw = source.stop()
    counted = [rail for rail in source.counted_rails if rail in idle_mw and rail in busy_mw]
    above_mw = sum(busy_mw[rail] - idle_mw[rail] for rail in counted)
    return {
        "energy_mj": above_mw * seconds / inferences if above_mw > 0 else None,
        "rails": counted,
        "idle_mw": idle_mw,
        "busy_mw": busy_mw,
        "inferences": inferences,
        "seconds": seconds,
        "source": source.name,
    }


def _gpu_rail(index: int) -> str:
    return f"GPU {index}"
