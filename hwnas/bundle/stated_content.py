"""What the manifest of a bundle states, apart from its models: where it came from and how good it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.bundle.manifest import SCHEMA_VERSION
from hwnas.bundle.provenance import installed_versions
from hwnas.bundle.trained_member import TrainedMember
from hwnas.files import sha256_of_file
from hwnas.io_spec import IoSpec
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.objectives import LATENCY
from hwnas.plugins import distribution_of
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.tasks.optional_parts import expectations, pinned_settings

WEIGHTS_NAME = "weights.safetensors"


def stated_content(
    task: Task,
    space: SearchSpace,
    member: TrainedMember,
    io_spec: IoSpec,
    latency: LatencyMeasurement,
) -> dict[str, Any]:
    """Return what a manifest states of a network and its latency; models and files come on top."""
    # The samples are evidence, in a file of their own; people read the manifest.
    stated_latency = latency.to_json(with_samples=False)
    return {
        "schema_version": SCHEMA_VERSION,
        "architecture_id": member.architecture.id,
        "weights": WEIGHTS_NAME,
        "io": io_spec.to_json(),
        "class_names": list(task.class_names),
        "deployment": dict(task.deployment(member.architecture)),
        "processor": task.processor,
        "plugins": _plugins(task, space, member),
        "expects": expectations(task, member.architecture),
        "quality": member.quality.to_json(),
        "latency": stated_latency,
        "measurements": _measurements(member, latency),
        "data_fingerprint": task.fingerprint(),
        "task": {
            "name": task.name,
            "settings": dict(task.settings),
            "pinned_settings": pinned_settings(task, member.architecture),
            "contract": task.contract.to_json(),
            "words": task.words.to_json(),
        },
        "space": {
            "name": space.name,
            "restrictions": {gene: list(values) for gene, values in space.choices.items()},
        },
        "architecture": member.architecture.to_json(),
        "training": {
            "recipe": dict(member.recipe),
            "seed": member.seed,
            "trainer": member.trainer.to_json(),
        },
        **({} if member.adapted_from is None else {"adapted_from": dict(member.adapted_from)}),
        "versions": installed_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _measurements(member: TrainedMember, latency: LatencyMeasurement) -> dict[str, float]:
    """Return the figures of this file on this target, each under the name of its clock."""
    known = member.latency
    is_of_this = (
        known is not None
        and known.model_sha256 == latency.model_sha256
        and known.target == latency.target
        and dict(known.fingerprint) == dict(latency.fingerprint)
    )
    return {**(member.measurements if is_of_this else {}), LATENCY: latency.latency_ms}


def _plugins(task: Task, space: SearchSpace, member: TrainedMember) -> dict[str, Any]:
    """Return what a bundle came from, and who ships it: name and distribution with its version, by group."""
    names = {
        "hwnas.tasks": task.name,
        "hwnas.search_spaces": space.name,
        "hwnas.processors": task.processor,
        "hwnas.trainers": member.trainer.name,
    }
    return {
        group: {"name": name, "distribution": distribution_of(group, name)} for group, name in names.items()
    }


def file_entries(directory: Path) -> dict[str, Any]:
    """Return size and SHA-256 of every file below a directory, by its path there."""
    return {
        path.relative_to(directory).as_posix(): {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
