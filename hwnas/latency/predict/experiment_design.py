"""Which networks of a space to measure, so that few show as much as possible of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from hwnas.architecture import Architecture
from hwnas.latency.predict.decomposition import Decompose
from hwnas.latency.predict.kernel_features import operations
from hwnas.search_spaces.base import SearchSpace, sample_choices

_POOL = 24
_OVERHEAD_MACS = 5e9
"""A network costs about as much time before it is clocked as this many multiply-accumulates take to run."""


def designed_experiment(
    space: SearchSpace, decompose: Decompose | None, seed: int, most_operations: float = math.inf
) -> Iterator[Architecture]:
    """Yield different networks without end, until the space is exhausted.

    Every other one is drawn uniformly, so that whole networks are evaluated as they come. The others are
    those of a drawn pool that hold the most kernels not met yet for the time they take: the space has far
    more kernels than can be measured.

    Args:
        space: to choose from.
        decompose: from networks to kernels; None where those are unknown, then all are drawn uniformly.
        seed: equal seeds give equal networks.
        most_operations: multiply-accumulate operations of one network, where kernels are known.
    """
    rng = np.random.default_rng(seed)
    met: set[Architecture] = set()
    known: set[bytes] = set()
    index = repeats = 0
    while repeats < 1000:
        size = 1 if decompose is None or index % 2 == 0 else _POOL
        pool = [space.decode(sample_choices(space, rng)) for _ in range(size)]
        pool = [architecture for architecture in dict.fromkeys(pool) if architecture not in met]
        pool = affordable(pool, decompose, most_operations)
        if not pool:
            repeats += 1
            continue
        repeats = 0
        chosen = pool[0] if decompose is None else pool[_most_telling(pool, decompose, known)]
        met.add(chosen)
        index += 1
        yield chosen


def affordable(
    architectures: Sequence[Architecture], decompose: Decompose | None, most_operations: float
) -> list[Architecture]:
    """Return those that need no more multiply-accumulate operations; all, where kernels are unknown."""
    if decompose is None or not architectures:
        return list(architectures)
    rows, owners = decompose(architectures)
    totals = np.bincount(owners, operations(rows), len(architectures))
    return [each for each, total in zip(architectures, totals, strict=True) if total <= most_operations]


def _most_telling(pool: Sequence[Architecture], decompose: Decompose, known: set[bytes]) -> int:
    """Return which network has the most unknown kernels for its cost; they become known."""
    rows, owners = decompose(pool)
    own = [{row.tobytes() for row in rows[owners == number]} for number in range(len(pool))]
    costs = np.bincount(owners, operations(rows), len(pool)) + _OVERHEAD_MACS
    best = int(np.argmax([len(kernels - known) / cost for kernels, cost in zip(own, costs, strict=True)]))
    known |= own[best]
    return best
