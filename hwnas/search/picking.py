"""Which candidates of a search are worth training in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas.errors import StudyError
from hwnas.pareto import fronts, knee_of

Pick = str | int
"""`all` members of the front, its `knee`, or how many candidates."""


def picked(front: Mapping[str, Any], pick: Pick) -> list[dict[str, Any]]:
    """Return what `pick` means of a front, each with `number` of its trial, `architecture`, `error`, `cost`.

    A number takes that many candidates, spread evenly over the front with both of its ends. A short training
    ranks candidates roughly: where the front has fewer members, the best of the others follow, which are the
    front once its members are left out, and so on.

    Args:
        front: content of `front.json`.
        pick: see `Pick`.

    Returns:
        By ascending error; fewer than wanted if fewer candidates were trained.

    Raises:
        StudyError: if no candidate was trained or `pick` means nothing.
    """
    layers = _layers([trial for trial in front["trials"] if _was_trained(trial)])
    if not layers:
        raise StudyError("The front has no member yet: no candidate was trained. Search longer first.")
    if pick == "all":
        return layers[0]
    if pick in {"knee", 1}:
        return [knee_of(layers[0], _point)]
    if not isinstance(pick, int) or pick < 1:
        raise StudyError(f"`pick` is `all`, `knee` or a positive number, but got {pick!r}.")
    chosen: list[dict[str, Any]] = []
    for layer in layers:
        chosen += _spread(layer, pick - len(chosen))
    return sorted(chosen, key=_point)


def _layers(trials: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the front, the front of the others, and so on (non-dominated sorting)."""
    points = np.array([_point(trial) for trial in trials], np.float64).reshape(-1, 2)
    return [[trials[index] for index in front] for front in fronts(points)]


def _spread(layer: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return up to `count` of a layer, from end to end."""
    if count == 1:
        return layer[:1]
    count = min(count, len(layer))
    return [layer[round(index * (len(layer) - 1) / max(1, count - 1))] for index in range(count)]


def _was_trained(trial: Mapping[str, Any]) -> bool:
    return trial["state"] == "COMPLETE" and trial["duplicate_of"] is None


def _point(trial: Mapping[str, Any]) -> tuple[float, float]:
    return trial["error"], trial["cost"]
