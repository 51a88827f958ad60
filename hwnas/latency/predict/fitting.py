"""From a profile to a table: kernels gathered, a predictor fitted, its error on networks left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.errors import LatencyTableError
from hwnas.io_spec import NetworkContract
from hwnas.kernel_graph.images import Index
from hwnas.kernel_graph.kernels import Rows, group_rows, row_of_kernel
from hwnas.latency.predict.correction import Correction, fit_correction
from hwnas.latency.predict.decomposition import BLOCKS, Decomposition, kernels_of_space
from hwnas.latency.predict.gaussian_process import Hyperparameters
from hwnas.latency.predict.kernel_times import KernelTimes
from hwnas.latency.predict.machine_speed import MachineSpeed
from hwnas.latency.predict.predictor import claims_of
from hwnas.latency.predict.profiling import ProfiledNetwork
from hwnas.latency.predict.table import KernelEntry, LatencyTable, NetworkEntry
from hwnas.one_thread import one_thread
from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.rank_correlation import spearman_rho
from hwnas.search_spaces.base import SearchSpace

CONFIDENCE = 0.9
MIN_NETWORKS = 10
_FOLDS = 10


@dataclass(frozen=True)
class _Observed:
    """Kernels that were timed: what they compute, their time, and the network they ran in."""

    rows: Rows
    ms: DoubleArray
    owners: Index

    def of(self, networks: npt.NDArray[np.bool_]) -> _Observed:
        chosen = networks[self.owners]
        return _Observed(self.rows[chosen], self.ms[chosen], self.owners[chosen])

    def entries(self) -> tuple[Rows, list[DoubleArray]]:
        """Return every different kernel, and all its times."""
        rows, index = group_rows(self.rows)
        order = np.argsort(index, kind="stable")
        bounds = np.searchsorted(index[order], np.arange(1, len(rows)))
        return rows, list(np.split(self.ms[order], bounds))

    def times(self, hyperparameters: Mapping[str, Hyperparameters]) -> KernelTimes:
        rows, ms = self.entries()
        return KernelTimes(rows, np.array([np.median(own) for own in ms]), hyperparameters)


def fit_table(
    profiled: Sequence[ProfiledNetwork],
    header: Mapping[str, Any],
    space: SearchSpace,
    contract: NetworkContract,
    provenance: Mapping[str, Any],
) -> LatencyTable:
    """Return the table that a profile makes.

    Args:
        profiled: networks that were measured.
        header: what the profile says of itself, see `hwnas.latency.predict.profiling.header_of`.
        space: that the networks are of.
        contract: that they meet.
        provenance: goes into the table as it is.

    Raises:
        LatencyTableError: if the networks are too few.
    """
    if len(profiled) < MIN_NETWORKS:
        raise LatencyTableError(
            f"A table needs at least {MIN_NETWORKS} networks, but {len(profiled)} were measured. "
            "Raise `budget_s=`."
        )
    with one_thread():
        return _fitted(profiled, header, space, contract, provenance)


def _fitted(
    profiled: Sequence[ProfiledNetwork],
    header: Mapping[str, Any],
    space: SearchSpace,
    contract: NetworkContract,
    provenance: Mapping[str, Any],
) -> LatencyTable:
    measured = [network.measured for network in profiled]
    has_kernels = any(network.kernels for network in measured)
    block = block_of_backend(profiled, space) if has_kernels else 1
    decomposition = Decomposition(space, block)
    # How far networks follow the reference shows in how they miss predictions, which need not be good for it.
    speed = MachineSpeed.usual(measured)
    first = _Fit.make(profiled, speed, decomposition, {})
    speed = speed.refitted(measured, first.predicted)
    found = _Fit.make(profiled, speed, decomposition, first.hyperparameters)
    return LatencyTable(
        target=str(header["target"]),
        fingerprint=dict(header["fingerprint"]),
        space=space.name,
        contract=contract,
        choices=dict(header["choices"]),
        provenance=provenance,
        block=block,
        kernels=() if found.observed is None else _kernel_entries(found.observed),
        networks=tuple(
            network_entry(*entry)
            for entry in zip(profiled, found.ms.tolist(), found.predicted.tolist(), strict=True)
        ),
        hyperparameters=found.hyperparameters,
        kinds=decomposition.kinds,
        correction=found.correction,
        confidence=CONFIDENCE,
        held_out=errors_of(found.predicted, found.ms),
        precision=str(header.get("precision", FP32)),
        speed=speed,
    )


@dataclass(frozen=True)
class _Fit:
    """What was fitted to latencies at one speed: `predicted` by others and `ms` of each network, [n]."""

    ms: DoubleArray
    predicted: DoubleArray
    observed: _Observed | None
    correction: Correction
    hyperparameters: Mapping[str, Hyperparameters]

    @classmethod
    def make(
        cls,
        profiled: Sequence[ProfiledNetwork],
        speed: MachineSpeed,
        decomposition: Decomposition,
        hyperparameters: Mapping[str, Hyperparameters],
    ) -> _Fit:
        ms = speed.all_of([network.measured for network in profiled])
        rows, owners = decomposition.rows([network.architecture for network in profiled])
        observed = _observed(profiled, ms) if decomposition.are_kernels else None
        if observed is None:
            claims = claims_of(decomposition, None, rows, owners, len(ms))
            correction, predicted = fit_correction(claims, ms, are_times=False)
            return cls(ms, predicted, None, correction, {})
        times = observed.times(hyperparameters)
        claims = _claims_of_others(observed, times, decomposition, rows, owners, len(ms))
        correction, predicted = fit_correction(claims, ms, are_times=True)
        return cls(ms, predicted, observed, correction, times.hyperparameters)


def errors_of(predicted: DoubleArray, measured: DoubleArray) -> dict[str, float]:
    """Return shares within 5 and 10 %, mean absolute relative error, and Spearman's rank correlation."""
    relative = np.abs(predicted / measured - 1.0)
    return {
        "networks": float(len(measured)),
        "within_5": round(float(np.mean(relative <= 0.05)), 4),
        "within_10": round(float(np.mean(relative <= 0.10)), 4),
        "mape": round(float(np.mean(relative)), 4),
        "spearman": round(spearman_rho(predicted, measured), 5),
    }


