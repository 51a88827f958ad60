"""The network that is adapted: what it is, what it was trained for, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.bundle.manifest import Manifest
from hwnas.bundle.verification.manifest_schema import check_manifest
from hwnas.errors import BundleError, ConfigError
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import make_task
from hwnas.tasks.few_shot import FewShotTask, few_shot_task
from hwnas.training.trainers import SUPERVISED


@dataclass(frozen=True)
class AdaptationSource:
    """A trained network that adaptation begins with.

    Attributes:
        architecture: of the network.
        weights: safetensors file of its state.
        class_names: that it tells apart; empty for tasks without classes.
        task: name of its task.
        settings: of its task.
        pinned: settings that state what the task derived from its data, see `SupportsPinnedSettings`.
        space: name of its search space.
        restrictions: of the space.
        recipe: with which it was trained.
        target: URL of the machine that its latency was clocked on.
        protocol: under which it was.
        stated: what a bundle that is adapted from it says of it.
    """

    architecture: Architecture
    weights: Path
    class_names: tuple[str, ...]
    task: str
    settings: Mapping[str, Any]
    pinned: Mapping[str, Any]
    space: str
    restrictions: Mapping[str, Sequence[Any]]
    recipe: Mapping[str, Any]
    target: str
    protocol: MeasuringProtocol
    stated: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> AdaptationSource:
        """Return the network of a bundle.

        Raises:
            BundleError: if its manifest does not state what adaptation needs.
            ConfigError: if another trainer than `supervised` trained it.
        """
        check_manifest(manifest)
        content = manifest.content
        trainer = str(content["training"]["trainer"]["name"])
        if trainer != SUPERVISED:
            raise ConfigError(
                f"The network of {manifest.directory} was trained by the trainer {trainer!r}, but adaptation "
                f"trains as {SUPERVISED!r} does. Adapt networks that {SUPERVISED!r} trained."
            )
        try:
            return cls(
                architecture=Architecture.from_json(content["architecture"]),
                weights=manifest.weights_path,
                class_names=tuple(map(str, content["class_names"])),
                task=str(content["task"]["name"]),
                settings=dict(content["task"]["settings"]),
                pinned=dict(content["task"].get("pinned_settings", {})),
                space=str(content["space"]["name"]),
                restrictions=dict(content["space"]["restrictions"]),
                recipe=dict(content["training"]["recipe"]),
                target=str(content["latency"]["target"]),
                protocol=MeasuringProtocol.from_json(content["latency"]["protocol"]),
                stated={
                    "architecture_id": str(content["architecture_id"]),
                    "data_fingerprint": str(content["data_fingerprint"]),
                    "quality": dict(content["quality"]),
                    "created": content.get("created"),
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"The manifest of {manifest.directory} does not state what adaptation needs ({error!r}). "
                "Export the bundle again."
            ) from error

    def task_on(
        self, data: str, label_map: str | None, more: Mapping[str, Any], *, as_trained: bool = False
    ) -> FewShotTask:
        """Return the network's task on other data.

        Args:
            data: data set.
            label_map: name or path; None means the data set's own.
            more: settings that are changed besides.
            as_trained: whether pre- and post-processing stay those of the first training, such as its
                normalisation; otherwise what a task derives from data is derived from these.

        Raises:
            ConfigError: if the task has no setting `data`, or its networks cannot be adapted.
            DataError: if the data cannot be used.
        """
        if "data" not in self.settings:
            raise ConfigError(
                f"The task {self.task!r} has no setting `data` (it has {sorted(self.settings)}), so its "
                "networks cannot be adapted to other data."
            )
        kept = {name: value for name, value in self.settings.items() if name not in self.pinned}
        settings = {**kept, **(self.pinned if as_trained else {}), "data": data}
        if "label_map" in settings:
            settings["label_map"] = label_map
        elif label_map is not None:
            raise ConfigError(f"The task {self.task!r} has no setting `label_map`; leave it out.")
        return few_shot_task(make_task(self.task, {**settings, **more}))

    def space_for(self, task: FewShotTask) -> SearchSpace:
        """Return the network's search space for a task.

        Raises:
            ConfigError: if they do not go together.
        """
        return make_search_space(self.space, task.contract, self.restrictions)
