"""The front of a study from one reading of all of its trials, which the one that grows must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hwnas.objectives import Objectives
from hwnas.pareto import front_indices, hypervolume
from hwnas.search.front import front_header, front_member, front_of, point_of, reference_point
from hwnas.search.records import FrontRecord
from hwnas.search.trial_summary import TrialSummary


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
