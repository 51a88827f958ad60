"""What became of the trials of a study, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.search.failure import Failure
from hwnas.search.records import TrialRow

TRAINED, INFEASIBLE, FAILED, INTERRUPTED = "trained", "infeasible", "failed", "interrupted"
_OUTCOMES = {"COMPLETE": TRAINED, "PRUNED": INFEASIBLE}


def outcome_of(state: str, failure: Failure | None) -> str | None:
    """Return what became of a trial; None while it is open.

    Args:
        state: of the trial.
        failure: why it failed, if it did. What may be tried again is interrupted and not failed.
    """
    if failure is not None:
        return INTERRUPTED if failure.fault.may_be_tried_again else FAILED
    return _OUTCOMES.get(state)


def failure_of(trial: Mapping[str, Any]) -> Failure | None:
    """Return why a trial failed, as `front.json` says; None if it did not."""
    return Failure.from_json(trial) if trial["state"] == "FAIL" else None


@dataclass(frozen=True)
class TrialCounts:
    """What became of the trials of a search; trials that repeat an architecture count as `duplicates` only.

    Attributes:
        trained: evaluated and measured.
        infeasible: over a constraint, not trained.
        failed: could not be built, measured or trained.
        duplicates: repeated an earlier architecture, whose values they share.
        interrupted: ended by Ctrl-C, a killed driver or an error elsewhere, or superseded by a rebase; others
            take their place.
    """

    trained: int
    infeasible: int
    failed: int
    duplicates: int = 0
    interrupted: int = 0

    @classmethod
    def of(cls, trials: Iterable[TrialRow]) -> TrialCounts:
        """Count trials as `front.json` lists them."""
        found: Counter[str | None] = Counter()
        for trial in trials:
            is_repeated = trial["duplicate_of"] is not None
            found["duplicates" if is_repeated else outcome_of(trial["state"], failure_of(trial))] += 1
        return cls(found[TRAINED], found[INFEASIBLE], found[FAILED], found["duplicates"], found[INTERRUPTED])

    def __str__(self) -> str:
        """Return the counts for people, those of duplicates left out."""
        counts = f"{self.trained} trained, {self.infeasible} over the budget, {self.failed} failed"
        return counts + (f", {self.interrupted} interrupted" if self.interrupted else "")

    def to_json(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)
