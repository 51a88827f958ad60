"""How a surrogate sees architectures: their encoding and, with a latency table, the predicted latency."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hwnas.arrays import DoubleArray
from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.candidate_pool import CandidatePool, Encoded
from hwnas.search.strategies.surrogate.model import Scale
from hwnas.search_spaces.base import SupportsEncodingParts

_DRAWS = 300


class View:
    """Features of architectures and their scale, which uniform draws from the space determine."""

    def __init__(self, pool: CandidatePool, context: StrategyContext) -> None:
        """Take over the space."""
        self._pool = pool
        self._context = context
        self._scales: dict[bool, Scale] = {}

    @cached_property
    def everywhere(self) -> Encoded:
        """Uniform draws that depend on the seed of the run alone."""
        rng = np.random.default_rng([self._context.seed, _DRAWS])
        return self._pool.described([self._pool.codec.uniform(rng) for _ in range(_DRAWS)])

    @cached_property
    def usual_log_ms(self) -> float:
        """Logarithm of the latency to expect of a network without a prediction."""
        known = self.everywhere.log_ms[np.isfinite(self.everywhere.log_ms)]
        return float(known.mean()) if len(known) else 0.0

    def features(self, known: Encoded, *, with_latency: bool) -> DoubleArray:
        """Return one row of features for every architecture."""
        vectors = known.vectors
        if not known.genes:  # as wide as those of any
            vectors = np.zeros((0, self.everywhere.vectors.shape[1]))
        if not with_latency:
            return vectors
        return np.column_stack([vectors, np.nan_to_num(known.log_ms, nan=self.usual_log_ms)])

    def scale(self, *, with_latency: bool) -> Scale:
        """Return the scale of the parts: those that the space names, then the latency."""
        if with_latency not in self._scales:
            space, width = self._context.space, self.everywhere.vectors.shape[1]
            parts = space.encoding_parts if isinstance(space, SupportsEncodingParts) else (width,)
            features = self.features(self.everywhere, with_latency=with_latency)
            self._scales[with_latency] = Scale.of(features, (*parts, *((1,) if with_latency else ())))
        return self._scales[with_latency]
