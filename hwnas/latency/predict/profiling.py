"""Measures networks of a space until a budget of time is used; what was measured survives a kill."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.errors import MeasurementError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.io_spec import NetworkContract
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.survey import SurveyedNetwork, open_survey
from hwnas.latency.predict.decomposition import kernels_of_space
from hwnas.latency.predict.experiment_design import designed_experiment
from hwnas.latency.predict.exporting import Exporter, idle_cores, io_spec_of
from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.search_spaces.base import SearchSpace
from hwnas.text import figure

SCHEMA_VERSION = 2
HEADER = "profile.json"
_OPERATIONS_PER_S = 3e9
"""Of the slowest backends that are profiled by kernels, all repetitions of a measurement together."""
_MOST_OF_BUDGET = 0.05
"""No network may take more of the budget, roughly: the kernels of very large ones occur in others."""


@dataclass(frozen=True)
class ProfileProgress:
    """How far a profile is.

    Attributes:
        measured: networks so far, earlier sessions included.
        spent_s: time so far, earlier sessions included.
        budget_s: time to spend.
        message: the latest event.
    """

    measured: int
    spent_s: float
    budget_s: float
    message: str


@dataclass(frozen=True)
class ProfiledNetwork:
    """A network of the profile; `seconds` is what exporting and measuring it took."""

    architecture: Architecture
    measured: SurveyedNetwork
    seconds: float

    @property
    def latency_ms(self) -> float:
        """What the network takes, see `SurveyedNetwork`."""
        return self.measured.latency_ms

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "architecture": self.architecture.to_json(),
            "measured": self.measured.to_json(),
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProfiledNetwork:
        """Rebuild from `to_json`."""
        return cls(
            Architecture.from_json(value["architecture"]),
            SurveyedNetwork.from_json(value["measured"]),
            float(value["seconds"]),
        )


@dataclass(frozen=True)
class ProfileSettings:
    """What to spend and what to draw.

    Attributes:
        budget_s: time for exporting and measuring; the network that is being measured is finished.
        max_networks: where building one takes long, time is not the only limit.
        seed: of the design.
        precision: of the networks, `fp32` or `fp16`.
    """

    budget_s: float = 540.0
    max_networks: int = 1000
    seed: int = 0
    precision: str = FP32

    @property
    def most_operations(self) -> float:
        """Multiply-accumulate operations of the largest network that the budget affords."""
        return self.budget_s * _OPERATIONS_PER_S * _MOST_OF_BUDGET


def profile(
    meter: SupportsCommands,
    space: SearchSpace,
    contract: NetworkContract,
    directory: Path,
    settings: ProfileSettings,
    listener: Callable[[ProfileProgress], None] = lambda _: None,
    design: Iterable[Architecture] | None = None,
) -> list[ProfiledNetwork]:
    """Return measured networks; go on with those that `directory` holds.

    Args:
        meter: of the target.
        space: to draw from; registered under its name.
        contract: that its networks meet.
        directory: keeps each network's raw measurements as soon as they are there.
        settings: see `ProfileSettings`.
        listener: is told after every network.
        design: networks to measure, in this order; chosen from the space to tell most if None.

    Raises:
        MeasurementError: if the directory belongs to another profile, the target cannot be used, or it
            refuses every network.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _check_header(directory / HEADER, meter, space, settings)
    done = {network.architecture: network for network in read_profile(directory)}
    spent_s = sum(network.seconds for network in done.values())
    # The widest blocks tell most kernels apart; a design need not fit the target exactly.
    if design is None:
        decompose = kernels_of_space(space, 16)
        design = designed_experiment(space, decompose, settings.seed, settings.most_operations)
    if spent_s >= settings.budget_s or len(done) >= settings.max_networks:
        return list(done.values())
    failures = 0
    started = time.monotonic()
    wanted = (architecture for architecture in design if architecture not in done)
    with ExitStack() as stack:
        survey, tells_kernels = stack.enter_context(open_survey(meter))
        exporter = stack.enter_context(Exporter(space.name, contract, idle_cores(meter), settings.precision))
        for architecture, model in exporter.exported(wanted):
            try:
                measured = survey.measure(model, io_spec_of(architecture), with_kernels=tells_kernels)
            except MeasurementError as error:
                failures += 1
                if failures >= 5 and not done:
                    raise
                listener(ProfileProgress(len(done), spent_s, settings.budget_s, f"refused: {error}"))
                continue
            seconds, started = time.monotonic() - started, time.monotonic()
            network = ProfiledNetwork(architecture, measured, seconds)
            write_checked_json(directory / f"{architecture.id}.json", network.to_json())
            done[architecture] = network
            spent_s += seconds
            message = f"{architecture.id}: {figure(measured.ratio)} times the reference network"
            listener(ProfileProgress(len(done), spent_s, settings.budget_s, message))
            if spent_s >= settings.budget_s or len(done) >= settings.max_networks:
                break
    return list(done.values())


def read_profile(directory: Path) -> list[ProfiledNetwork]:
    """Return the networks that a directory holds, in the order of their ids.

    Raises:
        MeasurementError: if a file of it is damaged.
    """
    files = [path for path in sorted(directory.glob("*.json")) if path.name != HEADER]
    return [_read_network(path) for path in files]


def _read_network(path: Path) -> ProfiledNetwork:
    try:
        return ProfiledNetwork.from_json(read_checked_json(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasurementError(
            f"{path} must be a network as `hwnas profile` measured it, but {type(error).__name__}: {error}. "
            "Remove this file; the network is measured again."
        ) from error


def _check_header(path: Path, meter: SupportsCommands, space: SearchSpace, settings: ProfileSettings) -> None:
    """Write what this profile is about, or compare with what is there."""
    header = {
        "schema_version": SCHEMA_VERSION,
        "target": meter.target,
        "fingerprint": dict(meter.fingerprint()),
        "space": space.name,
        "choices": {gene: list(values) for gene, values in space.choices.items()},
        "seed": settings.seed,
        "precision": settings.precision,
    }
    header = json.loads(json.dumps(header))
    if not path.exists():
        write_checked_json(path, header)
        return
    found = {"precision": FP32, **header_of(path.parent)}
    changed = sorted(key for key in {*header, *found} if header.get(key) != found.get(key))
    if changed:
        differs = {key: (found.get(key), header.get(key)) for key in changed}
        raise MeasurementError(
            f"{path.parent} holds a profile of something else; it differs in {differs} (there, now). "
            "Remove the directory to begin anew, or restore the setting to go on."
        )


def remove_profile(directory: Path) -> None:
    """Remove what `profile` wrote; a directory that holds other things stays with them."""
    for path in directory.glob("*.json"):
        path.unlink()
    with contextlib.suppress(OSError):  # something else is in it
        directory.rmdir()


def header_of(directory: Path) -> dict[str, Any]:
    """Return what `profile` wrote about a directory.

    Raises:
        MeasurementError: if there is no profile.
    """
    try:
        return read_checked_json(directory / HEADER)
    except (OSError, ValueError) as error:
        raise MeasurementError(
            f"{directory / HEADER} must say what was profiled, but: {error}. Run `hwnas profile` first; "
            "where it ran, restore the file from a copy."
        ) from error
