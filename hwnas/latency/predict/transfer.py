"""A table of a new device from few measurements there and the tables of other devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture
from hwnas.arrays import DoubleArray
from hwnas.errors import LatencyTableError
from hwnas.io_spec import NetworkContract
from hwnas.kernel_graph.kernels import KIND, KINDS
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.predict.correction import fit_correction
from hwnas.latency.predict.decomposition import kernels_of_space
from hwnas.latency.predict.few_shot import Index, NetworkPool, choose_samples, learn_likeness, predict
from hwnas.latency.predict.fitting import errors_of, network_entry
from hwnas.latency.predict.kernel_features import operations
from hwnas.latency.predict.profiling import (
    ProfiledNetwork,
    ProfileProgress,
    ProfileSettings,
    header_of,
    profile,
)
from hwnas.latency.predict.table import LatencyTable
from hwnas.one_thread import one_thread
from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.search_spaces.base import SearchSpace, sample_choices
from hwnas.version import __version__

_POOL = 1000
_MIN_SAMPLES = 5
_MOST_S = 60.0
"""For one network; where it is used up, fewer are measured."""
_MAX_DRAWS = 20 * _POOL


def make_table_from_others(
    target: str,
    space: SearchSpace,
    contract: NetworkContract,
    directory: Path,
    tables: Sequence[LatencyTable],
    samples: int,
    *,
    seed: int = 0,
    precision: str = FP32,
    listener: Callable[[ProfileProgress], None] = lambda _: None,
) -> LatencyTable:
    """Return a table of a target; goes on with what `directory` holds.

    Networks are drawn from the space, and the tables predict them on their devices. Those that tell most
    are measured on the target, and the others predicted from these (`hwnas.latency.predict.few_shot`). The
    table keeps the kernels of the device that is most alike, weighted so that it predicts the same.

    Args:
        target: URL of the target.
        space: to draw networks from; registered under its name.
        contract: that its networks meet.
        directory: keeps raw measurements.
        tables: of other devices, of the same space and input.
        samples: networks to measure, from 5.
        seed: of the networks.
        precision: of the networks on the target, `fp32` or `fp16`; tables may be of another.
        listener: is told how far it is.

    Raises:
        LatencyTableError: if tables do not cover the networks, or there are too few samples.
        MeasurementError: as `hwnas.latency.predict.profiling.profile`.
    """
    if samples < _MIN_SAMPLES:
        raise LatencyTableError(f"At least {_MIN_SAMPLES} samples are needed, but {samples} are asked for.")
    networks = _drawn(space, tables, seed)
    rng = np.random.default_rng(seed)
    with one_thread():
        pool = _pool(space, tables, networks)
        everything = np.arange(len(networks))
        likeness = learn_likeness(pool, everything, samples, rng)
        chosen = choose_samples(pool, everything, samples, rng, likeness)
    design = [networks[index] for index in chosen]
    settings = ProfileSettings(
        budget_s=_MOST_S * samples, max_networks=samples, seed=seed, precision=precision
    )
    meter = open_meter(target)
    with meter:
        profiled = profile(meter, space, contract, directory, settings, listener, design)
    by_network = {network.architecture: network for network in profiled}
    measured = np.array([index for index in chosen if networks[index] in by_network])
    samples_of_target = [by_network[networks[index]] for index in measured]
    with one_thread():
        return _table(
            header_of(directory), space, contract, tables, pool, networks, (measured, samples_of_target)
        )


def _drawn(space: SearchSpace, tables: Sequence[LatencyTable], seed: int) -> list[Architecture]:
    """Return different networks that every table covers."""
    rng = np.random.default_rng(seed)
    drawn: dict[Architecture, None] = {}
    for _ in range(_MAX_DRAWS):
        architecture = space.decode(sample_choices(space, rng))
        if all(table.covers(architecture) for table in tables):
            drawn[architecture] = None
        if len(drawn) == _POOL:
            break
    if len(drawn) < 2 * _MIN_SAMPLES:
        raise LatencyTableError(
            f"The tables cover {len(drawn)} of {_MAX_DRAWS} networks drawn from {space.name!r}; they must be "
            "of this space and of these input sizes."
        )
    return list(drawn)


def _pool(
    space: SearchSpace, tables: Sequence[LatencyTable], networks: Sequence[Architecture]
) -> NetworkPool:
    known_ms = np.column_stack([table.predictor(space).predict(networks).latency_ms for table in tables])
    return NetworkPool(known_ms, _features(space, networks), _choices(networks))


def _features(space: SearchSpace, networks: Sequence[Architecture]) -> DoubleArray:
    """Return roots of the operations by kind of kernel, where kernels of the space are known."""
    decompose = kernels_of_space(space, 1)
    if decompose is None:
        return np.zeros((len(networks), 0))
    rows, owners = decompose(networks)
    cells = owners * len(KINDS) + rows[:, KIND]
    sums = np.bincount(cells, operations(rows), len(networks) * len(KINDS))
    sums = sums.reshape(len(networks), len(KINDS))
    return np.asarray(np.sqrt(sums[:, sums.any(axis=0)]), np.float64)


def _choices(networks: Sequence[Architecture]) -> npt.NDArray[np.int64]:
    """Return which value each gene has, by number; a gene that a network lacks has a number of its own."""
    genes = sorted({gene for network in networks for gene in network.genes})
    columns = [[str(network.genes.get(gene)) for network in networks] for gene in genes]
    return np.column_stack([np.unique(column, return_inverse=True)[1] for column in columns]).astype(np.int64)


def _table(
    header: Mapping[str, Any],
    space: SearchSpace,
    contract: NetworkContract,
    tables: Sequence[LatencyTable],
    pool: NetworkPool,
    networks: Sequence[Architecture],
    found: tuple[Index, list[ProfiledNetwork]],
) -> LatencyTable:
    """Return the most alike table, weighted to predict what the few measurements say."""
    measured, profiled = found
    measured_ms = np.array([network.latency_ms for network in profiled])
    prediction = predict(pool, measured, measured_ms, np.arange(len(networks)))
    fits = []
    for table in tables:
        claims = table.predictor(space).claims(networks)
        correction, predicted = fit_correction(claims, prediction.latency_ms, are_times=bool(table.kernels))
        fits.append((float(np.mean(np.abs(predicted / prediction.latency_ms - 1.0))), correction, table))
    _, correction, base = min(fits, key=lambda fit: fit[0])
    return LatencyTable(
        target=str(header["target"]),
        fingerprint=dict(header["fingerprint"]),
        space=space.name,
        contract=contract,
        choices=dict(header["choices"]),
        provenance={
            "hwnas_version": __version__,
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": "hwnas profile --from-tables",
            "from_tables": [{"target": table.target, "fingerprint": table.fingerprint} for table in tables],
            "kernels_of": base.target,
            "measured_networks": len(profiled),
            "contradicting_networks": [profiled[place].architecture.id for place in prediction.suspects],
            "measuring_s": round(sum(network.seconds for network in profiled), 1),
        },
        block=base.block,
        kernels=base.kernels,
        networks=tuple(
            network_entry(*entry)
            for entry in zip(profiled, measured_ms.tolist(), prediction.left_out_ms.tolist(), strict=True)
        ),
        hyperparameters=base.hyperparameters,
        kinds=base.kinds,
        correction=correction,
        confidence=base.confidence,
        held_out=errors_of(prediction.left_out_ms, measured_ms),
        precision=str(header["precision"]),
    )
