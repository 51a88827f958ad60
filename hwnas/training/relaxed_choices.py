"""Probabilities of the choices of a space, one set for each weight of the latency, and their file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.architecture import Choice
from hwnas.arrays import DoubleArray
from hwnas.errors import TrainingError
from hwnas.files import read_checked_json, write_checked_json

FILE = "relaxed.json"
SCHEMA_VERSION = 1
WEIGHTS = (0.01, 0.03, 0.06, 0.12, 0.25)
"""Of the logarithm of the latency; 0.1 says: 10 % less time are worth about 0.01 of the loss."""


@dataclass(frozen=True)
class RelaxedChoices:
    """What a relaxation found.

    Attributes:
        space: name and choices of the space, as plain JSON values.
        weights: of the logarithm of the latency in the loss, one for each set of probabilities.
        probabilities: by gene, [weights, values], rows sum to 1.
        provenance: supernet, table, steps, seconds.
        data: fingerprint of the task that was relaxed on.
    """

    space: Mapping[str, Any]
    weights: tuple[float, ...]
    probabilities: Mapping[str, DoubleArray]
    provenance: Mapping[str, Any]
    data: str

    def save(self, directory: Path) -> None:
        """Write `relaxed.json`, atomically."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "space": dict(self.space),
            "data": self.data,
            "weights": list(self.weights),
            "probabilities": {gene: rows.tolist() for gene, rows in self.probabilities.items()},
            "provenance": dict(self.provenance),
        }
        write_checked_json(directory / FILE, content)

    @classmethod
    def load(
        cls, directory: Path, name: str, choices: Mapping[str, tuple[Choice, ...]], data: str | None = None
    ) -> RelaxedChoices:
        """Read and check what was found for a space.

        Args:
            directory: that holds `relaxed.json`.
            name: of the space.
            choices: of the space.
            data: fingerprint of the task that is searched for; None for any.

        Raises:
            TrainingError: if there is nothing, or it is damaged, or of another space or other data.
        """
        path = directory / FILE
        try:
            content = read_checked_json(path)
            version, found, of_data = content["schema_version"], content["space"], str(content["data"])
            weights = tuple(float(weight) for weight in content["weights"])
            probabilities = {
                str(gene): np.asarray(rows, np.float64) for gene, rows in content["probabilities"].items()
            }
            provenance = dict(content["provenance"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path} holds no relaxed choices that can be relied on ({error}). `hwnas relax RUN.yaml "
                "--supernet DIR --out DIR` makes them."
            ) from error
        if version != SCHEMA_VERSION:
            raise TrainingError(
                f"{path} has the schema version {version!r}, but this hwnas reads {SCHEMA_VERSION}. Relax "
                f"again."
            )
        plain = json.loads(json.dumps({gene: list(values) for gene, values in choices.items()}))
        wanted = {"name": name, "choices": plain}
        if found != wanted:
            raise TrainingError(
                f"The relaxed choices in {path} are of another space than this one: {found} instead of "
                f"{wanted}. Relax this one."
            )
        if data is not None and of_data != data:
            raise TrainingError(
                f"The relaxed choices in {path} come from other data than those of this run. Restore them, "
                "or train a supernet on these and relax again."
            )
        for gene, values in choices.items():
            rows = probabilities.get(gene, np.empty(0))
            good = rows.shape == (len(weights), len(values)) and len(weights) > 0
            if not good or (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-6):
                raise TrainingError(
                    f"{path} must give {gene!r} {len(weights)} rows of {len(values)} probabilities that sum "
                    f"to 1, but has {rows.tolist()}. Relax again."
                )
        return cls(found, weights, probabilities, provenance, of_data)
