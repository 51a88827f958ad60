"""Warm start: a search begins with networks on the fronts of earlier runs, and with seeds of its space.

The other run may be of another device, other data or another sensor: its measurements are not taken over,
only what to try first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.architecture import Choice
from hwnas.errors import ArchitectureError, ConfigError, PluginError
from hwnas.files import write_checked_json
from hwnas.search.picking import picked
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record_if_any
from hwnas.search.trial_summary import TrialSummary
from hwnas.search_spaces.base import Fits, SearchSpace, Seeds, SupportsSeeds

SHARE = 3
"""At most one in this many candidates comes from earlier runs."""

Choices = Mapping[str, Choice]


def first_candidates(
    run: RunDirectory,
    space: SearchSpace,
    others: Sequence[str],
    trials: int,
    *,
    initial_architectures: str | None = None,
    seed: int = 0,
    fits: Fits = lambda _architecture: True,
    on_message: Callable[[str], None] = lambda _message: None,
) -> list[Choices]:
    """Return the choices to begin with; from the start of a run on they are those in `warm_start.json`.

    Args:
        run: the new one.
        space: of the new run.
        others: directories of earlier runs.
        trials: candidates to be trained; a `SHARE` of them are taken over, in equal parts from all runs and
            the file of initial architectures.
        initial_architectures: file that the space reads, see `SupportsSeeds`.
        seed: of what that file leaves open.
        fits: says of a network whether it may be within the hard limits.
        on_message: hears of initial architectures that are left out, since they cannot be within them.

    Raises:
        StudyError: if a directory holds no run with a front.
        ConfigError: if nothing of a run fits the space, or the file of initial architectures cannot be used.
        PluginError: if the space takes architectures from it that it cannot decode.
    """
    recorded = read_record_if_any(
        run.warm_start, "Remove it, and going on with the search takes the first candidates anew."
    )
    if recorded is not None:
        found: list[Choices] = recorded["choices"]
        return found
    sources = len(others) + (initial_architectures is not None)
    if not sources:
        return []
    each = max(trials // SHARE // sources, 1)
    taken: dict[str, Choices] = {}
    for other in others:
        for choices in _of_run(RunDirectory(Path(other)), space, each):
            taken.setdefault(space.decode(choices).id, choices)
    if initial_architectures is not None:
        seeds = _seeds(space, Path(initial_architectures), each, seed, fits)
        for choices in seeds.choices:
            taken.setdefault(space.decode(choices).id, choices)
        if seeds.left_out:
            on_message(
                f"{len(seeds.left_out)} architectures of {initial_architectures} are left out, over a limit "
                f"in every form: {', '.join(seeds.left_out)}"
            )
    record = {
        "schema_version": SCHEMA_VERSION,
        "runs": list(others),
        "initial_architectures": initial_architectures,
    }
    write_checked_json(run.warm_start, {**record, "choices": list(taken.values())})
    return list(taken.values())


def _seeds(space: SearchSpace, file: Path, most: int, seed: int, fits: Fits) -> Seeds:
    """Return what the space reads from a file of initial architectures, checked."""
    if not isinstance(space, SupportsSeeds):
        raise ConfigError(
            f"search.initial_architectures names {file}, but the space {space.name!r} reads no such file "
            "(it has no method `seeds`). Search one that does, such as `nas-cell`, or leave the setting out."
        )
    seeds = space.seeds(file, most, seed=seed, fits=fits)
    for choices in seeds.choices:
        try:
            space.decode(choices)
        except ArchitectureError as error:
            raise PluginError(
                f"`seeds` of the search space {space.name!r} must return choices that its `decode` takes, "
                f"but of {file} it returned {dict(choices)}: {error}"
            ) from error
    return seeds


def not_yet_evaluated(
    space: SearchSpace, wanted: Sequence[Choices], trials: Sequence[TrialSummary]
) -> list[Choices]:
    """Return those of the wanted networks that were neither evaluated nor failed by themselves."""
    settled = {
        trial.architecture.id
        for trial in trials
        if trial.architecture is not None
        and (
            not trial.failure.fault.may_be_tried_again
            if trial.failure
            else trial.state in {"COMPLETE", "PRUNED"}
        )
    }
    return [choices for choices in wanted if space.decode(choices).id not in settled]


def _of_run(other: RunDirectory, space: SearchSpace, most: int) -> list[Choices]:
    members = picked(other.read_front(), most)
    proposed = [other.read_trial(int(member["number"]))["choices"] for member in members]
    fitting = [adapted(choices, space) for choices in proposed]
    found: list[Choices] = [choices for choices in fitting if choices is not None]
    if not found:
        raise ConfigError(
            f"None of the {len(members)} networks taken from {other.path} fits the space {space.name!r}: "
            "their genes or values are others. Name a run of the same space."
        )
    return found


def adapted(choices: Mapping[str, Any], space: SearchSpace) -> dict[str, Choice] | None:
    """Return choices of another run in the values of this space; None where that is not possible.

    A number takes the nearest value, such as the width of another sensor's image; a gene that the other run
    did not have takes its first value. Names must be the same.
    """
    found: dict[str, Choice] = {}
    for gene, values in space.choices.items():
        value = choices.get(gene, values[0])
        if not any(value == one and type(value) is type(one) for one in values):
            numbers = [one for one in values if _is_number(one)]
            if not numbers or not _is_number(value):
                return None
            value = min(numbers, key=lambda one, wanted=value: abs(one - wanted))  # type: ignore[misc]
        found[gene] = value
    return found if set(choices) & set(space.choices) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
