"""How long each kernel of a network takes, measured or not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.kernel_graph.kernels import KIND, KINDS, Rows, group_rows
from hwnas.latency.predict.gaussian_process import GaussianProcess, Hyperparameters, fit
from hwnas.latency.predict.kernel_features import basis, coordinates

_MIN_POINTS = 8
"""A kind with fewer different kernels takes the mean of them: it hardly occurs in the space."""
_MAX_POINTS = 1200
_SEARCH_POINTS = 400
"""Each of hundreds of trials of hyperparameters costs the cube of it."""
_UNSEEN_MS = 0.005
_FAR, _LEAST_SPREAD, _LITTLE_TRUST = 4.0, 0.02, 0.001


class KernelTimes:
    """Times of single kernels: a Gaussian process over the logarithm of the time for each kind.

    The process is drawn to the points that were measured and lies between them elsewhere.
    """

    def __init__(self, rows: Rows, ms: DoubleArray, hyperparameters: Mapping[str, Hyperparameters]) -> None:
        """Take over measured kernels.

        Args:
            rows: different kernels, [n, columns].
            ms: their times, [n].
            hyperparameters: by kind; of a kind that is absent they are searched for, which takes seconds.
        """
        found: dict[str, Hyperparameters] = {}
        self._processes: dict[int, GaussianProcess] = {}
        self._means: dict[int, float] = {}
        for kind in np.unique(rows[:, KIND]).tolist():
            own = np.flatnonzero(rows[:, KIND] == kind)[:_MAX_POINTS]
            values = np.log(np.maximum(ms[own], 1e-6))
            self._means[kind] = float(np.exp(values.mean()))
            if len(own) < _MIN_POINTS:
                continue
            points = basis(rows[own]), coordinates(rows[own]), values
            known = hyperparameters.get(KINDS[kind]) or _searched(*points)
            trust = _trust(GaussianProcess(*points, known).surprises())
            self._processes[kind] = GaussianProcess(*points, known, trust)
            found[KINDS[kind]] = known
        self.hyperparameters: Mapping[str, Hyperparameters] = MappingProxyType(found)

    def predict(self, rows: Rows) -> DoubleArray:
        """Return times in ms, [n]."""
        different, index = group_rows(rows)
        ms = np.empty(len(different))
        for kind in np.unique(different[:, KIND]).tolist():
            own = different[:, KIND] == kind
            process = self._processes.get(kind)
            if process is None:
                ms[own] = self._means.get(kind, _UNSEEN_MS)
            else:
                ms[own] = np.exp(process.predict(basis(different[own]), coordinates(different[own])))
        return ms[index]

    def by_kind(self, rows: Rows, owners: npt.NDArray[np.intp], networks: int) -> DoubleArray:
        """Return the time that each network spends in each kind of kernel, in ms, [networks, kinds]."""
        cells = owners * len(KINDS) + rows[:, KIND]
        sums = np.bincount(cells, self.predict(rows), networks * len(KINDS))
        return np.asarray(sums, np.float64).reshape(networks, len(KINDS))


def _searched(basis: DoubleArray, coordinates: DoubleArray, values: DoubleArray) -> Hyperparameters:
    """Return the likeliest hyperparameters, of some of the points where there are many."""
    some = np.random.default_rng(0).permutation(len(values))[:_SEARCH_POINTS]
    points = basis[some], coordinates[some], values[some]
    trust = _trust(fit(*points, sweeps=1).surprises())
    return fit(*points, trust).hyperparameters


def _trust(surprises: DoubleArray) -> DoubleArray:
    """Return how much each point counts: hardly, where it lies far above all that is around it.

    A kernel that was interrupted took longer, never shorter. Its time stays in the table.
    """
    spread = 1.4826 * float(np.median(np.abs(surprises - np.median(surprises))))
    return np.where(surprises > _FAR * max(spread, _LEAST_SPREAD), _LITTLE_TRUST, 1.0)


def hyperparameters_to_json(values: Mapping[str, Hyperparameters]) -> dict[str, Any]:
    """Return plain JSON values."""
    return {kind: value.to_json() for kind, value in values.items()}


def hyperparameters_from_json(values: Mapping[str, Any]) -> dict[str, Hyperparameters]:
    """Rebuild from `hyperparameters_to_json`."""
    return {kind: Hyperparameters.from_json(value) for kind, value in values.items()}
