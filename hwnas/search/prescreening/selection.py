"""Predicts many networks in chunks, and keeps those on the first front layers: memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray, LongArray
from hwnas.pareto import first_fronts
from hwnas.search_spaces.base import SearchSpace

CHUNK = 4000
"""Networks predicted at once; the draws depend on it, so that it is no setting."""


@dataclass(frozen=True)
class Predictions:
    """What is predicted of n networks.

    Attributes:
        errors: [n].
        costs: second objective, positive, [n].
        are_allowed: within the hard limits as far as those are predicted, [n].
        are_promising: as far as errors go, worth training where the cost is low enough, [n].
    """

    errors: DoubleArray
    costs: DoubleArray
    are_allowed: np.ndarray
    are_promising: np.ndarray


@dataclass(frozen=True)
class Kept:
    """What prescreening has come to.

    Attributes:
        screened: networks predicted so far.
        allowed: of those, within the hard limits.
        genes: positions of values of the kept ones in the choices of each gene, [k, g].
        points: their predicted (error, cost), [k, 2].
        ids: of their architectures.
    """

    screened: int
    allowed: int
    genes: LongArray
    points: DoubleArray
    ids: tuple[str, ...]

    @classmethod
    def nothing(cls, num_genes: int) -> Kept:
        """Return what is known before the first chunk."""
        return cls(0, 0, np.zeros((0, num_genes), np.int64), np.zeros((0, 2)), ())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same back."""
        return {
            "screened": self.screened,
            "allowed": self.allowed,
            "genes": self.genes.tolist(),
            "points": self.points.tolist(),
            "ids": list(self.ids),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], num_genes: int) -> Kept:
        """Rebuild from `to_json`."""
        return cls(
            int(value["screened"]),
            int(value["allowed"]),
            np.array(value["genes"], np.int64).reshape(-1, num_genes),
            np.array(value["points"], np.float64).reshape(-1, 2),
            tuple(value["ids"]),
        )


PredictCandidates = Callable[[Sequence[Architecture]], Predictions]


class Prescreening:
    """Draws networks of a space uniformly; a space that is no larger is gone through whole."""

    def __init__(
        self, space: SearchSpace, predictor: PredictCandidates, *, number: int, keep: int, seed: int
    ) -> None:
        """Prepare.

        Args:
            space: to draw from.
            predictor: predicts a chunk.
            number: networks to predict; repeated draws count, as do those over a limit.
            keep: points on the first layers, at least; whole layers are kept.
            seed: of the draws; chunk i is the same whatever came before it.
        """
        self._space = space
        self._predict = predictor
        self._names = tuple(space.choices)
        self._values = tuple(space.choices.values())
        self._sizes = tuple(len(values) for values in self._values)
        self._size = math.prod(self._sizes)
        self.number = min(number, self._size)
        self._keep = keep
        self._seed = seed

    @property
    def nothing(self) -> Kept:
        """Where prescreening begins."""
        return Kept.nothing(len(self._names))

    def choices(self, genes: Sequence[int]) -> dict[str, Any]:
        """Return the value of every gene by name."""
        return {
            name: values[int(index)]
            for name, values, index in zip(self._names, self._values, genes, strict=True)
        }

    def step(self, kept: Kept) -> Kept:
        """Predict the next chunk."""
        genes = self._drawn(kept.screened, min(kept.screened + CHUNK, self.number))
        networks = [self._space.decode(self.choices(one)) for one in genes.tolist()]
        found = self._predict(networks)
        points = np.column_stack([found.errors, found.costs])
        survivors = np.flatnonzero(found.are_allowed & found.are_promising)
        # Within the chunk first: ids are then needed of a few only.
        survivors = survivors[first_fronts(points[survivors], self._keep)]
        known, new = set(kept.ids), []
        for index in survivors.tolist():
            if networks[index].id not in known:
                known.add(networks[index].id)
                new.append(index)
        ids = (*kept.ids, *(networks[index].id for index in new))
        all_points = np.concatenate([kept.points, points[new]])
        best = first_fronts(all_points, self._keep)
        return Kept(
            kept.screened + len(genes),
            kept.allowed + int(found.are_allowed.sum()),
            np.concatenate([kept.genes, genes[new]])[best],
            all_points[best],
            tuple(ids[index] for index in best),
        )

    def _drawn(self, first: int, end: int) -> LongArray:
        if self.number == self._size:
            return np.stack(np.unravel_index(np.arange(first, end), self._sizes), axis=1).astype(np.int64)
        rng = np.random.default_rng([self._seed, first])
        return rng.integers(self._sizes, size=(end - first, len(self._sizes)))
