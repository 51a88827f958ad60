"""What became of the trials of a study, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from hwnas.search.records import TrialRow
from hwnas.search.trial_summary import MAY_BE_TRIED_AGAIN

TRAINED, INFEASIBLE, FAILED, INTERRUPTED = "trained", "infeasible", "failed", "interrupted"
_OUTCOMES = {"COMPLETE": TRAINED, "PRUNED": INFEASIBLE}


def outcome_of(state: str, reason: str | None) -> str | None:
    """Return what became of a trial; None while it is open.

    Args:
        state: of the trial.
        reason: why it failed, if it did. Ctrl-C, a killed driver or an error elsewhere say nothing of a
            network, so these trials are interrupted and not failed.
    """
    if state == "FAIL":
        return INTERRUPTED if reason in MAY_BE_TRIED_AGAIN else FAILED
    return _OUTCOMES.get(state)


@dataclass(frozen=True)
class TrialCounts:
    """What became of the trials of a search; trials that repeat an architecture count as `duplicates` only.

    Attributes:
        trained: evaluated and measured.
        infeasible: over a constraint, not trained.
        failed: could not be built, measured or trained.
        duplicates: repeated an earlier architecture, whose values they share.
        interrupted: ended by Ctrl-C, a killed driver or an error elsewhere; others take their place.
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
            found["duplicates" if is_repeated else outcome_of(trial["state"], trial["reason"])] += 1
        return cls(found[TRAINED], found[INFEASIBLE], found[FAILED], found["duplicates"], found[INTERRUPTED])

    def __str__(self) -> str:
        """Return the counts for people, those of duplicates left out."""
        counts = f"{self.trained} trained, {self.infeasible} over the budget, {self.failed} failed"
        return counts + (f", {self.interrupted} interrupted" if self.interrupted else "")

    def to_json(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)
