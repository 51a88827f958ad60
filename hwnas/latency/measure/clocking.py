"""Clocks models by turns until their ratio is known well enough, or time is over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwnas.latency.agent.state import throttling
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.reference import REFERENCE
from hwnas.latency.measure.session import Block, Session, Warmup, block_of, stacked
from hwnas.latency.measure.statistics import (
    median_interval,
    ratio_interval,
    relative_half_width,
    round_ratios,
)

MODEL = "model"
OTHER = "other"

PRECISE = "precise"
TIME_LIMIT = "time limit"
SAMPLE_LIMIT = "sample limit"
OVER_LIMIT = "over the limit"

_QUICK_RESAMPLES = 300


@dataclass(frozen=True)
class Clocked:
    """What one attempt gave.

    Attributes:
        samples_ms: [processes, rounds, samples of a round] by name of the model.
        warmups: by name of the model, one a process.
        ended: why clocking ended.
        throttling: what slowed the target down meanwhile, empty if nothing did.
        states: of the target at start and end.
    """

    samples_ms: Mapping[str, NDArray[np.float64]]
    warmups: Mapping[str, Sequence[Warmup]]
    ended: str
    throttling: tuple[str, ...] = ()
    states: tuple[Mapping[str, object], ...] = ()

    def ratios(self, name: str, base: str) -> NDArray[np.float64]:
        """Return the ratios of two models, [processes, rounds]."""
        return round_ratios(self.samples_ms[name], self.samples_ms[base])


def clock_model(
    session: Session,
    protocol: MeasuringProtocol,
    give_up_over_ms: float | None,
    earlier: Clocked | None = None,
) -> Clocked:
    """Clock `MODEL` by turns with `REFERENCE`, both loaded; stop early once it is clearly over a limit.

    Args:
        session: the processes.
        protocol: how.
        give_up_over_ms: the limit.
        earlier: the attempt before this one, which has warmed everything up.
    """
    before = session.state()
    if earlier is not None:
        warmups = _warm_since(earlier)
    else:
        warmups = {MODEL: [], REFERENCE: []}
        for agent in session.agents:
            warmups[MODEL].append(session.warm_up(agent, MODEL, give_up_over_ms))
            if warmups[MODEL][-1].gave_up:
                return _given_up(warmups)
            warmups[REFERENCE].append(session.warm_up(agent, REFERENCE))
    half = _half(_block(REFERENCE, warmups, protocol.reference_block_s, protocol))
    plan = (half, _block(MODEL, warmups, protocol.block_s, protocol), half)
    return _clock(session, plan, (MODEL, REFERENCE), warmups, before, protocol, give_up_over_ms)


def clock_pair(session: Session, protocol: MeasuringProtocol, earlier: Clocked | None = None) -> Clocked:
    """Clock `MODEL`, `OTHER` and `REFERENCE` by turns, until the ratio of the first two is known."""
    before = session.state()
    if earlier is not None:
        warmups = _warm_since(earlier)
    else:
        names = (MODEL, OTHER, REFERENCE)
        warmups = {name: [session.warm_up(agent, name) for agent in session.agents] for name in names}
    reference = _half(_block(REFERENCE, warmups, protocol.reference_block_s, protocol))
    model = _half(_block(MODEL, warmups, protocol.block_s, protocol))
    plan = (reference, model, _block(OTHER, warmups, protocol.block_s, protocol), model, reference)
    return _clock(session, plan, (OTHER, MODEL), warmups, before, protocol, None)


def _warm_since(earlier: Clocked) -> dict[str, list[Warmup]]:
    """Return the warm-ups of an attempt as settled: its clocking went on where they ended."""
    return {
        name: [replace(warmup, is_settled=True) for warmup in warmups]
        for name, warmups in earlier.warmups.items()
    }


def _block(
    name: str, warmups: Mapping[str, Sequence[Warmup]], block_s: float, protocol: MeasuringProtocol
) -> Block:
    median_ms = float(np.median([warmup.median_ms for warmup in warmups[name]]))
    return block_of(name, median_ms, block_s, protocol)


def _half(block: Block) -> Block:
    return Block(block.name, (block.count + 1) // 2, block.lead)


def _given_up(warmups: Mapping[str, Sequence[Warmup]]) -> Clocked:
    """Return the inferences of the warm-up that gave the model up: they are all there is."""
    samples = np.array([[warmups[MODEL][-1].window_ms]])
    return Clocked({MODEL: samples}, {MODEL: warmups[MODEL][-1:]}, OVER_LIMIT)


def _clock(
    session: Session,
    plan: Sequence[Block],
    pair: tuple[str, str],
    warmups: Mapping[str, Sequence[Warmup]],
    before: Mapping[str, object],
    protocol: MeasuringProtocol,
    give_up_over_ms: float | None,
) -> Clocked:
    rounds: list[list[dict[str, list[float]]]] = []
    start = time.monotonic()
    ended = ""
    while not ended:
        rounds.append(session.clock(session.agents, plan))
        samples = {name: stacked(rounds, name) for name in dict.fromkeys(block.name for block in plan)}
        ended = _ending(samples, pair, time.monotonic() - start, protocol, give_up_over_ms)
    after = session.state()
    return Clocked(samples, warmups, ended, tuple(throttling(before, after)), (before, after))


def _ending(
    samples: Mapping[str, NDArray[np.float64]],
    pair: tuple[str, str],
    seconds: float,
    protocol: MeasuringProtocol,
    give_up_over_ms: float | None,
) -> str:
    """Return why clocking is to end after this round; empty if it is not."""
    clocked = samples[pair[0]]
    rounds = clocked.shape[1]
    if rounds > 1 and give_up_over_ms is not None:
        low, _ = median_interval(clocked, protocol.confidence, resamples=_QUICK_RESAMPLES)
        if low > give_up_over_ms:
            return OVER_LIMIT
    is_enough = rounds >= max(protocol.min_rounds, 2) and clocked.size >= protocol.min_samples
    if is_enough:
        ratios = round_ratios(clocked, samples[pair[1]])
        interval = ratio_interval(ratios, protocol.confidence, resamples=_QUICK_RESAMPLES)
        if relative_half_width(float(np.median(ratios)), interval) <= protocol.relative_interval:
            return PRECISE
    if clocked.size >= max(protocol.max_samples, protocol.min_samples):
        return SAMPLE_LIMIT
    limit_s = protocol.max_s if is_enough else max(protocol.max_s, protocol.limit_s)
    return TIME_LIMIT if seconds >= limit_s else ""
