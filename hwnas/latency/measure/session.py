"""Fresh processes on one target that hold the same models and are clocked in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.io_spec import IoSpec
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.transports.base import AgentConnection

Ask = Callable[..., Mapping[str, Any]]
"""Asks an agent: (agent, operation, extra_s=, **arguments), `extra_s` beyond the usual silence."""

_SLOW_MS = 333.0


@dataclass(frozen=True)
class Warmup:
    """How one model warmed up in one process.

    Attributes:
        seconds: it took.
        median_ms: of its last window.
        window_ms: samples of that window.
        is_settled: whether its last two windows agreed.
        gave_up: whether it ended because the model is far over the limit.
    """

    seconds: float
    median_ms: float
    window_ms: tuple[float, ...]
    is_settled: bool
    gave_up: bool


@dataclass(frozen=True)
class Block:
    """Inferences of one model, one after the other.

    Attributes:
        name: of the model.
        count: samples.
        lead: inferences before the first sample that are not clocked.
    """

    name: str
    count: int
    lead: int = 1


class Session:
    """Has the target to itself while it lasts; made by `AgentMeter`."""

    def __init__(
        self,
        agents: Sequence[AgentConnection],
        ask: Ask,
        place: Callable[[Any], str],
        protocol: MeasuringProtocol,
    ) -> None:
        """Take over agents that are set up; the first one holds the lock.

        Args:
            agents: the processes.
            ask: asks one of them.
            place: makes a file readable on the target and returns its path there.
            protocol: of the warm-up.
        """
        self.agents = tuple(agents)
        self._ask = ask
        self._place = place
        self._protocol = protocol

    def load(self, name: str, model: Any, io_spec: IoSpec) -> None:
        """Load an ONNX file under a name in every process, instead of what had that name.

        Raises:
            MeasurementError: if the backend refuses it or its inputs differ from `io_spec`.
        """
        path = self._place(model)
        for agent in self.agents:
            arguments = {"model": path, "io_spec": io_spec.to_json(), "seed": self._protocol.seed}
            self._ask(agent, "load", **arguments, name=name)

    def unload(self, name: str) -> None:
        """Forget a model."""
        for agent in self.agents:
            self._ask(agent, "unload", name=name)

    def state(self) -> Mapping[str, Any]:
        """Return clocks, temperatures and alarms of the target at the moment."""
        state: Mapping[str, Any] = self._ask(self.agents[0], "state")["state"]
        return state

    def warm_up(self, agent: AgentConnection, name: str, give_up_over_ms: float | None = None) -> Warmup:
        """Warm one model up in one process, see `hwnas.latency.agent.clock.warm_up`."""
        protocol = self._protocol
        max_s = max(protocol.max_warmup_s, protocol.warmup_s)
        found = self._ask(
            agent,
            "warm_up",
            extra_s=max_s,
            min_s=protocol.warmup_s,
            max_s=max_s,
            tolerance=protocol.warmup_tolerance,
            name=name,
            give_up_over_ms=give_up_over_ms,
        )
        return Warmup(
            seconds=float(found["seconds"]),
            median_ms=float(found["median_ms"]),
            window_ms=tuple(float(sample) for sample in found["window_ms"]),
            is_settled=bool(found["is_settled"]),
            gave_up=bool(found["gave_up"]),
        )

    def clock(
        self, agents: Sequence[AgentConnection], blocks: Sequence[Block]
    ) -> list[dict[str, list[float]]]:
        """Clock one round: in each process all blocks in order.

        Returns:
            For each process the samples in ms by name of the model, blocks of one name joined.
        """
        rounds = []
        for agent in agents:
            samples: dict[str, list[float]] = {}
            for block in blocks:
                arguments = {"name": block.name, "count": block.count, "lead": block.lead}
                samples.setdefault(block.name, []).extend(
                    self._ask(agent, "clock", **arguments)["samples_ms"]
                )
            rounds.append(samples)
        return rounds


def block_of(name: str, median_ms: float, block_s: float, protocol: MeasuringProtocol) -> Block:
    """Return a block that lasts about `block_s` for a model that takes `median_ms`.

    It has at least three samples, since it begins with an inference that is not clocked. A model so slow that
    these would take more than a second gets one sample and no such inference: caches matter little to it.
    """
    if median_ms > _SLOW_MS:
        return Block(name, 1, lead=0)
    return Block(name, min(max(int(block_s * 1000 / median_ms), 3), protocol.max_block_samples))


def stacked(rounds: Sequence[Sequence[Mapping[str, list[float]]]], name: str) -> NDArray[np.float64]:
    """Return the samples of one model in ms, [processes, rounds, samples of a round]."""
    values = np.array([[process[name] for process in clocked] for clocked in rounds], dtype=np.float64)
    return values.swapaxes(0, 1)
