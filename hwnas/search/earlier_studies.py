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
from hwnas.errors import ConfigError, StudyError
from hwnas.files import write_checked_json
from hwnas.search.records import FINGERPRINT, TrialRow
from hwnas.search.resume.opening import ESTIMATOR_INPUTS
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record, read_record_if_any
from hwnas.search.strategies import EarlierStudy
from hwnas.search.warm_start import adapted
from hwnas.search_spaces.base import SearchSpace

FEWEST = 5
"""Fewer networks say nothing about others."""


def record_of_earlier(run: RunDirectory, space: SearchSpace, others: Sequence[str]) -> dict[str, Any] | None:
    """Return what `learned_from.json` holds or is to hold, None if the search learns from no run.

    Nothing is written.

    Args:
        run: the new one.
        space: of the new run.
        others: directories of earlier runs; one that is named twice is read once.

    Raises:
        StudyError: if a directory holds no run with trials.
        ConfigError: if too few networks of a run fit the space, or it is the new one.
    """
    recorded = read_record_if_any(
        run.learned_from, "Remove it, and going on with the search reads the earlier runs anew."
    )
    if recorded is not None or not others:
        return recorded
    directories = list(dict.fromkeys(Path(other).resolve() for other in others))
    if run.path.resolve() in directories:
        raise ConfigError(f"A search cannot learn from itself, but search.learn_from names {run.path}.")
    studies = [_study(RunDirectory(directory), space) for directory in directories]
    return {"schema_version": SCHEMA_VERSION, "studies": studies}


def earlier_studies(
    run: RunDirectory, space: SearchSpace, recorded: Mapping[str, Any] | None
) -> tuple[EarlierStudy, ...]:
    """Keep what the search learns from in `learned_from.json`, and return it.

    A resumed search so proposes what it would have proposed without the stop, whatever became of the earlier
    runs.

    Args:
        run: the new one.
        space: of the new run.
        recorded: see `record_of_earlier`.
    """
    if recorded is None:
        return ()
    if not run.learned_from.exists():
        write_checked_json(run.learned_from, recorded)
    return tuple(_as_study(study, space) for study in recorded["studies"])


def remark_on_others(run: RunDirectory, studies: Sequence[EarlierStudy], others: Sequence[str]) -> str:
    """Return what to tell where a resumed search names other runs than it learns from, else nothing."""
    if {Path(other).resolve() for other in others} == {Path(study.name) for study in studies}:
        return ""
    return (
        f"The search goes on with the earlier runs that {run.learned_from} holds "
        f"({', '.join(study.name for study in studies)}), not with those that search.learn_from names now: "
        "what it learns from stays the same from session to session. Start a new run to change it."
    )


def _study(other: RunDirectory, space: SearchSpace) -> dict[str, Any]:
    front = other.read_front()
    trained = [
        trial for trial in front["trials"] if trial["state"] == "COMPLETE" and trial["duplicate_of"] is None
    ]
    networks: list[dict[str, Any]] = []
    for trial in trained:
        choices = _adapted(other, trial, space)
        if choices is not None:
            networks.append({"choices": choices, "error": trial["error"]})
    different = len({space.decode(network["choices"]).id for network in networks})
    if different < FEWEST:
        raise ConfigError(
            f"A search learns from at least {FEWEST} trained networks of an earlier run, but of the "
            f"{len(trained)} in {other.path} {different} different ones fit the space {space.name!r}. Name a "
            "run of the same space."
        )
    return {"run": str(other.path), "kind": _kind_of_errors(other), "networks": networks}


def _kind_of_errors(other: RunDirectory) -> str:
    """Return what tells errors of a run apart from those of runs that do not compare with it."""
    identity = read_record(other.identity, "`hwnas search RUN --resume` writes it anew.")
    config = identity["config"]
    training = {name: value for name, value in config["training"].items() if name != "full"}
    estimator = [config["search"]["estimator"], identity.get(ESTIMATOR_INPUTS, {})]
    shaping = [identity[FINGERPRINT], training, estimator]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


def _adapted(other: RunDirectory, trial: TrialRow, space: SearchSpace) -> dict[str, Choice] | None:
    """Return the choices of a trained network in this space; None where it is of another space."""
    architecture = trial["architecture"]
    if architecture is None or architecture["space"] != space.name:
        return None
    try:
        proposed = other.read_trial(trial["number"])["choices"]
    except StudyError:  # its genes say the same, but some may have values that nothing can choose
        proposed = architecture["genes"]
    return adapted(proposed, space)


def _as_study(recorded: Mapping[str, Any], space: SearchSpace) -> EarlierStudy:
    networks = recorded["networks"]
    return EarlierStudy(
        str(recorded["run"]),
        str(recorded["kind"]),
        tuple(space.decode(network["choices"]) for network in networks),
        tuple(float(network["error"]) for network in networks),
    )
