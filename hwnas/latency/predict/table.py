"""What was measured on one target, as a file that ships: `latency_tables/<target>.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture, Choice
from hwnas.errors import LatencyTableError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.io_spec import NetworkContract
from hwnas.json_values import JsonObject
from hwnas.kernel_graph.kernels import KINDS, Rows, parse_signature, signature
from hwnas.latency.measure.survey import SurveyedNetwork
from hwnas.latency.predict.correction import Correction
from hwnas.latency.predict.decomposition import Decomposition
from hwnas.latency.predict.gaussian_process import Hyperparameters
from hwnas.latency.predict.kernel_times import KernelTimes, hyperparameters_from_json, hyperparameters_to_json
from hwnas.latency.predict.machine_speed import MachineSpeed
from hwnas.latency.predict.predictor import LatencyPredictor
from hwnas.one_thread import one_thread
from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.search_spaces.base import SearchSpace
from hwnas.text import counted, one_line

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class KernelEntry:
    """Time of one kernel inside networks.

    Attributes:
        row: what it computes, see `hwnas.kernel_graph.kernels`.
        ms: median over all networks and places in which it was met.
        interval_ms: smallest and largest of those; the ends of their middle 90 % where there are 20.
        samples: in how many places it was met.
    """

    row: tuple[int, ...]
    ms: float
    interval_ms: tuple[float, float]
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        interval = list(self.interval_ms)
        return {
            "kernel": signature(self.row),
            "ms": self.ms,
            "interval_ms": interval,
            "samples": self.samples,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KernelEntry:
        """Rebuild from `to_json`."""
        low, high = value["interval_ms"]
        row = tuple(parse_signature(str(value["kernel"])))
        return cls(row, float(value["ms"]), (float(low), float(high)), int(value["samples"]))


@dataclass(frozen=True)
class NetworkEntry:
    """Time of one network.

    Attributes:
        architecture: the network.
        latency_ms: median of the calmest block, at the speed of the table.
        interval_ms: smallest and largest block median.
        samples_ms: every sample, in order, one tuple a block.
        reference_ms: median of the reference network before the first block and after each one.
        predicted_ms: what the other networks of the table predict for it.
        model_sha256: of the ONNX file.
    """

    architecture: Architecture
    latency_ms: float
    interval_ms: tuple[float, float]
    samples_ms: tuple[tuple[float, ...], ...]
    reference_ms: tuple[float, ...]
    predicted_ms: float
    model_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "architecture": self.architecture.to_json(),
            "latency_ms": self.latency_ms,
            "interval_ms": list(self.interval_ms),
            "samples_ms": [[round(sample, 4) for sample in block] for block in self.samples_ms],
            "reference_ms": [round(sample, 4) for sample in self.reference_ms],
            "predicted_ms": self.predicted_ms,
            "model_sha256": self.model_sha256,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NetworkEntry:
        """Rebuild from `to_json`."""
        low, high = value["interval_ms"]
        return cls(
            Architecture.from_json(value["architecture"]),
            float(value["latency_ms"]),
            (float(low), float(high)),
            tuple(tuple(float(sample) for sample in block) for block in value["samples_ms"]),
            tuple(float(sample) for sample in value["reference_ms"]),
            float(value["predicted_ms"]),
            str(value["model_sha256"]),
        )


@dataclass(frozen=True)
class LatencyTable:
    """Kernels and networks measured on one target, and what predicts others from them.

    Attributes:
        target: URL of the target.
        fingerprint: of device, backend and settings; figures hold for it alone.
        space: name of the search space.
        contract: input and output of the networks.
        choices: values of every gene that networks were drawn from.
        provenance: when, by which version, for how long, with what settings.
        block: channels that the backend keeps together, see `hwnas.kernel_graph.graph`.
        kernels: empty where the backend cannot tell their times.
        networks: measured whole.
        hyperparameters: of the times of kernels, by kind.
        kinds: of blocks, where the space's kernels are unknown.
        correction: from parts to networks.
        confidence: of predicted intervals.
        held_out: errors of predictions for networks that were left out.
        precision: of the networks.
        speed: of the machine, at which latencies are stated; None if they are stated as clocked.
    """

    target: str
    fingerprint: JsonObject
    space: str
    contract: NetworkContract
    choices: Mapping[str, Sequence[Choice]]
    provenance: JsonObject
    block: int
    kernels: tuple[KernelEntry, ...]
    networks: tuple[NetworkEntry, ...]
    hyperparameters: Mapping[str, Hyperparameters]
    kinds: tuple[str, ...]
    correction: Correction
    confidence: float
    held_out: Mapping[str, float]
    precision: str = FP32
    speed: MachineSpeed | None = None

    @property
    def source_targets(self) -> tuple[str, ...]:
        """Targets of the tables that this one was made from; empty for one that was measured whole."""
        others = cast("Sequence[Mapping[str, str]]", self.provenance.get("from_tables", ()))
        return tuple(other["target"] for other in others)

    @cached_property
    def rows(self) -> Rows:
        """Kernels of all entries."""
        return np.array([entry.row for entry in self.kernels], np.int32)

    def covers(self, architecture: Architecture) -> bool:
        """Return whether a network is of the kind that was measured: its space and the size of its input.

        Where kernels were timed, input channels and classes may differ: they shape one kernel each.
        """
        contract = self.contract
        channels, height, width = architecture.input_shape
        ends = (channels, architecture.outputs) == (contract.in_channels, contract.outputs)
        return (
            architecture.space == self.space
            and height == contract.height
            and width in contract.widths
            and (ends or bool(self.kernels))
        )

    def predictor(self, space: SearchSpace) -> LatencyPredictor:
        """Return what predicts networks of the table's space.

        Raises:
            LatencyTableError: if the space is another one, or no longer tells its kernels.
        """
        if space.name != self.space:
            raise LatencyTableError(
                f"The table is of the space {self.space!r}, but {space.name!r} is asked for."
            )
        times = None
        if self.kernels:
            ms = np.array([entry.ms for entry in self.kernels])
            with one_thread():
                times = KernelTimes(self.rows, ms, self.hyperparameters)
        errors = [np.log(entry.latency_ms / entry.predicted_ms) for entry in self.networks]
        decomposition = Decomposition(space, self.block, self.kinds)
        if not (self.kinds or decomposition.are_kernels):
            raise LatencyTableError(
                f"The table adds up kernels of {self.space!r}, but the installed space does not tell them: "
                "it has no method `kernels`. Install the version the table was made with, or profile again."
            )
        correction = self.correction
        if decomposition.are_kernels:
            correction = correction.for_kinds(len(KINDS), are_times=times is not None)
        return LatencyPredictor(decomposition, times, correction, errors, self.confidence)

    def at_its_speed(self, networks: Sequence[SurveyedNetwork]) -> npt.NDArray[np.float64]:
        """Return what networks that were clocked take at the speed of the table, in ms, [n]."""
        speed = self.speed or MachineSpeed.usual(networks)
        return speed.all_of(networks)

    def check_fingerprint(self, found: Mapping[str, Any]) -> None:
        """Compare with the target at hand.

        Raises:
            LatencyTableError: if anything differs, with what does.
        """
        own = json.loads(json.dumps(dict(self.fingerprint)))
        other = json.loads(json.dumps(dict(found)))
        differs = {
            key: (own.get(key), other.get(key)) for key in {**own, **other} if own.get(key) != other.get(key)
        }
        if differs:
            raise LatencyTableError(
                f"The table of {self.target!r} was measured on something else; these differ: {differs} "
                "(table, here). Make one for this target with `hwnas profile`."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "fingerprint": dict(self.fingerprint),
            "space": self.space,
            "precision": self.precision,
            "contract": self.contract.to_json(),
            "choices": {gene: list(values) for gene, values in self.choices.items()},
            "provenance": dict(self.provenance),
            "held_out": dict(self.held_out),
            "confidence": self.confidence,
            "block": self.block,
            "kinds": list(self.kinds),
            "speed": None if self.speed is None else self.speed.to_json(),
            "correction": self.correction.to_json(),
            "hyperparameters": hyperparameters_to_json(self.hyperparameters),
            "kernels": [entry.to_json() for entry in self.kernels],
            "networks": [entry.to_json() for entry in self.networks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LatencyTable:
        """Rebuild from `to_json`; KeyError, TypeError or ValueError for anything else."""
        return cls(
            target=str(value["target"]),
            fingerprint=dict(value["fingerprint"]),
            space=str(value["space"]),
            contract=NetworkContract.from_json(value["contract"]),
            choices={gene: tuple(values) for gene, values in value["choices"].items()},
            provenance=dict(value["provenance"]),
            block=int(value["block"]),
            kernels=tuple(KernelEntry.from_json(entry) for entry in value["kernels"]),
            networks=tuple(NetworkEntry.from_json(entry) for entry in value["networks"]),
            hyperparameters=hyperparameters_from_json(value["hyperparameters"]),
            kinds=tuple(str(kind) for kind in value["kinds"]),
            correction=Correction.from_json(value["correction"]),
            confidence=float(value["confidence"]),
            held_out={name: float(figure) for name, figure in value["held_out"].items()},
            precision=str(value.get("precision", FP32)),
            speed=MachineSpeed.from_json(value["speed"]) if value.get("speed") else None,
        )

    def save(self, path: Path) -> None:
        """Write the table with a checksum, atomically."""
        write_checked_json(path, self.to_json())

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.target,
            f"{self.space} in {self.precision}",
            counted(len(self.networks), "network"),
            counted(len(self.kernels), "kernel"),
        )


def load_table(path: Path) -> LatencyTable:
    """Return the table in a file.

    Raises:
        LatencyTableError: if there is none, it is damaged, or of another version.
    """
    try:
        value = read_checked_json(path)
        version = value["schema_version"]
        if version == SCHEMA_VERSION:
            return LatencyTable.from_json(value)
    except OSError as error:
        raise LatencyTableError(
            f"There is no latency table {path}: {error.strerror}. Make one with `hwnas profile`."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LatencyTableError(
            f"{path} must be a latency table as `hwnas profile` writes them, but "
            f"{type(error).__name__}: {error}. Restore it from a copy, or make it anew with `hwnas profile`, "
            "which keeps what it has measured."
        ) from error
    raise LatencyTableError(
        f"{path} has the schema version {version!r}, but this version of hwnas reads {SCHEMA_VERSION}. "
        "Make it anew with `hwnas profile`."
    )
