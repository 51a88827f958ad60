"""Clocks the networks of a table, several times each and by turns, in rows of their own.

The file lies beside the table (`lidar_table.jsonl`: `lidar_table.latency.jsonl`) and is keyed by architecture
and round. Weights are fresh: they do not change how long a network takes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lidar_table_figures import first_trainings
from row_table import Row, RowTable, read_provenance, read_rows

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.onnx_graphs.export import export_onnx
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import make_search_space

TARGET = "local?backend=onnxruntime-cpu&threads=1"
PROTOCOL = MeasuringProtocol.search()
CONTRACT = NetworkContract(5, 64, (256,), dense_logits(8), cyclic_width=True)
"""That of the task of the table: no scans are needed to clock its networks."""


def latency_path(table: Path) -> Path:
    """Return where the latencies of a table stand."""
    return table.with_suffix(".latency.jsonl")


def clock(table: Path, *, networks: int | None = None, rounds: int = 3) -> None:
    """Measure what has no latency yet, one round of all networks after the other.

    Args:
        table: of trained networks.
        networks: of it, the first ones; None for all.
        rounds: measurements of each network.

    Raises:
        ConfigError: if a file holds rows of other settings.
        MeasurementError: if the machine cannot be measured on.
    """
    chosen = first_trainings(read_rows(table))[:networks]
    with open_meter(TARGET, PROTOCOL) as meter:
        settings = {
            "target": TARGET,
            "protocol": asdict(PROTOCOL),
            "fingerprint": dict(meter.fingerprint()),
            "table": read_provenance(table)["settings_id"],
        }
        with RowTable(latency_path(table), settings, "round") as latencies:
            missing = list(_missing(chosen, rounds, latencies.keys))
            for number, (row, turn) in enumerate(missing, start=1):
                found = _measured(row, meter)
                latencies.append({"id": row["id"], "round": turn, **latency_columns(found)})
                said = f"{found.latency_ms:.3f} ms {'' if found.is_stable else found.remark}"
                print(
                    f"[{number}/{len(missing)}] {row['id']} round {turn}: {said}", file=sys.stderr, flush=True
                )


def _missing(rows: Sequence[Row], rounds: int, known: set[tuple[str, int]]) -> Iterator[tuple[Row, int]]:
    """Yield what is to be measured: a network comes again when all others have come."""
    for turn in range(rounds):
        for row in rows:
            if (row["id"], turn) not in known:
                yield row, turn


def latency_columns(found: LatencyMeasurement) -> Mapping[str, Any]:
    """Return what a row says of a measurement, without its samples."""
    return {
        "latency_ms": found.latency_ms,
        "interval_ms": list(found.interval_ms),
        "ratio": found.ratio,
        "is_stable": found.is_stable,
        "remark": found.remark,
    }


def _measured(row: Row, meter: LatencyMeter) -> LatencyMeasurement:
    space = make_search_space(row["space"], CONTRACT)
    architecture = described(row, CONTRACT)
    torch.manual_seed(0)
    with ScratchDirectory("latency") as scratch:
        path = Path(scratch) / "model.onnx"
        export_onnx(space.build(architecture), architecture.io_spec(), path, metadata={})
        return meter.measure(path, architecture.io_spec())


def described(row: Mapping[str, Any], contract: NetworkContract) -> Architecture:
    """Return the architecture of a row again.

    Args:
        row: of a table.
        contract: of the task of the table.

    Raises:
        ConfigError: if it is not the one that the row names.
    """
    shape = (contract.in_channels, contract.height, int(row["genes"]["input_width"]))
    architecture = Architecture(row["space"], row["genes"], shape, contract.outputs)
    if architecture.id != row["id"]:
        raise ConfigError(f"The genes of the row {row['id']} are those of {architecture.id}. Delete it.")
    return architecture
