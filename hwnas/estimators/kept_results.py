"""Results of estimators in files: under names that say all that they depend on, each with its checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError
from hwnas.estimators.base import GROUP
from hwnas.files import read_checked_json
from hwnas.plugin_settings import settings_by_content
from hwnas.search_spaces.base import SearchSpace
from hwnas.training.trainers import TrainerSpec

_FORM = "more is better"
"""Of results: those of earlier versions had less as better."""


def digest_of(
    estimator: str, settings: Mapping[str, Any], data: str, space: SearchSpace, trainer: TrainerSpec
) -> str:
    """Return 12 hexadecimal digits that stand for all that an estimate depends on beside network and seed.

    Args:
        estimator: its registered name.
        settings: of it; what is in the files that they name counts.
        data: fingerprint of the task.
        space: that the network is of.
        trainer: that trains and evaluates.
    """
    known = settings_by_content(GROUP, estimator, settings)
    content = [_FORM, estimator, known, data, space_json(space), trainer.to_json()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def read_result(path: Path) -> dict[str, Any]:
    """Return the result in a file of `hwnas.files.write_checked_json`.

    Raises:
        ConfigError: if it is not as it was written.
    """
    try:
        return read_checked_json(path)
    except ValueError as error:
        raise ConfigError(
            f"{path} should be the result of an estimator, but cannot be relied on: {error}. Remove it, and "
            "the same command makes this result again; the others are kept."
        ) from error


def space_json(space: SearchSpace) -> dict[str, Any]:
    """Return name and choices of a space as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps({gene: list(v) for gene, v in space.choices.items()}))
    return {"name": space.name, "choices": plain}
