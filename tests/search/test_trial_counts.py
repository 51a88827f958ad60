from __future__ import annotations

from typing import Any

import pytest

from hwnas.search.trial_counts import TrialCounts, outcome_of
from hwnas.search.trial_summary import ABANDONED, ENDED_WITH_ERROR, INTERRUPTED, MAY_BE_TRIED_AGAIN


def row(state: str, reason: str | None = None, duplicate_of: int | None = None) -> Any:
    return {"state": state, "reason": reason, "duplicate_of": duplicate_of}


def test_interrupted_candidates_are_not_failed() -> None:
    rows = [
        row("COMPLETE"),
        row("COMPLETE", duplicate_of=0),
        row("PRUNED"),
        row("PRUNED", duplicate_of=2),
        row("FAIL", "TrainingError: loss is not a number"),
        row("FAIL", INTERRUPTED),
        row("FAIL", ABANDONED),
        row("FAIL", ENDED_WITH_ERROR),
        row("RUNNING"),
    ]
    counts = TrialCounts.of(rows)
    assert counts == TrialCounts(trained=1, infeasible=1, failed=1, duplicates=2, interrupted=3)
    assert str(counts) == "1 trained, 1 over the budget, 1 failed, 3 interrupted"
    assert counts.to_json()["interrupted"] == 3


def test_what_did_not_happen_is_not_mentioned() -> None:
    assert str(TrialCounts.of([row("COMPLETE")])) == "1 trained, 0 over the budget, 0 failed"


@pytest.mark.parametrize("reason", sorted(MAY_BE_TRIED_AGAIN))
def test_what_may_be_tried_again_has_not_failed(reason: str) -> None:
    assert outcome_of("FAIL", reason) == "interrupted"
