from __future__ import annotations

from typing import Any

import pytest

from hwnas.search.failure import (
    ABANDONED,
    CUT_OFF,
    ENDED_WITH_ERROR,
    INTERRUPTED,
    LOST,
    SUPERSEDED,
    Failure,
    Fault,
)
from hwnas.search.trial_counts import TrialCounts, failure_of, outcome_of


def row(state: str, failure: Failure | None = None, duplicate_of: int | None = None) -> Any:
    said = {"reason": None, "fault": None} if failure is None else failure.to_json()
    return {"state": state, **said, "duplicate_of": duplicate_of}


def test_interrupted_candidates_are_not_failed() -> None:
    rows = [
        row("COMPLETE"),
        row("COMPLETE", duplicate_of=0),
        row("PRUNED"),
        row("PRUNED", duplicate_of=2),
        row("FAIL", Failure("TrainingError: loss is not a number")),
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


@pytest.mark.parametrize("failure", [ABANDONED, INTERRUPTED, ENDED_WITH_ERROR, LOST, CUT_OFF, SUPERSEDED])
def test_what_may_be_tried_again_has_not_failed(failure: Failure) -> None:
    assert outcome_of("FAIL", failure) == "interrupted"
    written = {"state": "FAIL", **failure.to_json()}
    assert failure_of(written) == failure
    assert failure_of({"state": "FAIL", "reason": failure.reason}) == failure, "as hwnas 0.2.0 wrote it"


@pytest.mark.parametrize("fault", [Fault.NETWORK, Fault.WORKER, Fault.TARGET])
def test_words_of_a_reason_decide_nothing(fault: Fault) -> None:
    failure = Failure(INTERRUPTED.reason, fault)
    assert outcome_of("FAIL", failure_of({"state": "FAIL", **failure.to_json()})) == "failed"


def test_a_trial_that_nobody_told_was_abandoned() -> None:
    assert failure_of({"state": "FAIL"}) == ABANDONED
    assert failure_of({"state": "COMPLETE", "reason": None}) is None
