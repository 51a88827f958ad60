"""What a study has found so far, as `front.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hwnas.files import write_checked_json
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.pareto import front_indices, hypervolume
from hwnas.search.records import FrontHeader, FrontMemberRow, FrontRecord
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from hwnas.search.study import ERROR
from hwnas.search.trial_summary import TrialSummary

Point = tuple[float, float]
"""Error and cost."""

Member = TypeVar("Member")

MARGIN = 1.1
"""Without a budget, the reference point lies this far beyond the slowest trained candidate."""


def front_of(trials: Sequence[TrialSummary]) -> list[TrialSummary]:
    """Return the trained trials that no other one dominates, by ascending error."""
    trained = [trial for trial in trials if trial.is_trained]
    return [trained[index] for index in front_indices([point_of(trial) for trial in trained])]


def reference_point(trials: Sequence[TrialSummary], limit: float | None) -> tuple[float, float]:
    """Return the worst corner for the hypervolume: error 1, and the limit on the second objective.

    Where there is no limit, it is `MARGIN` times that of the slowest (or largest) trained
    candidate, so that it grows with the study; volumes of different corners do not compare.
    """
    if limit is not None:
        return 1.0, limit
    slowest = max((point_of(trial)[1] for trial in trials if trial.is_trained), default=1.0)
    return 1.0, MARGIN * slowest


def hypervolume_history(
    trials: Sequence[TrialSummary], reference: tuple[float, float]
) -> list[tuple[int, float, float]]:
    """Return (trial number, elapsed seconds, hypervolume) after every trained trial.

    All volumes share one reference point, so that they never fall. Trials count in the order
    in which they finished.
    """
    history = []
    front: list[tuple[float, float]] = []
    volume = 0.0
    for trial in sorted((t for t in trials if t.is_trained), key=lambda t: (t.elapsed_s, t.number)):
        points = [*front, point_of(trial)]
        front = [points[index] for index in front_indices(points)]
        # Summed over other rectangles, the same area may come out an ulp smaller.
        volume = max(volume, hypervolume(front, reference))
        history.append((trial.number, trial.elapsed_s, volume))
    return history


def build_front(
    trials: Sequence[TrialSummary], record: Callable[[int], dict[str, Any]], objectives: Objectives
) -> FrontRecord:
    """Return the content of `front.json`.

    Args:
        trials: of the study, in order.
        record: gives the `trial.json` of a trial by its number.
        objectives: second objective and limits of the run.

    Raises:
        StudyError: if the record of a member is gone.
    """
    reference = reference_point(trials, objectives.upper(objectives.objective))
    history = hypervolume_history(trials, reference)
    return {
        **front_header(objectives, reference, history[-1][2] if history else 0.0),
        "hypervolume_history": [list(entry) for entry in history],
        "trials": [trial.to_json() for trial in trials],
        "members": [front_member(trial, record(trial.number)) for trial in front_of(trials)],
    }


def front_header(objectives: Objectives, reference: Point, volume: float) -> FrontHeader:
    """Return the fields of `front.json` that are not lists; `volume` is the hypervolume at `reference`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "objectives": [ERROR, str(objectives.objective)],
        "unit": objectives.objective.unit,
        "limit": objectives.upper(objectives.objective),
        "constraints": [str(each) for each in objectives.constraints],
        "reference_point": list(reference),
        "hypervolume": volume,
    }


def front_member(trial: TrialSummary, record: Mapping[str, Any]) -> FrontMemberRow:
    """Return a member of the front as in `front.json`; `record` is its `trial.json`."""
    error, cost = point_of(trial)
    return {
        "trial": trial.number,
        "architecture": record["architecture"],
        "quality": record["quality"],
        "latency": record["latency"],
        "error": error,
        "latency_ms": trial.latency_ms,
        "cost": cost,
        "measurements": dict(trial.measurements),
    }


def write_front(run: RunDirectory, trials: Sequence[TrialSummary], objectives: Objectives) -> FrontRecord:
    """Write `front.json` atomically and return its content."""
    front = build_front(trials, run.read_trial, objectives)
    write_checked_json(run.front, front)
    return front


def objectives_of_front(front: Mapping[str, Any]) -> Objectives:
    """Return the second objective and the limits that the content of `front.json` states."""
    return Objectives(
        Metric.parse(front["objectives"][1]), tuple(Constraint.parse(text) for text in front["constraints"])
    )


def knee_index(points: Sequence[tuple[float, float]]) -> int:
    """Return the point of a front that lies farthest below the line between its ends.

    Both coordinates are scaled to 0..1 over the front first. Of two points or fewer it is the
    first one, which has the smaller first coordinate.

    Raises:
        ValueError: if there is no point.

    Source: Branke et al., "Finding Knees in Multi-objective Optimization", PPSN VIII, 2004.
    """
    if not points:
        raise ValueError("A knee needs at least one point.")
    first, last = min(points), max(points)
    spans = (last[0] - first[0]) or 1.0, (first[1] - last[1]) or 1.0
    sums = [(x - first[0]) / spans[0] + (y - last[1]) / spans[1] for x, y in points]
    return min(range(len(points)), key=lambda index: (sums[index], points[index]))


def knee_of(members: Sequence[Member], point: Callable[[Member], Point]) -> Member:
    """Return the knee of the members of a front, see `knee_index`; `point` gives error and cost of one."""
    return members[knee_index([point(member) for member in members])]


def point_of(trial: TrialSummary) -> Point:
    """Return error and cost of a trained trial."""
    if trial.error is None or trial.cost is None:
        raise ValueError(f"Trial {trial.number} is {trial.state} and has no values.")
    return trial.error, trial.cost
