"""Why trials fail, and whether that says anything of their networks.

`trial.json`, the trials of `front.json` and the user attributes of the Optuna study hold a failure as `fault`
and `reason`. The search goes by `fault`, which is one of a few words; `reason` is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What a trial failed by."""

    NETWORK = "network"
    """It could not be built, exported, measured or trained, or not in time."""

    WORKER = "worker"
    """The process that exported or trained it died."""

    TARGET = "target"
    """The target could not be reached, or was lost while it measured."""

    INTERRUPTION = "interruption"
    """Ctrl-C, a killed driver, or an error elsewhere ended it."""

    REBASE = "rebase"
    """It was over a limit on the target as it was before a rebase."""

    @property
    def may_be_tried_again(self) -> bool:
        """Whether it says nothing of the network, so that the trial does not count as failed."""
        return self in (Fault.INTERRUPTION, Fault.REBASE)


@dataclass(frozen=True)
class Failure:
    """Why one trial failed.

    Attributes:
        reason: for people.
        fault: what it failed by.
    """

    reason: str
    fault: Fault = Fault.NETWORK

    def to_json(self) -> dict[str, str]:
        """Return the fields of records and rows, and the user attributes of trials."""
        return {"reason": self.reason, "fault": self.fault.value}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Failure:
        """Return what `to_json` gave; a trial of which nothing is said was abandoned."""
        reason = fields.get("reason")
        if reason is None:
            return ABANDONED
        fault = fields.get("fault")
        return _of_version_0_2(str(reason)) if fault is None else cls(str(reason), Fault(fault))


ABANDONED = Failure("the driver was killed while this trial ran", Fault.INTERRUPTION)
"""Of trials that nobody told."""

INTERRUPTED = Failure("interrupted", Fault.INTERRUPTION)
"""Of trials that Ctrl-C ended."""

ENDED_WITH_ERROR = Failure("the search ended with an error", Fault.INTERRUPTION)
"""Of trials that ran when others made the search end."""

LOST = Failure("the study lost this trial, and there is no record of it", Fault.INTERRUPTION)
"""Of trials of which only a directory is left."""

CUT_OFF = Failure("the database was lost while this trial was opened", Fault.INTERRUPTION)
"""Of trials that were opened without the driver's knowledge."""

SUPERSEDED = Failure(
    "it was over a limit on the target as it was before; it may be proposed again", Fault.REBASE
)
"""Of infeasible trials after a rebase."""


def _of_version_0_2(reason: str) -> Failure:
    """Return a failure that hwnas 0.2.0 wrote, with its reason alone."""
    known = (ABANDONED, INTERRUPTED, ENDED_WITH_ERROR, LOST, CUT_OFF, SUPERSEDED)
    return next((failure for failure in known if failure.reason == reason), Failure(reason))
