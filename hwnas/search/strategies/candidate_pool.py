"""Candidates among which a surrogate chooses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.search.strategies.observations import Genes, Observation, Observations
from hwnas.search.strategies.proposing import GeneCodec
from hwnas.search_spaces.base import encode_many

_BLOCKS, _BLOCK = 20, 100
"""Uniform draws stay for this many trials, this many are new in each: most are encoded already."""
_CHILDREN = 160
_REMEMBERED = 50_000
_CROSSED = 0.3
_TWO_CHANGES = 0.3


@dataclass(frozen=True)
class Encoded:
    """Architectures as numbers.

    Attributes:
        genes: of n architectures.
        ids: of the architectures.
        vectors: their encodings, [n, d].
        log_ms: logarithms of their predicted latencies, NaN for those without a prediction, [n].
        log_spreads: standard deviations that these claim, [n].
    """

    genes: list[Genes]
    ids: list[str]
    vectors: DoubleArray
    log_ms: DoubleArray
    log_spreads: DoubleArray

    def at(self, places: Sequence[int]) -> Encoded:
        """Return those at some places, in this order."""
        return Encoded(
            [self.genes[place] for place in places],
            [self.ids[place] for place in places],
            self.vectors[places],
            self.log_ms[places],
            self.log_spreads[places],
        )

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """Return those of all parts, at least one, in their order."""
        filled = [part for part in parts if part.genes] or parts[:1]
        return cls(
            [genes for part in filled for genes in part.genes],
            [one for part in filled for one in part.ids],
            np.concatenate([part.vectors for part in filled]),
            np.concatenate([part.log_ms for part in filled]),
            np.concatenate([part.log_spreads for part in filled]),
        )


class CandidatePool:
    """Draws and encodes what is neither known nor forbidden."""

    def __init__(self, codec: GeneCodec, observations: Observations) -> None:
        """Take over space and trials."""
        self.codec = codec
        self._observations = observations
        self._vectors: OrderedDict[str, DoubleArray] = OrderedDict()
        self._blocks: OrderedDict[int, Encoded] = OrderedDict()

    def around(self, parents: Sequence[Observation], number: int, rng: np.random.Generator) -> Encoded:
        """Return uniform draws, and children of parents by mutation and crossover, for a trial."""
        drawn = [self._uniform(block) for block in range(number, number + _BLOCKS)]
        children = [self._child(parents, rng) for _ in range(_CHILDREN if parents else 0)]
        return self._fresh(Encoded.joined([*drawn, self._allowed(children)]))

    def _uniform(self, block: int) -> Encoded:
        """Return allowed draws that depend on the seed of the run and their number alone."""
        if block not in self._blocks:
            rng = np.random.default_rng([self.codec.context.seed, block, _BLOCK])
            self._blocks[block] = self._allowed([self.codec.uniform(rng) for _ in range(_BLOCK)])
            if len(self._blocks) > 2 * _BLOCKS:
                self._blocks.popitem(last=False)
        return self._blocks[block]

    def neighbours(self, genes: Iterable[Genes], each: int, rng: np.random.Generator) -> Encoded:
        """Return mutants of candidates."""
        return self.encoded([self.codec.mutated(one, rng) for one in genes for _ in range(each)])

    def encoded(self, genes: Iterable[Genes]) -> Encoded:
        """Encode those that are new and allowed, each once."""
        return self._fresh(self._allowed(list(genes)))

    def _allowed(self, genes: Sequence[Genes]) -> Encoded:
        """Encode those that a latency table leaves a chance to be within the hard limit."""
        allowed = self.codec.allowed(genes)
        return self.described([one for one, is_allowed in zip(genes, allowed, strict=True) if is_allowed])

    def _fresh(self, found: Encoded) -> Encoded:
        """Return those that are not known, each once."""
        places = {one: place for place, one in reversed(list(enumerate(found.ids)))}
        are_known = self._observations.are_known(places)
        fresh = sorted(
            place for place, is_known in zip(places.values(), are_known, strict=True) if not is_known
        )
        return found if len(fresh) == len(found.ids) else found.at(fresh)

    def described(self, genes: Sequence[Genes]) -> Encoded:
        """Encode architectures as they are."""
        architectures = [self.codec.architecture(one) for one in genes]
        ids = [one.id for one in architectures]
        new = {one.id: one for one in architectures if one.id not in self._vectors}
        if new:
            encoded = encode_many(self.codec.space, list(new.values())).astype(np.float64)
            self._vectors.update(zip(new, encoded, strict=True))
        vectors = [self._vectors[one] for one in ids]
        log_ms, log_spreads = np.full(len(genes), np.nan), np.zeros(len(genes))
        for index, prediction in enumerate(self.codec.context.latencies(architectures)):
            if prediction is not None and prediction.interval_ms[0] > 0:
                low_ms, high_ms = prediction.interval_ms
                log_ms[index] = np.log(prediction.latency_ms)
                log_spreads[index] = np.log(high_ms / low_ms) / 3.3
        while len(self._vectors) > _REMEMBERED:
            self._vectors.popitem(last=False)
        return Encoded(list(genes), ids, np.array(vectors, np.float64, ndmin=2), log_ms, log_spreads)

    def _child(self, parents: Sequence[Observation], rng: np.random.Generator) -> Genes:
        parent = parents[int(rng.integers(len(parents)))].genes
        if rng.random() < _CROSSED:
            other = parents[int(rng.integers(len(parents)))].genes
            takes = rng.random(len(parent)) < 0.5
            parent = tuple(b if take else a for a, b, take in zip(parent, other, takes, strict=True))
        return self.codec.mutated(parent, rng, 2 if rng.random() < _TWO_CHANGES else 1)
