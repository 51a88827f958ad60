"""Which networks are meant, of a search or of those trained in full: one grammar for `pick` everywhere."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, StudyError
from hwnas.pareto import fronts, knee_of

Pick = str | int
"""One of `FORMS`, or how many networks."""

FORMS = "all, knee, a positive number, latency<=MS, error<=SHARE, or an architecture id"

_BOUND = re.compile(r"(latency|error)\s*<=\s*((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_MOST_LISTED = 20

Network = TypeVar("Network")


@dataclass(frozen=True)
class Choosable(Generic[Network]):
    """A network that can be picked, and what it is picked by.

    Attributes:
        network: what is returned if it is picked.
        architecture: names it.
        error: 1 - metric.
        cost: second objective of the run; None where it was not measured.
        latency_ms: None where it was not measured.
        is_by_id_only: whether it broke a constraint, so that it must be named.
    """

    network: Network
    architecture: Architecture
    error: float
    cost: float | None
    latency_ms: float | None
    is_by_id_only: bool = False


def choose(networks: Sequence[Choosable[Network]], pick: Pick) -> list[Network]:
    """Return the networks that `pick` names.

    - `all`: all of them;
    - `knee`, or 1: the one of their front that lies farthest below the line between its ends;
    - a number: that many, spread evenly over their front with both of its ends. Where the front has fewer
      members, the best of the others follow, which are the front once its members are left out, and so on;
    - `latency<=MS` (milliseconds), `error<=SHARE`: all that keep the limit;
    - an architecture id: that one.

    Returns:
        Numbers by ascending error, others in the order of `networks`; fewer than wanted if there are fewer.

    Raises:
        ConfigError: if it names none, or is of another form.
    """
    chosen = [one for one in networks if one.architecture.id == pick]
    chosen = chosen or _chosen([one for one in networks if not one.is_by_id_only], pick)
    if not chosen:
        over = sum(one.is_by_id_only for one in networks)
        only = f" {over} of them broke a constraint of the run and can be named by id only." if over else ""
        raise ConfigError(
            f"`pick={pick}` selects none of the {len(networks)} trained networks "
            f"({_ids(networks)}). Give {FORMS}.{only}"
        )
    return [one.network for one in chosen]


def picked(front: Mapping[str, Any], pick: Pick) -> list[dict[str, Any]]:
    """Return the candidates of a search that `pick` names, each a row of the trials of its front.

    What `choose` says, of the members of the front; numbers and ids may go beyond it.

    Args:
        front: content of `front.json`.
        pick: see `choose`.

    Raises:
        StudyError: if no candidate was trained.
        ConfigError: as `choose`.
    """
    trained = [_of_row(trial) for trial in front["trials"] if _was_trained(trial)]
    if not trained:
        raise StudyError("The front has no member yet: no candidate was trained. Search longer first.")
    may_go_beyond = _count_of(pick) > 0 or any(one.architecture.id == pick for one in trained)
    return choose(trained if may_go_beyond else _layers(trained)[0], pick)


def _chosen(networks: Sequence[Choosable[Network]], pick: Pick) -> list[Choosable[Network]]:
    if pick == "all":
        return list(networks)
    bound = _BOUND.match(str(pick))
    if bound:
        value = operator.attrgetter("latency_ms" if bound[1] == "latency" else "error")
        return [one for one in networks if one.latency_ms is not None and value(one) <= float(bound[2])]
    count = 1 if pick == "knee" else _count_of(pick)
    layers = _layers([one for one in networks if one.cost is not None]) if count else []
    if count == 1:
        return [knee_of(layers[0], _point)] if layers else []
    spread: list[Choosable[Network]] = []
    for layer in layers:
        spread += _spread(layer, count - len(spread))
    return sorted(spread, key=_point)


def _count_of(pick: Pick) -> int:
    """Return how many are wanted; 0 if `pick` is no number."""
    return int(pick) if _NUMBER.match(str(pick)) else 0


def _layers(networks: Sequence[Choosable[Network]]) -> list[list[Choosable[Network]]]:
    """Return the front, the front of the others, and so on (non-dominated sorting)."""
    points = np.array([_point(one) for one in networks], np.float64).reshape(-1, 2)
    return [[networks[index] for index in front] for front in fronts(points)]


def _spread(layer: list[Choosable[Network]], count: int) -> list[Choosable[Network]]:
    """Return up to `count` of a layer, from end to end."""
    if count == 1:
        return layer[:1]
    count = min(count, len(layer))
    return [layer[round(index * (len(layer) - 1) / max(1, count - 1))] for index in range(count)]


def _point(one: Choosable[Any]) -> tuple[float, float]:
    return one.error, float("inf") if one.cost is None else one.cost


def _ids(networks: Sequence[Choosable[Any]]) -> str:
    ids = [one.architecture.id for one in networks[:_MOST_LISTED]]
    return ", ".join([*ids, *(["…"] if len(networks) > _MOST_LISTED else [])]) or "none"


def _was_trained(trial: Mapping[str, Any]) -> bool:
    return trial["state"] == "COMPLETE" and trial["duplicate_of"] is None


def _of_row(trial: dict[str, Any]) -> Choosable[dict[str, Any]]:
    return Choosable(
        trial,
        Architecture.from_json(trial["architecture"]),
        trial["error"],
        trial["cost"],
        trial["latency_ms"],
    )
