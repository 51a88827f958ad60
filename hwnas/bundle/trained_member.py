"""A network that was trained at full budget, as exports take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.errors import StudyError
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.tasks.base import Quality
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec


@dataclass(frozen=True)
class TrainedMember:
    """A network that was trained at full budget.

    Attributes:
        architecture: of the network.
        weights: safetensors file of its state.
        quality: evaluated in PyTorch after training, on the validation split.
        latency: measured on an ONNX file of this architecture; None when it was not.
        recipe: with which it was trained, as plain JSON values.
        seed: of the training.
        task_fingerprint: of the data that it was trained and evaluated on, see `Task.fingerprint`.
        trainer: that trained and evaluated it.
        measurements: everything that was measured with `latency`, by name, see `hwnas.objectives`.
        cost: second objective of the run; None when it was not measured.
        exceeds: constraints of the run that it broke when it was measured at full budget.
        builds: of its engine, of which `latency` is that of the chosen one, see
            `hwnas.latency.engines.repeated_builds`.
        on_front: whether no other member of the run beats it, and it keeps the constraints.
        adapted_from: of a network that was adapted to other data, what it was before and how it was adapted,
            see `hwnas.bundle.adaptation.result.Adaptation`; None for others.
    """

    architecture: Architecture
    weights: Path
    quality: Quality
    latency: LatencyMeasurement | None
    recipe: Mapping[str, Any]
    seed: int
    task_fingerprint: str
    measurements: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    exceeds: tuple[str, ...] = ()
    builds: Mapping[str, Any] | None = None
    trainer: TrainerSpec = BY_DEFAULT
    on_front: bool = True
    adapted_from: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any], run: Path) -> TrainedMember:
        """Rebuild a member of `trained.json` of the run directory `run`.

        Raises:
            StudyError: if a field is missing or wrong.
        """
        try:
            latency = value.get("latency")
            return cls(
                architecture=Architecture.from_json(value["architecture"]),
                weights=run / value["checkpoint"],
                quality=Quality.from_json(value["quality"]),
                latency=LatencyMeasurement.from_json(latency) if latency else None,
                measurements=dict(value.get("measurements", {})),
                cost=value.get("cost"),
                exceeds=tuple(str(each) for each in value.get("exceeds", ())),
                builds=value.get("builds"),
                recipe=dict(value["recipe"]),
                seed=int(value["seed"]),
                task_fingerprint=str(value["task_fingerprint"]),
                on_front=bool(value.get("on_front", True)),
                trainer=TrainerSpec.from_json(value.get("trainer", BY_DEFAULT.to_json())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"A trained member of {run} is not readable ({error!r}). Run `hwnas train` again."
            ) from error
