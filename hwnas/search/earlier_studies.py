"""Earlier runs that a search learns from: which networks they trained, and with what error.

Device, data and sensor may be others. What a strategy makes of it is its own matter; see
`hwnas.search.strategies.surrogate.earlier`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.architecture import Choice
from hwnas.errors import ConfigError
from hwnas.files import write_checked_json
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record, read_record_if_any
from hwnas.search.strategies import EarlierStudy
from hwnas.search.warm_start import adapted
from hwnas.search_spaces.base import SearchSpace

FEWEST = 5
"""Fewer networks say nothing about others."""


def earlier_studies(run: RunDirectory, space: SearchSpace, others: Sequence[str]) -> tuple[EarlierStudy, ...]:
    """Return what the search learns from; from the start of a run on that is what `learned_from.json` holds.

    A resumed search so proposes what it would have proposed without the stop, whatever became of the earlier
    runs.

    Args:
        run: the new one.
        space: of the new run.
        others: directories of earlier runs.

    Raises:
        StudyError: if a directory holds no run with trials.
        ConfigError: if too few networks of a run fit the space.
    """
    recorded = read_record_if_any(
        run.learned_from, "Remove it, and going on with the search reads the earlier runs anew."
    )
    if recorded is None:
        if not others:
            return ()
        studies = [_study(RunDirectory(Path(other)), space) for other in others]
        recorded = {"schema_version": SCHEMA_VERSION, "studies": studies}
        write_checked_json(run.learned_from, recorded)
    return tuple(_as_study(study, space) for study in recorded["studies"])


def _study(other: RunDirectory, space: SearchSpace) -> dict[str, Any]:
    front = other.read_front()
    trained = [
        trial for trial in front["trials"] if trial["state"] == "COMPLETE" and trial["duplicate_of"] is None
    ]
    networks: list[dict[str, Any]] = []
    for trial in trained:
        choices = _adapted(trial["architecture"], space)
        if choices is not None:
            networks.append({"choices": choices, "error": trial["error"]})
    if len(networks) < FEWEST:
        raise ConfigError(
            f"A search learns from at least {FEWEST} trained networks of an earlier run, but of the "
            f"{len(trained)} in {other.path} {len(networks)} fit the space {space.name!r}. Name a run of the "
            "same space."
        )
    return {"run": str(other.path), "kind": _kind_of_errors(other), "networks": networks}


def _kind_of_errors(other: RunDirectory) -> str:
    """Return what tells errors of a run apart from those of runs that do not compare with it."""
    identity = read_record(other.identity, "`hwnas search RUN --resume` writes it anew.")
    config = identity["config"]
    shaping = [identity["task_fingerprint"], config["training"], config["search"]["estimator"]]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


def _adapted(architecture: Mapping[str, Any] | None, space: SearchSpace) -> dict[str, Choice] | None:
    """Return the choices of an architecture in this space; None where it has none or is of another space."""
    if architecture is None or architecture["space"] != space.name:
        return None
    return adapted(architecture["genes"], space)


def _as_study(recorded: Mapping[str, Any], space: SearchSpace) -> EarlierStudy:
    networks = recorded["networks"]
    return EarlierStudy(
        str(recorded["run"]),
        str(recorded["kind"]),
        tuple(space.decode(network["choices"]) for network in networks),
        tuple(float(network["error"]) for network in networks),
    )