def block_of_backend(profiled: Sequence[ProfiledNetwork], space: SearchSpace) -> int:
    """Return the block with which the kernels of the space agree best with those that ran."""
    sample = [network for network in profiled if network.measured.kernels][:20]
    ran = Counter(
        (index, tuple(row_of_kernel(kernel)))
        for index, network in enumerate(sample)
        for kernel in network.measured.kernels or ()
    )

    def agreement(block: int) -> int:
        decompose = kernels_of_space(space, block)
        if decompose is None:
            return 0
        rows, owners = decompose([network.architecture for network in sample])
        made = Counter((int(owner), tuple(row)) for owner, row in zip(owners, rows.tolist(), strict=True))
        return (made & ran).total()

    return max(BLOCKS, key=agreement)


def _observed(profiled: Sequence[ProfiledNetwork], network_ms: DoubleArray) -> _Observed | None:
    """Return all kernels, or None if the backend did not tell them.

    Times are scaled so that those of a network add up to what it takes: profiling costs time, and the machine
    may have been slower just then.
    """
    rows, ms, owners = [], [], []
    for index, network in enumerate(profiled):
        kernels = network.measured.kernels or ()
        scale = float(network_ms[index]) / max(sum(float(kernel["ms"]) for kernel in kernels), 1e-6)
        for kernel in kernels:
            rows.append(row_of_kernel(kernel))
            ms.append(float(kernel["ms"]) * scale)
            owners.append(index)
    if not rows:
        return None
    return _Observed(np.array(rows, np.int32), np.array(ms), np.array(owners))


def _claims_of_others(
    observed: _Observed,
    times: KernelTimes,
    decomposition: Decomposition,
    rows: Rows,
    owners: Index,
    networks: int,
) -> DoubleArray:
    """Return what the parts of each network claim according to networks other than it.

    A network's own kernels fit it too well to say how one that was never measured is predicted.
    """
    folds = np.random.default_rng(0).permutation(networks) % min(_FOLDS, networks)
    claims = np.zeros((networks, 0))
    for fold in range(folds.max() + 1):
        others = observed.of(folds != fold).times(times.hyperparameters)
        own = (folds == fold)[owners]
        found = claims_of(decomposition, others, rows[own], owners[own], networks)
        claims = found if not claims.size else claims + found
    return claims


def _kernel_entries(observed: _Observed) -> tuple[KernelEntry, ...]:
    entries = []
    for row, times in zip(*observed.entries(), strict=True):
        low, high = np.quantile(times, (0.05, 0.95)) if len(times) >= 20 else (times.min(), times.max())
        interval = round(float(low), 5), round(float(high), 5)
        median = round(float(np.median(times)), 5)
        entries.append(KernelEntry(tuple(row.tolist()), max(median, 1e-5), interval, len(times)))
    return tuple(sorted(entries, key=lambda entry: entry.row))


def network_entry(network: ProfiledNetwork, latency_ms: float, predicted_ms: float) -> NetworkEntry:
    """Return what a table keeps of a network that was measured, and predicted without itself."""
    medians = [float(np.median(block)) for block in network.measured.samples_ms] + [latency_ms]
    return NetworkEntry(
        network.architecture,
        round(latency_ms, 5),
        (min(medians), max(medians)),
        network.measured.samples_ms,
        network.measured.reference_ms,
        round(predicted_ms, 5),
        network.measured.model_sha256,
    )
